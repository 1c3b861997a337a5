// A server: a primary and a backup at once, on one core. Sorts what happened to the two sides, lets each act, in one
// turn.
#pragma once

#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/cluster/member.h"
#include "core/kv/master.h"
#include "core/node/cluster.h"
#include "core/replication/backup.h"
#include "core/turn/node.h"

namespace slipstream {

class ServerNode final : public Node {
 public:
  ServerNode(const ClusterOptions& options, NodeId self, Fabric& fabric);

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override;
  TimeNs deadline() const override;
  std::string trouble() const override;
  std::string describe() const override;
  std::uint64_t state_hash() const override { return fnv1a(describe()); }

  // For checkers.
  const Master& master() const { return master_; }
  const Backup& backup() const { return backup_; }

 private:
  void backup_side(std::span<const Event> events, Outbox& out);
  void backup_event(const Event& event, Outbox& out);
  void primary_side(TimeNs now, std::span<const Event> events, Outbox& out);
  void primary_event(TimeNs now, const Event& event, Outbox& out);
  void primary_message(TimeNs now, const Event& event, Outbox& out);

  NodeId self_;
  CoordinatorLink coordinator_;
  Master master_;
  Backup backup_;
  std::vector<Master::Request> requests_;  // scratch: of this turn
};

}  // namespace slipstream
