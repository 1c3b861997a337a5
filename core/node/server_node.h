// A server: a primary and a backup at once, on one core. Sorts what happened to the two sides, lets each act, in one
// turn. In a cluster that is recoverable it also probes others, takes part in recoveries, and retires when it learns
// that it was declared dead.
#pragma once

#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/cluster/member.h"
#include "core/cluster/prober.h"
#include "core/cluster/recovery_master.h"
#include "core/kv/master.h"
#include "core/node/cluster.h"
#include "core/replication/backup.h"
#include "core/replication/peer_links.h"
#include "core/turn/node.h"

namespace slipstream {

class ServerNode final : public Node {
 public:
  ServerNode(const ClusterOptions& options, NodeId self, Fabric& fabric, const Storage& storage);

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override;
  TimeNs deadline() const override;
  bool retired() const override { return coordinator_.is_dead(); }
  std::string trouble() const override;
  std::string describe() const override;
  std::uint64_t state_hash() const override { return fnv1a(describe()); }

  // For checkers.
  const Master& master() const { return master_; }
  const Backup& backup() const { return backup_; }
  const RecoveryMaster& recovery() const { return recovery_; }
  const View& view() const { return coordinator_.view(); }
  // The longest time from when a dead master was fenced out until its open replicas here were still and scanned.
  TimeNs scan_ns() const { return scan_ns_; }
  ServerId id() const { return {self_, coordinator_.life()}; }

 private:
  void backup_side(std::span<const Event> events, Outbox& out);
  void backup_event(const Event& event, Outbox& out);
  void primary_side(TimeNs now, std::span<const Event> events, Outbox& out);
  void primary_event(TimeNs now, const Event& event, Outbox& out);
  void primary_message(TimeNs now, const Event& event, Outbox& out);
  void answer_to_us(TimeNs now, const Event& event, const RpcMessage& message, Outbox& out);
  void on_link_down(Channel channel, TimeNs now);
  void on_view(Outbox& out);
  void exchange_with_backup(TimeNs now, Outbox& out);
  void record_epochs(TimeNs now, Outbox& out);

  NodeId self_;
  CoordinatorLink coordinator_;
  PeerLinks peers_;
  Master master_;
  Backup backup_;
  Prober prober_;
  RecoveryMaster recovery_;
  std::vector<StoredFrame> found_;  // in storage, at the beginning
  bool is_adopting_ = false;
  bool is_started_ = false;
  bool dials_backups_ = false;  // somebody is dead: we may soon have to read what others hold of it
  TimeNs scan_began_ns_ = kNever;
  TimeNs scan_ns_ = 0;
  std::vector<SegmentEpoch> epochs_sent_;
  std::uint64_t epochs_connection_ = 0;
  std::vector<Master::Request> requests_;  // scratch: of this turn
};

}  // namespace slipstream
