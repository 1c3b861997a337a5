// One run of one point: the only place that starts a world.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/node/report.h"
#include "experiments/cli/experiment.h"

namespace slipstream::cli {

struct RunOutcome {
  std::vector<NodeReport> reports;
  double wall_seconds = 0;       // of the run
  double simulated_seconds = 0;  // sim only, and
  std::uint64_t events = 0;      //   events taken from the queue
  std::string trouble;           // why the run failed; empty: it did not
};

// Throws std::runtime_error when the world cannot be set up.
RunOutcome run_world(const Experiment& experiment, World world);

// What a reader must know of a figure made there.
std::string acknowledged_text(const ReplicationOptions& replication);  // "all 3 backups"
std::string ordering_text(const Experiment& experiment, World world);  // promise of the device inside one write

}  // namespace slipstream::cli
