// The primary's side of replication: places, opens, fills and closes the replicas of its segments, under the policy of
// the options. Sources: RAMCloud's ReplicaManager and BackupSelector (SOSP'11, FAST'14), Tailwind (ATC'18).
//
// Rules (RAMCloud; they keep the log's tail findable):
//  - opens go out in order: not before the previous segment is open on all its backups;
//  - the old head's close is not sent before the new head is durably open (opened, opening batch acknowledged);
//  - nothing past its opening batch goes to the new head before the old head is closed on all its backups;
//  - group commit: while the window of any replica of the head is full, appends gather for the next batch.
//
// Error: when a backup is lost, its replicas that are not closed start again, there or elsewhere, with a higher epoch;
// durable_position() falls back until they are whole, so nothing is answered meanwhile. Closed ones count as safe.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/base/ring.h"
#include "core/base/rng.h"
#include "core/log/log.h"
#include "core/replication/replicated_segment.h"
#include "core/replication/replication_options.h"
#include "core/replication/wire.h"
#include "core/turn/outbox.h"

namespace slipstream {

class ReplicaManager {
 public:
  // Channels first_channel .. first_channel + backups - 1 are this manager's.
  ReplicaManager(const ReplicationOptions& options, NodeId self, Log& log, std::uint64_t seed, Channel first_channel);

  // The servers that may hold replicas; self is left out.
  void set_backups(std::span<const NodeId> servers);
  bool owns(Channel channel) const {
    return channel >= first_channel_ && channel < first_channel_ + static_cast<Channel>(links_.size());
  }

  void on_connected(Channel channel);
  void on_down(Channel channel, TimeNs now);
  void on_acked(Channel channel, Ticket ticket, Outbox& out);
  void on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out);

  // Compares facts with the goal and acts; seals the log's head when a batch can go out.
  void advance(TimeNs now, Outbox& out);
  TimeNs deadline() const { return retry_at_; }

  // Everything below is on all backups, in whole batches (policy none: everything appended). As of the last advance().
  LogPosition durable_position() const { return durable_; }
  // Nothing is in flight and all that was appended is durable.
  bool idle() const;
  std::string trouble() const { return trouble_; }
  std::string describe() const;

 private:
  enum class LinkState : std::uint8_t { kDown, kConnecting, kUp };
  struct Write {
    std::uint64_t id = 0;  // ticket or request id
    std::uint64_t segment = 0;
    std::uint16_t replica = 0;
    std::uint32_t end = 0;
  };
  struct Link {
    NodeId backup = kNoNode;
    LinkState state = LinkState::kDown;
    std::uint64_t next_id = 1;
    std::uint32_t open_replicas = 0;  // load, as far as we know it
    TimeNs refused_until = 0;
    Ring<Write> writes;  // in flight, oldest first
  };

  Channel channel_of(std::size_t link) const { return static_cast<Channel>(first_channel_ + link); }
  ReplicatedSegment* tracked(std::uint64_t segment);
  bool advance_open(ReplicatedSegment& rs, TimeNs now, Outbox& out);
  void advance_bytes(ReplicatedSegment& rs, std::uint32_t limit, Outbox& out);
  void advance_close(ReplicatedSegment& rs, Outbox& out);
  bool place(ReplicatedSegment& rs, Replica& replica, TimeNs now);
  bool can_take_batch(const ReplicatedSegment& rs) const;
  void send_bytes(ReplicatedSegment& rs, std::uint16_t replica, std::uint32_t end, Outbox& out);
  void wrote(Link& link, const Write& write);
  void find_durable();
  void retry(TimeNs at) { retry_at_ = at < retry_at_ ? at : retry_at_; }

  ReplicationOptions options_;
  NodeId self_;
  Log& log_;
  Rng rng_;
  Channel first_channel_;
  std::vector<Link> links_;
  std::vector<std::uint16_t> order_;    // all links; scratch of place()
  std::deque<ReplicatedSegment> open_;  // segments that are not closed on all backups, oldest first
  std::uint64_t next_segment_ = 0;      // the first segment of the log that is not in open_ yet
  LogPosition durable_ = 0;
  TimeNs retry_at_ = kNever;
  std::string trouble_;
};

}  // namespace slipstream
