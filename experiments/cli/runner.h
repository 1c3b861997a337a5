// Runs all points of a spec that a results folder does not hold yet: simulated ones in parallel processes, emulated
// ones one at a time. Lines are written in the order of the spec, whatever finishes first, so that simulated results
// are the same bytes however many processes made them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "experiments/cli/job.h"
#include "experiments/cli/results.h"
#include "experiments/cli/spec.h"

namespace slipstream::cli {

struct RunSummary {
  std::size_t runs = 0;      // of all points and repeats
  std::size_t skipped = 0;   // found in the folder
  std::size_t finished = 0;  // made now
  std::size_t failed = 0;
  std::vector<std::string> failures;  // what went wrong, each problem once, with the first point that had it
  bool interrupted = false;
};

// `jobs`: simulated points at a time. `show_progress`: keep a line on stderr.
RunSummary run_points(const Spec& spec, const std::vector<Point>& points, ResultsFolder& folder, std::size_t jobs,
                      bool show_progress, RunWorld run = run_world);

}  // namespace slipstream::cli
