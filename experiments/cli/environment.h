// Where and with what a run was made: commit, machine, kernel, compiler.
#pragma once

#include <string>

#include "experiments/cli/experiment.h"
#include "experiments/cli/json.h"

namespace slipstream::cli {

Json environment_of(const Experiment& experiment);

// A warning when other work on the machine will spoil what is measured on it; empty: it will not.
std::string busy_note(const Json& environment);

}  // namespace slipstream::cli
