// What may go against the nature of ops, arrivals and appends: asked by the network and the storages of a world that
// has one (sim/faults.h), never by one that has not.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/fabric/fabric.h"
#include "core/node/faults.h"
#include "sim/hardware.h"

namespace slipstream::sim {

// What becomes of an op that a node posts.
struct OpVerdict {
  enum Kind : std::uint8_t { kFine, kChannelLoss, kTorn, kLate } kind = kFine;
  Tear tear = Tear::kWhole;  // kTorn
  std::uint64_t salt = 0;    // kTorn
  TimePs lasts = 0;          // kLate: from being lost to landing
  std::size_t cause = 0;     // the interference's own
};

// Of a message that arrives.
struct MessageVerdict {
  enum Kind : std::uint8_t { kFine, kLost, kTwice } kind = kFine;
  TimePs later = 0;  // kTwice: the second copy
};

// Of a storage append.
struct AppendVerdict {
  enum Kind : std::uint8_t { kFine, kLost, kShort, kFailed } kind = kFine;
  std::uint64_t bytes = 0;  // kShort: that are there
};

class Interference {
 public:
  virtual ~Interference() = default;
  virtual OpVerdict on_post(NodeId node, NodeId peer, OpKind kind) = 0;
  virtual MessageVerdict on_message(NodeId node, NodeId from) = 0;
  virtual AppendVerdict on_append(NodeId node, std::uint64_t bytes) = 0;
  // A write from `node` has been torn, or is late, as on_post wanted.
  virtual void struck(const OpVerdict& verdict, NodeId node, NodeId peer) = 0;
};

}  // namespace slipstream::sim
