// A whole cluster, run in the simulated world: what an experiment calls. Fills the same reports as a real run, so that
// a metric has one definition (core/node/report.h).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/node/cluster.h"
#include "core/node/faults.h"
#include "core/node/node_record.h"
#include "core/node/report.h"
#include "sim/hardware.h"
#include "sim/sim_options.h"
#include "core/node/trace.h"
#include "sim/world.h"

namespace slipstream::sim {

struct RunTiming {
  std::uint64_t events = 0;      // of the simulator
  TimeNs simulated_ns = 0;       // all of the run, loading and warm-up included
  std::uint64_t state_hash = 0;  // equal for equal runs
};

struct RunResult {
  std::vector<NodeReport> reports;  // by node
  std::vector<CoreReport> cores;    // by node
  std::vector<NodeRecord> records;  // of a run that came to its end, by node; empty of dead ones
  std::uint64_t crashes = 0;        // of the plan, that really happened
  RunTiming timing;
  std::uint64_t faults = 0;  // that really happened
  std::string trouble;       // why the run did not come to its end; empty: it did
};

// Throws std::runtime_error, naming what is wrong, when options or profile cannot work.
// `observer`: told what happens, when there is one.
RunResult run_cluster(const ClusterOptions& cluster, const HardwareProfile& hardware, const SimOptions& options,
                      const FaultPlan& faults = {}, Observer* observer = nullptr);

// What the cores did, in metrics: of the servers together, over their windows.
std::vector<Metric> core_metrics(std::span<const CoreReport> cores, const ClusterOptions& cluster);

}  // namespace slipstream::sim
