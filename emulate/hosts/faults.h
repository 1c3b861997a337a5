// Which faults a host can carry out, and which of them are made inside a node's own process or loop.
#pragma once

#include <string>

#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

// Why the plan of faults cannot be carried out here, with the fault's name and what could do it; empty: it can.
std::string problem_with_faults(const RunPlan& plan, const EmulateOptions& options);
// Throws std::runtime_error when there is one.
void refuse_faults(const RunPlan& plan, const EmulateOptions& options);

}  // namespace slipstream::emulate
