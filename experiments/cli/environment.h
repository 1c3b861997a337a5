// Where and with what a run was made: commit, machine, kernel, compiler.
#pragma once

#include "experiments/cli/experiment.h"
#include "experiments/cli/json.h"

namespace slipstream::cli {

Json environment_of(const Experiment& experiment);

}  // namespace slipstream::cli
