// `slipstream bench`: the building blocks' own benchmarks, then the experiments with a goal, then every goal beside the
// figure found on this machine. A goal that is missed is told and makes exit status 3.
#pragma once

#include <string>
#include <vector>

namespace slipstream::cli {

struct BenchRequest {
  std::vector<std::string> only;      // benchmark programs and specs; empty: all
  std::string out = "results/bench";  // results of the specs, a folder each, made anew
  bool json = false;
};

int bench_command(const BenchRequest& request);

}  // namespace slipstream::cli
