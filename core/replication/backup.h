// The backup's side of a replicated segment: a pool of buffers in registered memory, handed out by open, filled by the
// primary (by one-sided writes that this code never sees, or by write requests that it copies), verified and flushed to
// storage after close, then free again. Source: RAMCloud's BackupService (SOSP'11, section 4.1), Tailwind (ATC'18).
//
// Invariants:
//  - a buffer is granted to one primary's channel alone, and to none while it is verified, flushed or free;
//  - a buffer's record in the replica memory file (core/log/FORMAT.md) is true whenever a turn ends;
//  - only bytes that verify to the closed length are flushed; anything else is told by trouble().
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/fabric/fabric.h"
#include "core/log/certificate_walk.h"
#include "core/log/log_options.h"
#include "core/replication/replication_options.h"
#include "core/replication/wire.h"
#include "core/turn/outbox.h"

namespace slipstream {

inline constexpr std::size_t kReplicaRecordBytes = 64;

// Size of the region for `buffers` buffers: records, then buffers.
std::size_t replica_region_bytes(std::uint32_t buffers, std::size_t segment_bytes);

// One buffer's record, as it lies in the replica memory file.
enum class ReplicaState : std::uint32_t { kFree = 0, kOpen = 1, kClosed = 2 };
struct ReplicaRecord {
  std::uint32_t crc = 0;
  ReplicaState state = ReplicaState::kFree;
  std::uint64_t segment = 0;
  std::uint32_t epoch = 0;
  std::uint32_t replica_epoch = 0;
  std::uint16_t master = 0;
  std::uint16_t reserved0 = 0;
  std::uint32_t closed_bytes = 0;
  std::uint32_t closed_crc = 0;
  std::uint32_t reserved1[3] = {};
};
static_assert(sizeof(ReplicaRecord) == 48);

// A replica as found in a replica memory file; nothing when its record does not verify or the buffer is free.
struct FoundReplica {
  ReplicaRecord record;
  ConstBytes buffer;
};
std::vector<FoundReplica> replicas_in(ConstBytes region, std::size_t segment_bytes);

class Backup {
 public:
  Backup(const ReplicationOptions& options, const LogOptions& log, const Region& region);

  // Who is at the other end: only that node's segments may be opened through the channel.
  void on_connected(Channel channel, NodeId peer) { peers_[channel] = peer; }
  // A request of a primary; `channel` and `tag` are the message's.
  void on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_granted(Channel channel, Ticket ticket, RemoteKey key, Outbox& out);
  void on_withdrawn(Channel channel, Ticket ticket);
  // Ends the channel's access; only after on_revoked() is what it wrote still.
  void on_channel_down(Channel channel, Outbox& out);
  void on_revoked(Channel channel);
  void on_stored(std::uint64_t frame, std::uint64_t bytes);
  void on_storage_failed(std::uint64_t frame, std::uint64_t error);

  // Verifies and flushes, some 128 KiB at a time, and at least a batch.
  void advance(Outbox& out);
  // advance() has more to do now.
  bool needs_turn() const { return verifying_ > 0; }

  std::uint32_t free_buffers() const { return free_; }
  std::string trouble() const { return trouble_; }
  std::string describe() const;
  // Open or closed replicas, by buffer; for tests and checkers.
  std::vector<FoundReplica> replicas() const { return replicas_in(region_, segment_bytes_); }

 private:
  enum class Phase : std::uint8_t { kFree, kGranting, kOpen, kWithdrawing, kVerifying, kFlushing };
  struct Buffer {
    Phase phase = Phase::kFree;
    Channel channel = 0;
    bool one_sided = false;
    bool writable = false;  // bytes may still land through the channel
    std::uint64_t tag = 0;  // of the open request, while granting
    RemoteKey key = 0;
    SegmentIdentity identity;
    std::uint32_t replica_epoch = 0;
    std::uint32_t received = 0;  // by write requests
    std::uint32_t closed_bytes = 0;
    std::uint32_t closed_crc = 0;
    CertificateWalk walk{SegmentIdentity{}};
  };

  void on_open(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_write(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_close(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void verify(std::size_t i, Outbox& out);
  void note(std::size_t i, ReplicaState state);
  void release(std::size_t i);
  void answer(Channel channel, std::uint64_t tag, const RpcMessage& request, Status status, Outbox& out, Work kind);
  void answer_open(std::size_t i, Outbox& out);
  void answer_closed(Channel channel, std::uint64_t tag, const RpcMessage& request, std::uint32_t bytes, Outbox& out);
  std::size_t find_free() const;
  // The buffer that holds this replica; buffers_.size() when none does.
  std::size_t find(std::uint16_t master, std::uint64_t segment) const;
  Bytes memory(std::size_t i) const;

  std::size_t segment_bytes_;
  Bytes region_;
  std::vector<Buffer> buffers_;
  std::uint32_t free_;
  std::uint32_t verifying_ = 0;
  std::map<std::uint64_t, std::uint32_t> stored_;  // closed replicas in storage: frame, bytes
  std::map<Channel, NodeId> peers_;
  std::size_t next_ = 0;  // where the search for a free buffer starts
  std::string trouble_;
};

}  // namespace slipstream
