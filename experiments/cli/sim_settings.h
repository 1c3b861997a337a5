// What a spec says about the simulated world.
#pragma once

#include <cstdint>
#include <string>

#include "sim/sim_options.h"

namespace slipstream::cli {

struct SimSettings {
  std::string hardware = "connectx3-fdr-r320";  // a file of experiments/hardware, without ".json"
  sim::SimOptions options;
  TimeNs warmup_ns = 0;  // 0: as in the real world
  TimeNs duration_ns = 0;
};

// Instead of a run of the cluster that the spec describes: scenarios that are drawn (sim/scenario.h), and their harm.
struct SwarmSettings {
  std::uint32_t seeds = 0;    // 0: an ordinary run
  std::string fault = "any";  // the only kind of fault, followed by crashes
};

}  // namespace slipstream::cli
