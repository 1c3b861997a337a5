// What a spec says about the simulated world.
#pragma once

#include <string>

#include "sim/sim_options.h"

namespace slipstream::cli {

struct SimSettings {
  std::string hardware = "connectx3-fdr-r320";  // a file of experiments/hardware, without ".json"
  sim::SimOptions options;
  TimeNs warmup_ns = 0;  // 0: as in the real world
  TimeNs duration_ns = 0;
};

}  // namespace slipstream::cli
