// One simulated machine without its cores: the node, its fabric, storage and Outbox, its deadline, and the counters
// between the node's marks. How its cores spend time is told by RunToCompletion or DispatchWorkers.
//
// Units: picoseconds, unless a name says otherwise.
#pragma once

#include <memory>
#include <span>

#include "core/node/report.h"
#include "core/turn/node.h"
#include "sim/sim_fabric.h"
#include "sim/sim_storage.h"

namespace slipstream::sim {

// What the cores of a machine were used for.
struct CoreUse {
  TimePs dispatch = 0;       // busy: the dispatch core, or the one core that runs to completion
  TimePs workers = 0;        // busy: all workers together
  TimePs waiting = 0;        // spinning workers, all together
  std::uint64_t turns = 0;   // calls of step()
  std::uint64_t queued = 0;  // requests that found no worker free

  CoreUse& operator-=(const CoreUse& other);
  bool operator==(const CoreUse&) const = default;
};

class Host {
 public:
  Host(Network& network, EventQueue& queue, const HardwareProfile& hardware, NodeKind kind, const CostTable& costs,
       bool keeps_stored);

  void place(std::unique_ptr<Node> node) { node_ = std::move(node); }
  Node& node() { return *node_; }
  const Node& node() const { return *node_; }
  NodeId id() const { return fabric_.node(); }
  NodeKind kind() const { return kind_; }
  SimFabric& fabric() { return fabric_; }
  SimStorage& storage() { return storage_; }
  Outbox& outbox() { return outbox_; }
  EventQueue& queue() { return queue_; }
  Network& network() { return network_; }

  // The node's turn, at the queue's time. The Outbox is then full; finish() empties it when its ops have been taken.
  void step(std::span<const Event> events, CheckContext& context);
  void finish(TimePs storage_time);

  // The node's deadline, or kPsNever.
  TimePs deadline() const;
  // Makes sure of an alarm at `time` or earlier; kPsNever: none needed. The alarm's taker calls rang() first.
  void arm(TimePs time);
  void rang() { alarm_ = kPsNever; }

  CoreUse use;

  // Between the marks; what the ledger says is priced with `prices`.
  NodeReport report(const CostTable& prices) const;
  CoreUse window_use() const;
  TimeNs window_ns() const;

 private:
  struct Snapshot {
    TimePs time = -1;  // no such mark yet
    Ledger ledger;
    CoreUse use;
    std::uint64_t bytes_sent = 0;
  };

  Snapshot now() const;
  Snapshot start() const;  // the window: marks where there are any, otherwise all of the run
  Snapshot end() const;

  Network& network_;
  EventQueue& queue_;
  NodeKind kind_;
  SimFabric fabric_;
  Medium medium_;
  SimStorage storage_;
  Outbox outbox_;
  std::unique_ptr<Node> node_;
  TimePs alarm_ = kPsNever;
  Snapshot start_, end_;
};

}  // namespace slipstream::sim
