// The backup's side of a replicated segment: a pool of buffers in durable registered memory, handed out by open, filled
// by the primary (by one-sided writes that this code never sees, or by write requests that it copies), verified and
// flushed to storage after close, then free again. A later life of the node adopts what buffers and storage hold. When
// a master is dead it is fenced out first, and what it left is then told, and read, for recovery.
// Source: RAMCloud's BackupService (SOSP'11, section 4.1), Tailwind (ATC'18).
//
// Invariants:
//  - a buffer is granted to one primary's channel alone, and to none while it is verified, flushed or free;
//  - a buffer's record in the replica memory file (core/log/FORMAT.md) is true whenever a turn ends;
//  - only bytes that verify to the closed length are flushed; a replica that does not verify is dropped, and its
//  primary
//    told;
//  - once a master is fenced, nothing of that life of it lands in a buffer any more, and nothing is opened for it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/fabric/fabric.h"
#include "core/log/certificate_walk.h"
#include "core/log/log_options.h"
#include "core/replication/recovery_source.h"
#include "core/replication/replica_file.h"
#include "core/replication/replication_options.h"
#include "core/replication/wire.h"
#include "core/turn/outbox.h"

namespace slipstream {

class Backup {
 public:
  // Adopts what the region holds; adopt() does the same for storage.
  Backup(const ReplicationOptions& options, const LogOptions& log, const Region& region);
  void adopt(std::span<const StoredFrame> frames, Outbox& out);
  // All that an earlier life left is known.
  bool is_ready() const { return adopting_ == 0; }

  // Who is at the other end: only that node's segments may be opened through the channel.
  void on_connected(Channel channel, NodeId peer) {
    peers_[channel] = peer;
    latest_[peer] = channel;
  }
  // A request; `channel` and `tag` are the message's.
  void on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_granted(Channel channel, Ticket ticket, RemoteKey key, Outbox& out);
  void on_withdrawn(Channel channel, Ticket ticket, Outbox& out);
  // Ends the channel's access; only after on_revoked() is what it wrote still.
  void on_channel_down(Channel channel, Outbox& out);
  void on_revoked(Channel channel, Outbox& out);
  void on_stored(std::uint64_t frame, std::uint64_t bytes, Outbox& out);
  void on_storage_read(std::uint64_t frame, Ticket ticket, Outbox& out);
  void on_storage_failed(std::uint64_t frame, std::uint64_t error, Ticket ticket, Outbox& out);

  // Which lives of masters still matter: replicas of others, up to the latest life known of a node, are dropped.
  struct MasterLife {
    std::uint16_t node = 0;
    std::uint16_t latest = 0;            // no later life of the node is known
    bool is_alive = false;               // that life
    std::vector<std::uint16_t> matters;  // alive, or being recovered
  };
  void set_masters(std::span<const MasterLife> masters, Outbox& out);

  // Verifies, flushes, scans and reads for recoveries, some 128 KiB at a time.
  void advance(Outbox& out);
  // advance() has more to do now.
  bool needs_turn() const { return verifying_ > 0 || scanning_ > 0 || source_.needs_turn(); }

  // Requests and answers between this and the primary side of the same node (kRecoveryData only).
  void on_own_request(const RpcMessage& message, Outbox& out) { on_data(kOwnNode, 0, message, out); }
  std::vector<std::vector<std::byte>>& own_answers() { return source_.own_answers(); }

  // Open replicas of dead masters are not all still and scanned yet.
  bool is_scanning() const { return scanning_ > 0; }
  std::uint64_t scanned_bytes() const { return scanned_bytes_; }  // valid ones, in all such scans
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
    bool copy = false;      // of no use for recovery before it is closed or updated
    bool fenced = false;    // its master is dead
    bool to_scan = false;   // open when its master was fenced, and its valid end is not known yet
    bool doomed = false;    // freed as soon as nothing can land in it and nothing reads it
    std::uint64_t tag = 0;  // of the open request, while granting
    RemoteKey key = 0;
    SegmentIdentity identity;
    std::uint32_t replica_epoch = 0;
    std::uint32_t received = 0;  // by write requests
    std::uint32_t said = 0;      // policy onesided-unsafe: scanned, the length that it says
    std::uint32_t closed_bytes = 0;
    std::uint32_t closed_crc = 0;
    CertificateWalk walk{SegmentIdentity{}};
  };
  struct Stored {
    std::uint32_t bytes = 0;
    std::uint32_t crc = 0;
    std::uint32_t epoch = 0;
  };
  struct Question {  // kReplicasOf that waits until all is still and scanned
    Channel channel = 0;
    std::uint64_t tag = 0;
    RpcHeader header;
    ReplicasOf body;
  };

  void on_open(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void open_again(std::size_t i, Channel channel, std::uint64_t tag, const BackupOpen& request,
                  const RpcMessage& message, Outbox& out);
  void hand_out(std::size_t i, Channel channel, std::uint64_t tag, bool one_sided, Outbox& out);
  void on_write(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_close(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_free(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_inventory(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_replicas_of(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_data(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void fence(std::uint16_t master, std::uint16_t life, Outbox& out);
  bool is_fenced(std::uint16_t master, std::uint64_t segment) const;
  bool is_out_of_date(Channel channel) const;
  void answer_questions(Outbox& out);
  void answer_question(const Question& question, Outbox& out);
  void verify(std::size_t i, Outbox& out);
  void scan(std::size_t i, Outbox& out);
  void flush(std::size_t i, Outbox& out);
  void drop(std::size_t i, Outbox& out);
  void discard(std::size_t i, Outbox& out);
  void discard_stored(std::uint64_t frame, Outbox& out);
  void note(std::size_t i, ReplicaState state);
  void release(std::size_t i, Outbox& out);
  void answer(Channel channel, std::uint64_t tag, const RpcMessage& request, Status status, Outbox& out, Work kind);
  void answer_open(std::size_t i, Outbox& out);
  void answer_closed(Channel channel, std::uint64_t tag, const RpcMessage& request, std::uint32_t bytes,
                     std::uint32_t epoch, Outbox& out);
  std::size_t find_free() const;
  // The buffer that holds this replica; buffers_.size() when none does.
  std::size_t find(std::uint16_t master, std::uint64_t segment) const;
  Bytes memory(std::size_t i) const { return replica_buffer(region_, buffers_.size(), segment_bytes_, i); }

  std::size_t segment_bytes_;
  bool trusts_;  // policy onesided-unsafe: what the primary said is taken for what is there
  Bytes region_;
  std::vector<Buffer> buffers_;
  std::uint32_t free_;
  std::uint32_t verifying_ = 0;
  std::uint32_t scanning_ = 0;
  std::uint64_t scanned_bytes_ = 0;
  std::map<std::uint64_t, Stored> stored_;  // closed replicas in storage, by frame
  std::map<Channel, NodeId> peers_;
  std::map<NodeId, Channel> latest_;               // a peer dials anew only when its earlier channel is down for it
  std::map<std::uint16_t, std::uint16_t> fenced_;  // master, the last life that is fenced out
  std::vector<Question> questions_;
  std::vector<StoredFrame> found_;  // frames of an earlier life, and what their ends say
  std::vector<ReplicaRecord> found_ends_;
  std::size_t adopting_ = 0;
  RecoverySource source_;
  std::size_t next_ = 0;  // where the search for a free buffer starts
  std::string trouble_;
};

}  // namespace slipstream
