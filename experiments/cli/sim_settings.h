// What a spec says about the simulated world.
#pragma once

#include <string>

#include "sim/sim_options.h"

namespace slipstream::cli {

struct SimSettings {
  std::string hardware = "connectx3-fdr-r320";  // a file of experiments/hardware, without ".json"
  sim::SimOptions options;
};

}  // namespace slipstream::cli
