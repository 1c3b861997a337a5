// One run of one point: the only place that starts a world.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/node/report.h"
#include "experiments/cli/experiment.h"

namespace slipstream::cli {

struct RunOutcome {
  std::vector<Metric> metrics;
  std::array<Histogram, kOperationTypes> latency;  // of all clients
  double wall_seconds = 0;                         // of the run
  double simulated_seconds = 0;                    // sim only, as are the following
  std::uint64_t events = 0;
  std::uint64_t state_hash = 0;  // of all nodes at the end
  std::string trouble;           // why the run failed; empty: it did not
};

// Throws std::runtime_error when the world cannot be set up.
using RunWorld = RunOutcome (*)(const Experiment& experiment, World world);
RunOutcome run_world(const Experiment& experiment, World world);

// Names of all metrics that a run in any world may have.
std::vector<std::string> known_metrics();

// What a reader must know of a figure made there.
std::string acknowledged_text(const ReplicationOptions& replication);  // "all 3 backups"
std::string ordering_text(World world);  // what the device promises of the order inside one write

}  // namespace slipstream::cli
