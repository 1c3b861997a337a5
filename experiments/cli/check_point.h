// What cannot work although each option by itself is fine.
#pragma once

#include <string>

#include "experiments/cli/experiment.h"

namespace slipstream::cli {

struct PointProblem {
  std::string path;  // "/replication/factor"
  std::string text;  // what was found, what would be right; empty: all is well
};
PointProblem problem_with(const Experiment& experiment, World world);

}  // namespace slipstream::cli
