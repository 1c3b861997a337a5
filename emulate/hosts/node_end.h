// How the nodes of a run ended, when each is a process of its own, and what a user is told of it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

struct NodeEnd {
  enum class How : std::uint8_t {
    kReported,  // was told to stop, and did
    kEndedRun,  // reported, too
    kTrouble,
    kStopped,  // before it began
    kLost,     // killed by others, crashed, out of reach
    kPutDown,  // by us, after the grace time
    kAway,     // crashed as planned, or retired, and not back
  };
  NodeId id = kNoNode;
  How how = How::kStopped;
  std::string who;    // for kLost: "server-1 (process 812)"
  std::string text;   // kTrouble: why; kLost: what became of it, "was killed by SIGKILL"; else its state, if it told it
  std::string words;  // what it wrote to standard error
};

// Why the run failed, the cause before what it brought about; empty when it did not. `ends` are in the order in which
// they were seen.
std::string trouble_of(const RunPlan& plan, const EmulateOptions& options, std::span<const NodeEnd> ends, int signal);

// "; its last words: ...", empty when there are none.
std::string last_words(std::string_view words);

}  // namespace slipstream::emulate
