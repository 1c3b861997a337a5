#include "experiments/cli/world.h"

#include <chrono>

#include <fmt/format.h>

#include "experiments/cli/hardware.h"
#include "sim/cluster_run.h"

namespace slipstream::cli {
namespace {

void take_reports(RunOutcome& outcome, const ClusterOptions& cluster, const std::vector<NodeReport>& reports) {
  outcome.metrics = summarize(cluster, reports);
  for (const NodeReport& report : reports) {
    if (report.kind != NodeKind::kClient) continue;
    for (std::size_t i = 0; i < kOperationTypes; ++i) outcome.latency[i].merge(report.client.latency[i]);
  }
}

RunOutcome run_emulate(const Experiment& experiment) {
  emulate::RunResult result = emulate::run_emulated(experiment.cluster, experiment.emulate);
  RunOutcome outcome;
  outcome.trouble = std::move(result.trouble);
  outcome.wall_seconds = result.wall_seconds;
  if (outcome.trouble.empty()) take_reports(outcome, experiment.cluster, result.reports);
  return outcome;
}

RunOutcome run_sim(const Experiment& experiment) {
  const sim::HardwareProfile hardware = read_hardware(hardware_file(experiment.sim.hardware));
  const auto start = std::chrono::steady_clock::now();
  sim::RunResult result = sim::run_cluster(experiment.cluster, hardware, experiment.sim.options);
  RunOutcome outcome;
  outcome.trouble = std::move(result.trouble);
  outcome.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  outcome.simulated_seconds = static_cast<double>(result.timing.simulated_ns) / 1e9;
  outcome.events = result.timing.events;
  outcome.state_hash = result.timing.state_hash;
  if (!outcome.trouble.empty()) return outcome;
  take_reports(outcome, experiment.cluster, result.reports);
  for (Metric& metric : sim::core_metrics(result.cores, experiment.cluster))
    outcome.metrics.push_back(std::move(metric));
  return outcome;
}

}  // namespace

std::vector<std::string> known_metrics() {
  // A client that has seen every type of operation makes every metric appear.
  std::vector<NodeReport> reports(1);
  reports[0].kind = NodeKind::kClient;
  for (Histogram& latency : reports[0].client.latency) latency.add(1);
  std::vector<std::string> names;
  for (const Metric& metric : summarize({}, reports)) names.push_back(metric.name);
  for (const Metric& metric : sim::core_metrics({}, {})) names.push_back(metric.name);
  return names;
}

RunOutcome run_world(const Experiment& experiment, World world) {
  return world == World::kSim ? run_sim(experiment) : run_emulate(experiment);
}

std::string acknowledged_text(const ReplicationOptions& replication) {
  if (replication.policy == Policy::kNone) return "the primary alone";
  return replication.factor == 1 ? "the backup" : fmt::format("all {} backups", replication.factor);
}

std::string ordering_text(World world) {
  return world == World::kSim ? "packets land in order, each whole" : "none promised";
}

}  // namespace slipstream::cli
