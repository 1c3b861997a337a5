// Each node on a host of its own in an emulated network: bandwidth, delay, racks. The network is Mininet's, built and
// watched over by mininet/network.py, a child of this process; the nodes are agents (agents.h) on its hosts.
#pragma once

#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

// Throws std::runtime_error with cause and remedy when the network cannot be had as it is wanted: no rights, a program
// missing, a kernel without delays, a machine too slow for the bandwidth. Nothing is left behind in any case.
RunResult run_mininet(const RunPlan& plan, const EmulateOptions& options);

}  // namespace slipstream::emulate
