// One simulated machine without its cores: the node, its fabric, storage and Outbox, its deadline, and the counters
// between the node's marks. How its cores spend time is told by RunToCompletion or DispatchWorkers.
//
// Units: picoseconds, unless a name says otherwise.
#pragma once

#include <memory>
#include <optional>
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
  bool alive() const { return node_ != nullptr; }
  Node& node() { return *node_; }  // alive
  const Node& node() const { return *node_; }
  NodeId id() const { return fabric_.node(); }
  NodeKind kind() const { return kind_; }
  SimFabric& fabric() { return fabric_; }
  SimStorage& storage() { return storage_; }
  const Medium& medium() const { return medium_; }
  Medium& medium() { return medium_; }
  Outbox& outbox() { return *outbox_; }
  EventQueue& queue() { return queue_; }
  Network& network() { return network_; }

  // The node is no more, nor what it had under way (Network::kill comes before it); the counters go on. place() begins
  // the next life.
  void end_life(bool keeps_memory, bool keeps_storage, Rng& draws);
  // Before the first turn: the node's rare choices are drawn.
  void draw_rare_choices(std::uint64_t seed, std::uint32_t one_in);
  std::uint64_t taken(Rare rare) const { return rare_ ? rare_->taken(rare) : 0; }
  // Between turns: what the Outbox adds up from now on.
  void set_costs(const CostTable& costs);

  // The node's turn, at the queue's time. The Outbox is then full; finish() empties it when its ops have been taken.
  void step(std::span<const Event> events, CheckContext& context);
  void finish(TimePs storage_time);

  // The node's deadline, or kPsNever.
  TimePs deadline() const;
  // Makes sure of an alarm at `time` or earlier; kPsNever: none needed. The alarm's taker calls rang() first.
  void arm(TimePs time);
  void rang() { alarm_ = kPsNever; }

  CoreUse use;

  void observe(Observer* observer) { observer_ = observer; }
  // A core took a turn with so many events, from `start` on. Asked after each turn.
  void took_turn(std::uint32_t core, TimePs start, TimePs lasts, std::size_t events) const {
    if (observer_ != nullptr) [[unlikely]]
      tell_turn(core, start, lasts, events);
  }
  // What concerns this node alone.
  void tell(TraceKind kind, const Event& event = {}, std::uint64_t bytes = 0) const;

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

  void tell_turn(std::uint32_t core, TimePs start, TimePs lasts, std::size_t events) const;
  void renew_outbox(const CostTable& costs);
  Snapshot now() const;
  Snapshot start() const;  // the window: marks where there are any, otherwise all of the run
  Snapshot end() const;

  Network& network_;
  EventQueue& queue_;
  NodeKind kind_;
  SimFabric fabric_;
  Medium medium_;
  SimStorage storage_;
  CostTable costs_;
  std::optional<RareChoices> rare_;
  std::optional<Outbox> outbox_;
  Ledger earlier_;  // of Outboxes before this one
  std::unique_ptr<Node> node_;
  TimePs alarm_ = kPsNever;
  Observer* observer_ = nullptr;
  Snapshot start_, end_;
};

}  // namespace slipstream::sim
