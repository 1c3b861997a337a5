// Carries out a fault plan (core/node/faults.h) on a world: what the plan schedules, and what it draws by chance.
//
//   World world(hardware, options, seed);   // with its machines
//   Faults faults(world, plan, seed);       // before the first run()
//   world.run();
//
// Crashes, pauses, slowness, partitions, lost channels and inverted bits happen at their time. The others wait from
// their time on for what they need: torn and late writes for the next write of `node` (to `peer`, when named), lost and
// doubled messages for the next one that arrives at `node` (from `peer`), storage faults for the next append of `node`.
// They strike once. A crash planned for the same node and time as a torn or late write strikes together with it.
//
// The same world, plan and seed give the same run. Times of the plan count from the start of the run.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/rng.h"
#include "core/node/faults.h"
#include "sim/interference.h"
#include "sim/world.h"

namespace slipstream::sim {

inline constexpr std::size_t kFaultKinds = static_cast<std::size_t>(FaultKind::kStorageFailed) + 1;

class Faults : private Interference {
 public:
  // The plan's nodes are nodes of the world. Both world and this live until the run is over.
  Faults(World& world, const FaultPlan& plan, std::uint64_t seed);
  ~Faults() override;
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  // Faults that really happened: a crash of a dead node, a bit where there is no data, a lost channel where there is
  // none did not.
  std::uint64_t done() const;
  std::uint64_t done(FaultKind kind) const { return done_[static_cast<std::size_t>(kind)]; }
  // Of the plan: not yet begun, or waiting for what they strike.
  std::uint64_t waiting() const;

  // From now on nothing goes wrong any more: partitions heal, paused nodes go on, slow ones are as fast as the others,
  // nothing waits, nothing is drawn. Nodes that are to come back do so at their time; the others stay away.
  void stop();

 private:
  enum class State : std::uint8_t { kPlanned, kWaiting, kOngoing, kOver };
  struct Planned {
    Fault fault;
    State state = State::kPlanned;
    std::size_t with = kAlone;  // strikes together with this one
  };
  static constexpr std::size_t kAlone = ~std::size_t{0};

  OpVerdict on_post(NodeId node, NodeId peer, OpKind kind) override;
  MessageVerdict on_message(NodeId node, NodeId from) override;
  AppendVerdict on_append(NodeId node, std::uint64_t bytes) override;
  void struck(const OpVerdict& verdict, NodeId node, NodeId peer) override;

  void begin(std::size_t i);
  void end(std::size_t i);
  bool carry_out(const Fault& fault);
  void partition(const Fault& fault, bool begins);
  bool flip_bit(const Fault& fault);
  void happened(const Fault& fault);
  std::size_t take_waiting(NodeId node, NodeId peer, FaultKind first, FaultKind last);
  bool draws(NodeId node, std::uint32_t ppm) { return ppm != 0 && rngs_[index(node)].below(1'000'000) < ppm; }

  World& world_;
  FaultPlan chances_;  // without its schedule
  std::vector<Planned> plan_;
  std::vector<std::size_t> wait_;  // of the plan, in its order
  std::vector<Rng> rngs_;          // by node
  std::array<std::uint64_t, kFaultKinds> done_{};
  bool stopped_ = false;
};

}  // namespace slipstream::sim
