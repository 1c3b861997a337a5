// Reads replicas of a dead master for recovery: brings a segment from a buffer or from storage, verifies it, sorts its
// entries by the ranges that the recovery masters share, and answers their requests (RAMCloud, SOSP'11, section 4.4: a
// backup divides its segments by partition). Segments are held for those who ask later; work goes on in pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <functional>
#include <vector>

#include "core/base/units.h"
#include "core/log/certificate_walk.h"
#include "core/replication/wire.h"
#include "core/storage/storage.h"
#include "core/turn/outbox.h"

namespace slipstream {

// Instead of a channel: the asker is this node itself.
inline constexpr Channel kOwnNode = 0xffff;

// Tickets of this reader's storage reads are from here up.
inline constexpr Ticket kFirstSourceTicket = Ticket{1} << 32;

class RecoverySource {
 public:
  // Where a replica's bytes are: in memory (of the whole buffer), or in storage, or nowhere.
  struct Place {
    ConstBytes memory;
    std::uint32_t stored_bytes = 0;
  };

  // `trusts`: bytes need not verify (policy onesided-unsafe).
  RecoverySource(std::size_t segment_bytes, bool trusts) : segment_bytes_(segment_bytes), trusts_(trusts) {}

  void on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, const SegmentIdentity& identity,
                  const Place& place, Outbox& out);
  void on_read(Ticket ticket, bool is_done);
  // The segment is gone, or moved from its buffer to storage: what was made of the buffer is dropped, who waits asks
  // again.
  void forget(std::uint16_t master, std::uint64_t segment, Outbox& out);

  void advance(Outbox& out);
  bool needs_turn() const { return working_ > 0; }
  // Answers to requests of our own node; to be taken, and emptied.
  std::vector<std::vector<std::byte>>& own_answers() { return own_answers_; }

 private:
  enum class Phase : std::uint8_t { kReading, kVerifying, kSorting, kReady, kBad };
  // Of a segment and its length: a recovery that is planned anew may go by less of a head, and a cursor counts entries.
  struct Held {
    std::uint16_t master = 0;
    std::uint64_t segment = 0;
    Phase phase = Phase::kReading;
    Ticket ticket = 0;
    std::unique_ptr<std::byte[]> own;  // read from storage
    ConstBytes bytes;
    CertificateWalk walk{SegmentIdentity{}};
    std::uint32_t sorted = 0;  // bytes
    std::vector<KeyRange> ranges;
    std::vector<std::vector<std::uint32_t>> entries;  // offsets, by range
    std::uint64_t used = 0;
  };
  struct Waiting {
    Channel channel = 0;
    std::uint64_t tag = 0;
    RpcHeader header;
    RecoveryData body;
    std::vector<KeyRange> ranges;  // the recovery masters may not have seen the same view
  };
  static bool is_of(const Held& held, const RecoveryData& body) {
    return held.master == body.master && held.segment == body.segment && held.bytes.size() == body.bytes;
  }

  Held* held(const RecoveryData& body);
  Held& hold(const RecoveryData& body, const SegmentIdentity& identity, const Place& place, Outbox& out);
  void work_on(Held& held, Outbox& out);
  void sort_for(Held& held, const std::vector<KeyRange>& ranges);
  void sort(Held& held, Outbox& out);
  void serve(Held& held, Outbox& out);
  void answer(const Waiting& waiting, const Held& held, Outbox& out);
  void refuse(const Waiting& waiting, Outbox& out);
  std::byte* answer_room(const Waiting& waiting, std::size_t bytes, Outbox& out);

  std::size_t segment_bytes_;
  bool trusts_;
  std::vector<std::vector<std::byte>> own_answers_;
  std::vector<Held> held_;
  std::vector<Waiting> waiting_;
  std::size_t working_ = 0;  // held segments that advance() has work on
  Ticket next_ticket_ = kFirstSourceTicket;
  std::uint64_t uses_ = 0;
};

}  // namespace slipstream
