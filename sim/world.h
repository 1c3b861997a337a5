// A simulated world: machines around one switch, their cores, and the order in which things happen to them. Made empty;
// each add() makes a machine, whose node is then placed on it; run() lets time pass.
//
//   World world(hardware, options, seed);
//   Fabric& fabric = world.add(NodeKind::kServer);
//   world.place(NodeId{0}, make_node(cluster, NodeId{0}, fabric, world.storage(NodeId{0})));
//   const Ending ending = world.run();
//
// A node that is placed as a factory can die and have later lives.
//
// Units: picoseconds inside, nanoseconds towards nodes. Invariant: the same machines, nodes, options and seed give the
// same run, byte for byte.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/node/cluster.h"
#include "core/node/report.h"
#include "sim/dispatch_workers.h"
#include "sim/host.h"
#include "sim/run_to_completion.h"
#include "sim/sim_options.h"

namespace slipstream::sim {

enum class Ending : std::uint8_t {
  kDone,     // the coordinators, or where there are none all nodes, are done
  kStopped,  // what run() was given said so
  kTrouble,  // a node said that the run cannot go on
  kLimit,    // SimOptions::limit_ns passed
  kSilence,  // nothing is left to happen, and no one is done
};
std::string_view name(Ending ending);

// What the cores of one machine did in its window.
struct CoreReport {
  NodeId node = kNoNode;
  std::uint32_t workers = 0;  // 0: it runs to completion, on one core
  TimeNs window_ns = 0;
  std::uint64_t dispatch_busy_ns = 0;    // the dispatch core, or the only one
  std::uint64_t workers_busy_ns = 0;     // computing, all workers together, the extra one included
  std::uint64_t workers_waiting_ns = 0;  // spinning for replication, all workers together
  std::uint64_t turns = 0;
  std::uint64_t requests_queued = 0;  // found no worker free
  bool operator==(const CoreReport&) const = default;
};

class World {
 public:
  // Throws std::runtime_error, naming option or key, when the profile or the options cannot work.
  World(const HardwareProfile& hardware, const SimOptions& options, std::uint64_t seed);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Machines are numbered from 0 in the order of adding; all are added before the first run().
  Fabric& add(NodeKind kind);
  void place(NodeId id, std::unique_ptr<Node> node);
  // Makes a node for each of its lives; its memory comes from the fabric, the storage is what an earlier life left.
  using MakeNode = std::function<std::unique_ptr<Node>(NodeId id, Fabric& fabric, const Storage& storage)>;
  void place(NodeId id, MakeNode make);

  // Goes on until the end, or until `stop` (asked after each event, when given) says so. May be called again.
  Ending run(const std::function<bool()>& stop = nullptr);

  // Lives (world_lives.cc). A node that is dead cannot die, nor a living one start anew: then nothing happens.
  struct Crash {
    bool keeps_memory = true;
    bool keeps_storage = true;
    std::uint64_t salt = 0;  // draws how much of the storage operations under way was done
  };
  void crash(NodeId id, const Crash& how);
  void restart(NodeId id);
  bool alive(NodeId id) const { return machine(id).host.alive(); }
  // The cores stand still, after the turn that they are in, until as many resume()s; the NIC goes on.
  void pause(NodeId id);
  void resume(NodeId id);
  // The cores take `factor` times as long, in this life and later ones.
  void slow(NodeId id, std::uint32_t factor);
  // What may go against the nature of ops, messages and appends from now on; nullptr: nothing.
  void set_interference(Interference* interference);
  // Whom to tell what happens; nullptr: nobody. It outlives the world's last run.
  void observe(Observer* observer);
  Observer* observer() const { return observer_; }
  // Whom to show each node that dies, as it was.
  void on_death(std::function<void(NodeId, const Node&)> look) { on_death_ = std::move(look); }
  // Asks to be called during the run, at this time or, when it has passed, now.
  void at(TimePs time, std::function<void()> call);

  Node& node(NodeId id) { return machine(id).host.node(); }  // alive
  Storage& storage(NodeId id) { return machine(id).host.storage(); }
  const std::string& trouble() const { return trouble_; }  // "server-1: ..."; when run() ended in kTrouble
  SimFabric& fabric(NodeId id) { return machine(id).host.fabric(); }
  Medium& medium(NodeId id) { return machine(id).host.medium(); }
  TimePs now_ps() const { return queue_.now(); }
  std::uint64_t events() const { return queue_.popped(); }
  Network& network() { return network_; }

  // How often the unusual was chosen, by all nodes (SimOptions::rare_one_in).
  std::uint64_t taken(Rare rare) const;
  NodeReport report(NodeId id) const;  // without the client's counters, which are the node's
  CoreReport core_report(NodeId id) const;
  // Of all nodes' states and all counters: equal for equal runs.
  std::uint64_t state_hash() const;

 private:
  struct Machine {
    Host host;
    std::optional<RunToCompletion> loop;  // one of the two
    std::optional<DispatchWorkers> workers;
    bool still = false;  // dead, or paused
    int pauses = 0;
    TimePs paused_at = 0;
    std::vector<QueuedEvent> held;  // its cores' events, while paused
    std::optional<HardwareProfile> slowed;
    MakeNode make;

    Machine(Network& network, EventQueue& queue, const HardwareProfile& hardware, NodeKind kind, const CostTable& costs,
            bool keeps_stored)
        : host(network, queue, hardware, kind, costs, keeps_stored) {}
    bool threaded() const { return workers.has_value(); }
    void arrived() {
      if (still) [[unlikely]]
        return;
      loop ? loop->arrived() : workers->arrived();
    }
    void alarm() { loop ? loop->alarm() : workers->alarm(); }
  };

  Machine& machine(NodeId id) { return machines_[index(id)]; }
  const Machine& machine(NodeId id) const { return machines_[index(id)]; }
  void start();
  void make_cores(Machine& machine, bool threaded);
  const HardwareProfile& hardware(const Machine& machine) const { return machine.slowed ? *machine.slowed : hardware_; }
  CostTable costs(const Machine& machine) const;
  std::vector<QueuedEvent> take_core_events(NodeId id);
  void begin_life(NodeId id);
  void retire(NodeId id);
  void call(std::uint32_t call);
  Machine* carry_out(QueuedEvent event);
  Machine* carry_out_rare(QueuedEvent event);
  bool all_done() const;
  bool in_trouble();

  const HardwareProfile hardware_;
  const SimOptions options_;
  const CostTable prices_;
  EventQueue queue_;
  Network network_;
  CheckContext context_;
  std::vector<NodeKind> kinds_;
  std::deque<Machine> machines_;
  std::deque<std::function<void()>> calls_;
  bool started_ = false;
  std::string trouble_;
  Observer* observer_ = nullptr;
  std::function<void(NodeId, const Node&)> on_death_;
};

}  // namespace slipstream::sim
