// Each node of a run is a process of its own on this machine: kill -9 is real, and replica memory (over shm: named
// files in the run directory) outlives the process that is killed.
//
// The processes are forks of this one, without exec: plan and options are there already, nothing has to be told over a
// command line, and clock and listening sockets are shared from the start. So this process must not have other threads
// that hold locks while run_processes() starts.
//
// Nothing is left running: a child asks the kernel to be killed when this process dies (PR_SET_PDEATHSIG); in order,
// the run's stop flag in shared memory ends the children, and SIGKILL those that have not gone after a grace time. In
// the run directory, per node: "NODE.report" (encode()), "NODE.state" (describe(), or why it failed), "NODE.stderr",
// "NODE.pid"; NODE as in "node-3".
#pragma once

#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

// Trouble of a child that could not be set up comes back as trouble, too.
RunResult run_processes(const RunPlan& plan, const EmulateOptions& options);

}  // namespace slipstream::emulate
