// The primary's side of replication: places, opens, fills, closes and restores the replicas of its segments, under the
// policy of the options. Sources: RAMCloud's ReplicaManager and BackupSelector (SOSP'11, FAST'14), Tailwind (ATC'18).
//
// Rules for heads (RAMCloud; they keep the log's tail findable):
//  - opens go out in order: not before the previous head is durably open (opened on all its backups, opening batch
//    acknowledged, epoch recorded), so that every head that a digest names was once found by whoever would recover it;
//  - the old head's close is not sent before the new head is durably open;
//  - nothing past its opening batch goes to the new head before the old head is closed on all its backups;
//  - group commit: while the window of any replica of the head is full, appends gather for the next batch.
// Side segments, and closed ones that lost a replica, are carried beside them, a few at a time, in no order.
//
// A lost replica of a head starts again, there or elsewhere, as a copy. When it is whole, all replicas are told the
// segment's new epoch; when they have it, the coordinator is (wanted_epochs(), on_recorded()): from then on a shorter
// replica that comes back is known to be stale. Until then durable_position() falls back and nothing is answered. In
// the same way the coordinator learns of the first head, before anything of the log counts.
// A closed replica counts until its server's life is over (set_server()), and is then restored from log memory. Of a
// segment that has no memory any more (detach()) it cannot be: the segment is wounded, until the cleaner has moved what
// still counts of it to others.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ring.h"
#include "core/base/rng.h"
#include "core/log/log.h"
#include "core/replication/peer_links.h"
#include "core/replication/replicated_segment.h"
#include "core/replication/replication_options.h"
#include "core/replication/wire.h"
#include "core/turn/outbox.h"

namespace slipstream {

// A segment and how often it lost a replica while it was open.
struct SegmentEpoch {
  std::uint64_t segment = 0;
  std::uint64_t epoch = 0;
  bool operator==(const SegmentEpoch&) const = default;
};

class ReplicaManager {
 public:
  ReplicaManager(const ReplicationOptions& options, NodeId self, Log& log, PeerLinks& peers, std::uint64_t seed);

  // Once the links are known.
  void start();
  // Which life of the server at that link there is now, and whether it may hold new replicas. Replicas on an earlier
  // life are lost.
  void set_server(std::uint16_t link, std::uint16_t life, bool is_up);

  void on_connected(Channel channel);
  void on_down(Channel channel, TimeNs now);
  void on_acked(Channel channel, Ticket ticket, TimeNs now, Outbox& out);
  void on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out);
  // A backup says that its replica is gone.
  void on_lost(Channel channel, const RpcMessage& message);
  void on_recorded(std::span<const SegmentEpoch> epochs);

  // Compares facts with the goal and acts; seals the log's head when a batch can go out.
  void advance(TimeNs now, Outbox& out);
  TimeNs deadline() const { return options_.recoverable && check_at_ < retry_at_ ? check_at_ : retry_at_; }

  // Frees the replicas of a segment that no durable digest names; the caller then releases its slot.
  void forget(std::uint32_t slot, Outbox& out);
  // The slot's segment is whole, and keeps its replicas though the slot is given to others.
  void detach(std::uint32_t slot);
  void forget_detached(std::uint64_t segment, Outbox& out);
  // Detached segments that have lost a replica.
  std::vector<std::uint64_t> wounded() const;
  bool has_wounded() const { return wounded_ > 0; }

  // Everything below is on all backups, in whole batches (policy none: everything appended). As of the last advance().
  LogPosition durable_position() const { return durable_; }
  // The head's opening batch is on all backups and all earlier heads are closed: its digest is the one that counts.
  bool digest_is_durable() const;
  // The same of the digest of this head, or of a later one.
  bool is_digest_durable(std::uint64_t head) const;
  // A closed segment is whole, and closed, on all its backups.
  bool is_closed_everywhere(std::uint32_t slot) const;
  bool has_lost_replicas(std::uint32_t slot) const;
  // Closed on all its backups, and nothing more is to be done for it.
  bool is_whole(std::uint32_t slot) const {
    return options_.factor == 0 || (segments_[slot].slot != kNoSlot && !segments_[slot].is_working);
  }
  // Of heads whose replicas all carry a new epoch that the coordinator does not know.
  std::vector<SegmentEpoch> wanted_epochs() const;
  // A backup has refused us because we were declared dead.
  bool is_refused() const { return refused_; }
  // Nothing is in flight and all that was appended is durable.
  bool idle() const;
  std::string trouble() const { return trouble_; }
  std::string describe() const;

 private:
  struct Write {
    std::uint64_t id = 0;  // ticket or request id
    std::uint32_t slot = 0;
    std::uint16_t replica = 0;
    std::uint32_t end = 0;
    std::uint64_t generation = 0;
  };
  struct Link {
    std::uint16_t life = 0;
    bool usable = true;
    bool inventory_due = false;
    std::uint64_t next_id = 1;
    std::uint32_t owed = 0;  // answers to opens, closes and inventories
    TimeNs heard_at = 0;     // when it last answered, or began to owe
    bool is_revoked = false;
    std::uint32_t open_replicas = 0;  // load, as far as we know it
    TimeNs refused_until = 0;
    Ring<Write> writes{4};  // in flight, oldest first
  };

  ReplicatedSegment* working(std::uint64_t segment);
  Replica* replica_on(ReplicatedSegment& rs, std::uint16_t link);
  void lose(ReplicatedSegment& rs, Replica& replica);
  // Calls act(segment, replica) for each replica on the link, of segments with memory and without.
  template <typename Act>
  void for_each_on(std::uint16_t link, Act&& act);
  void free_replicas(ReplicatedSegment& rs, Outbox& out);
  void on_opened(ReplicatedSegment& rs, Replica& replica, const RpcMessage& message);
  void on_inventory(std::uint16_t link, ConstBytes missing);
  void take_opened();
  bool is_durably_open(const ReplicatedSegment& head) const;
  void advance_heads(TimeNs now, Outbox& out);
  void advance_others(TimeNs now, Outbox& out);
  void advance_inventories(TimeNs now, Outbox& out);
  void advance_open(ReplicatedSegment& rs, TimeNs now, Outbox& out);
  void send_open(const ReplicatedSegment& rs, const Replica& replica, std::uint16_t flags, TimeNs now, Outbox& out);
  void advance_bytes(ReplicatedSegment& rs, std::uint32_t limit, TimeNs now, Outbox& out);
  void advance_epoch(ReplicatedSegment& rs, std::uint32_t limit, TimeNs now, Outbox& out);
  void advance_close(ReplicatedSegment& rs, TimeNs now, Outbox& out);
  bool place(ReplicatedSegment& rs, Replica& replica, TimeNs now);
  bool can_take_batch(const ReplicatedSegment& rs) const;
  void send_bytes(ReplicatedSegment& rs, std::uint16_t replica, std::uint32_t end, TimeNs now, Outbox& out);
  void wrote(std::uint16_t link, const Write& write);
  void find_durable();
  void due(Link& link);
  void owe(std::uint16_t link, TimeNs now);
  void advance_timeouts(TimeNs now, Outbox& out);
  void retry(TimeNs at) { retry_at_ = at < retry_at_ ? at : retry_at_; }

  ReplicationOptions options_;
  NodeId self_;
  Log& log_;
  PeerLinks& peers_;
  Rng rng_;
  std::vector<Link> links_;
  std::vector<std::uint16_t> order_;                     // all links; scratch of place()
  std::vector<ReplicatedSegment> segments_;              // by slot
  std::map<std::uint64_t, ReplicatedSegment> detached_;  // by id
  std::uint32_t wounded_ = 0;                            // of detached_
  std::deque<std::uint32_t> heads_;    // slots of heads that are not closed on all backups, oldest first
  std::vector<std::uint32_t> others_;  // slots of other segments that are not, in the order of their turn
  std::uint32_t inventories_due_ = 0;
  std::uint64_t generations_ = 0;
  LogPosition durable_ = 0;
  TimeNs retry_at_ = kNever;
  TimeNs check_at_ = 0;        // links that owe answers
  bool has_restored_ = false;  // segments, since the last inventories
  bool has_begun_ = false;     // a first head was opened
  bool refused_ = false;
  std::string trouble_;
};

}  // namespace slipstream
