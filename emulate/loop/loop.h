// The loop that turns real time into turns: for each of its nodes poll -> step -> post, on one thread. It owns polling,
// yielding, sleeping and the clock; the nodes know of none of these.
//
// A node takes a turn only when a poll brought events (at most kEventsPerTurn a turn) or its deadline has passed, so
// the number of turns in the ledger is exact. Time never runs backwards for a node.
//
// Idle: poll for a moment, then poll and yield the core, then sleep until a fabric or storage wakes the loop or the
// nearest deadline comes. With more pollers than cores, polling on only keeps the others from what one waits for:
// idle_for() then yields at once and sleeps soon. Where the core is ours alone a yield is a poll that takes half a
// microsecond longer. Where somebody computes on it, a yield costs a slice of the scheduler's (milliseconds): a loop
// that sees one come back late sleeps instead for the next 20 ms.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/ids.h"
#include "core/turn/node.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/loop/clock.h"
#include "emulate/loop/cpu_meter.h"

namespace slipstream::emulate {

inline constexpr std::size_t kEventsPerTurn = 256;

struct IdleOptions {
  TimeNs spin_ns = 2 * kMicrosecond;            // polling after the last turn before the loop yields between polls
  TimeNs yield_ns = 200 * kMicrosecond;         // yielding before it sleeps
  TimeNs shared_spin_ns = 20 * kMicrosecond;    // polling before it sleeps, where others compute on its core
  TimeNs longest_sleep_ns = 20 * kMillisecond;  // so that the end of a run is seen in time
};

// What suits `pollers` loops that share `cores` cores.
IdleOptions idle_for(std::uint32_t pollers, std::uint32_t cores);

// Is told of every turn when it is over. All views end with the call.
struct TurnView {
  TimeNs polled_ns = 0;   // what it takes in is there
  TimeNs stepped_ns = 0;  // the node has decided
  TimeNs posted_ns = 0;   // and what it wishes was handed over
  std::span<const Event> events;
  std::span<const Op> ops;
};
class TurnObserver {
 public:
  virtual ~TurnObserver() = default;
  virtual void saw(const TurnView& turn) = 0;
};

// A core that takes `factor` times as long over its node's turns.
struct Slowness {
  TimeNs at_ns = 0;
  TimeNs until_ns = kNever;
  std::uint32_t factor = 1;
};

struct Seat {
  NodeId id = kNoNode;
  Node* node = nullptr;
  RealFabric* fabric = nullptr;
  Storage* storage = nullptr;          // may be absent
  WakeSource* storage_wake = nullptr;  // with storage
  TurnObserver* observer = nullptr;    // may be absent
  std::vector<Slowness> slow;          // what a turn posts leaves at once; the next turn comes that much later
  bool ends_run = false;               // the run ends when this node is done
  bool ends_retired = false;           // the loop ends, and it alone, when this node has retired
  TimeNs dies_ns = kNever;             // from then on it takes no turn, and the loop knows of it no more;
  std::function<void()> on_death;      // called on the loop's thread then
};

struct LoopEnd {
  enum class Why : std::uint8_t { kStopped, kDone, kTrouble, kTimeLimit, kRetired };
  Why why = Why::kStopped;
  NodeId node = kNoNode;  // kDone, kTrouble, kRetired: whose
  std::string trouble;    // kTrouble
};

class Loop {
 public:
  // `stop` is shared by all loops of the run and ends them; whoever sees the end of the run first sets it.
  Loop(const Clock& clock, const IdleOptions& idle, std::uint64_t seed, std::atomic<bool>& stop);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Everything in the seat must outlive the loop, or live until the node's death.
  void seat(const Seat& seat);

  // Until `stop`, the end of the node that ends the run, some node's trouble, or `time_limit_ns` on the clock.
  LoopEnd run(TimeNs time_limit_ns = kNever);

  // What the i-th seat did between its marks. A window that was still open when the run ended ends there; all zero when
  // none was opened, or the node is dead.
  Usage usage(std::size_t i) const;

 private:
  struct Place;

  bool turn(Place& place);
  bool is_over(Place& place);
  void take_the_dead(TimeNs now);
  void slow_down(Place& place, TimeNs now);
  void settle(Place& place, Ticks now);
  Snapshot snapshot(const Place& place, Ticks now) const;
  void wait(Ticks idle_since);
  template <typename Wait>
  Ticks measured(WaitMeter& meter, Wait&& wait);

  Clock clock_;
  IdleOptions idle_;
  std::uint64_t seed_;
  std::atomic<bool>& stop_;
  LoopEnd end_;
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<WakeSource*> sources_;
  std::vector<Event> events_;
  TimeNs now_ns_ = 0;
  TimeNs next_death_ns_ = kNever;
  Ticks waited_ = 0;
  TimeNs shared_until_ns_ = 0;  // others want this core, too
  TimeNs reading_ns_ = 0;       // of the thread's CPU time
  WaitMeter yields_;
  WaitMeter sleeps_;
};

}  // namespace slipstream::emulate
