// Threading model "run-to-completion": one core polls NIC, storage and clock, and takes all that has arrived (at most a
// batch) in one turn. So batches, and with them saturation, come about by themselves.
//
// A turn that starts at t takes the price of all its work, transport and computation alike, and at least an idle turn.
// An op leaves at t + the price of the work before it; storage ops leave at the end.
#pragma once

#include <vector>

#include "sim/host.h"

namespace slipstream::sim {

class RunToCompletion {
 public:
  RunToCompletion(Host& host, CheckContext& context, const HardwareProfile& hardware, std::uint32_t batch)
      : host_(host), context_(context), idle_turn_(hardware.cpu_idle_turn), events_(batch) {}

  // The core stood still until now: what it was about to do, it does `by` later.
  void stood_still(TimePs by);
  void set_hardware(const HardwareProfile& hardware) { idle_turn_ = hardware.cpu_idle_turn; }

  void arrived();  // something is in the inboxes
  void turn();     // Happening::kTurn
  void alarm();    // Happening::kAlarm

 private:
  bool pending() const { return host_.fabric().pending() || !host_.storage().inbox().empty(); }

  Host& host_;
  CheckContext& context_;
  TimePs idle_turn_;
  std::vector<Event> events_;
  TimePs busy_until_ = 0;
  bool scheduled_ = false;  // a kTurn is in the queue
};

}  // namespace slipstream::sim
