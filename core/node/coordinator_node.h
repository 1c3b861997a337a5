// The coordinator as a node of its own.
#pragma once

#include <string>

#include "core/base/rng.h"
#include "core/cluster/coordinator.h"
#include "core/node/cluster.h"
#include "core/turn/node.h"

namespace slipstream {

class CoordinatorNode final : public Node {
 public:
  CoordinatorNode(const ClusterOptions& options, const Storage& storage);

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override;
  TimeNs deadline() const override { return coordinator_.deadline(); }
  bool done() const override { return coordinator_.done(); }
  std::string trouble() const override { return coordinator_.trouble(); }
  std::string describe() const override { return coordinator_.describe(); }
  std::uint64_t state_hash() const override { return fnv1a(describe()); }

  const Coordinator& coordinator() const { return coordinator_; }

 private:
  Coordinator coordinator_;
};

}  // namespace slipstream
