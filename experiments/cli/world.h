// One run of one point: the only place that starts a world.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/check/judge.h"
#include "core/node/report.h"
#include "experiments/cli/experiment.h"

namespace slipstream::cli {

// What happened in each part of the measured window, over all nodes.
struct Timelines {
  TimeNs part_ns = 0;  // 0: nothing was recorded
  std::array<std::uint64_t, kTimelineParts> completed{};
  std::array<std::uint64_t, kTimelineParts> worst_us{};
  std::array<std::uint64_t, kTimelineParts> recovered{};  // bytes
  // 99th percentile of the latency of what began in the part, on tablets that stayed where they were; 0: nothing did.
  std::array<double, kTimelineParts> living_p99_us{};
};

struct RunOutcome {
  std::vector<Metric> metrics;
  std::array<Histogram, kOperationTypes> latency;  // of all clients
  double wall_seconds = 0;                         // of the run
  double simulated_seconds = 0;                    // sim only, as are the following
  std::uint64_t events = 0;
  std::uint64_t state_hash = 0;                // of all nodes at the end
  std::map<std::string, double> network;       // emulated networks: what was applied, expected and measured
  WriteOrder write_order = WriteOrder::kNone;  // the least that any node's fabric promises
  bool judged = false;                         // the clients were checked ones
  Findings findings;                           // of the judges
  std::vector<HistoryOperation> history;       // what they judged
  Timelines timelines;
  std::string trouble;  // why the run failed; empty: it did not
};

// Throws std::runtime_error when the world cannot be set up.
using RunWorld = RunOutcome (*)(const Experiment& experiment, World world);
RunOutcome run_world(const Experiment& experiment, World world);

// Names of all metrics that a run in any world may have.
std::vector<std::string> known_metrics();

// What a reader must know of a figure made there.
std::string acknowledged_text(const ReplicationOptions& replication);  // "all 3 backups"
std::string ordering_text(World world, WriteOrder order);              // inside one write, as the device promises it

}  // namespace slipstream::cli
