// The kinds of events in a simulated world's queue, and what `what` means for each.
#pragma once

#include <cstdint>

namespace slipstream::sim {

enum class Happening : std::uint32_t {
  // The network's (sim/network.h).
  kDataAtSwitch,  // node: the first packet of its uplink's queue reaches the switch
  kAckAtSwitch,   // node: the first acknowledgement on its uplink reaches the switch
  kDelivery,      // node: the first packet of its downlink's queue is in its memory
  kNicDone,       // transfer: what the NIC does alone (connect, grant, withdraw, revoke, fetch for a read)
  kTold,          // node: its inbox got something by a fault
  kGiveUp,        // end * 2 + 0 or 1: its NIC, or its peer's, may give up what a partition holds back
  kRelease,       // end: what it sent late goes on
  kSettle,        // end: all of a write into it becomes visible
  // The storage's (sim/sim_storage.h).
  kStorageDone,  // node: the first operation of its medium's queue is done
  // A node's cores' (sim/run_to_completion.h, sim/dispatch_workers.h).
  kAlarm,     // node: its deadline
  kTurn,      // node: its core is free and something waits
  kServed,    // node: the dispatch core has taken an event that it handles itself
  kWorkers,   // node: a request and a worker for it may be ready
  kOpsReady,  // transfer: first of a list of ops, which the dispatch core is now to post
  // The world's (sim/world.h).
  kRestart,  // node: its next life begins
  kRetired,  // node: it says that its life is over
  kCall,     // call: somebody asked to be called at this time
};

}  // namespace slipstream::sim
