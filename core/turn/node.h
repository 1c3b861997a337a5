// A node is a step function. One node = one core = one shard; a machine with more cores runs more nodes. A world (sim
// or emulate) drives it: poll -> step -> post. Nodes share nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/base/units.h"
#include "core/fabric/fabric.h"
#include "core/turn/outbox.h"

namespace slipstream {

class Node {
 public:
  virtual ~Node() = default;

  // One turn: take in what happened, decide, put wishes into `out`. Never blocks, never reads a clock, spawns nothing.
  virtual void step(TimeNs now, std::span<const Event> events, Outbox& out) = 0;

  // step() must run at this time even when nothing happens. A time in the past asks for another turn at once.
  virtual TimeNs deadline() const = 0;

  // The node has nothing more to do for this run; a run ends when its coordinator is done.
  virtual bool done() const { return false; }

  // This life of the node is over (it was declared dead, and knows): it takes no more part, and its world may start it
  // anew, as after a crash.
  virtual bool retired() const { return false; }

  // Why the run cannot go on, told to the user; empty: all is well. (The log is full, a peer is gone for good, ...)
  virtual std::string trouble() const { return {}; }

  // State on one line; the same state gives the same line and hash.
  virtual std::string describe() const = 0;
  virtual std::uint64_t state_hash() const = 0;
};

}  // namespace slipstream
