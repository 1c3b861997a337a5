// All nodes of a run in this process, on K loops (threads): no NIC, no root, and with one pinned loop the cleanest
// measure of what the protocols cost a CPU. Nodes are placed on loops round-robin; loop 0 runs on the calling thread.
//
// A node that never comes back from a turn holds the run up for good: nothing here can stop a thread.
#pragma once

#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

RunResult run_packed(const RunPlan& plan, const EmulateOptions& options);

}  // namespace slipstream::emulate
