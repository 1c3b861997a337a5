// What the driver of a run of processes does while the clock runs: it kills, stops and continues nodes as the plan of
// faults says, starts them anew, and sees when the run is over.
//
// A process that died of a planned crash, or that said it is retired, is not lost: the run goes on, with the node away
// or in its next life. Any other end of a process is the end of the run.
#pragma once

#include <vector>

#include "emulate/hosts/children.h"
#include "emulate/hosts/node_end.h"

namespace slipstream::emulate {

class Driver {
 public:
  // All must outlive it.
  Driver(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories, Children& children);

  // Notes ends before the clock runs; true: there were some.
  bool has_ended(const std::vector<Child*>& ended);
  // Until the run is over: a node ended it, one is lost or in trouble, `stop`, or the time limit.
  void run(const Clock& clock, const std::atomic<bool>& stop);

  // Ends all that still runs, within a grace time.
  void end_all(const Clock& clock, std::atomic<bool>& stop);

  // Of every node, as far as they began; those that ended the run or failed first.
  std::vector<NodeEnd> ends();
  std::uint64_t crashes() const { return crashes_; }                // that really happened
  const std::vector<TraceRecord>& marks() const { return marks_; }  // deaths, later lives, pauses

 private:
  struct Act {
    enum class Kind : std::uint8_t { kKill, kPause, kContinue, kStart };
    TimeNs at_ns = 0;
    Kind kind = Kind::kKill;
    NodeId node = kNoNode;
    const Fault* fault = nullptr;  // kKill, kPause
    std::uint32_t life = 0;        // kContinue: of this one only
  };

  void take_in(const std::vector<Child*>& ended, TimeNs now);
  void plan_act(const Act& act);
  TimeNs carry_out_due(const Clock& clock);  // when the next one is due
  void carry_out(const Act& act, const Clock& clock);
  void wipe(const Child& child);
  NodeEnd end_of(const Child& child) const;
  bool is_away(const Child& child) const;

  const RunPlan& plan_;
  const EmulateOptions& options_;
  const RunDirectories& directories_;
  Children& children_;
  std::vector<Act> acts_;  // by time
  std::uint64_t crashes_ = 0;
  std::vector<TraceRecord> marks_;
  std::vector<NodeId> over_;  // whose end is the end of the run; in the order in which it was seen
};

}  // namespace slipstream::emulate
