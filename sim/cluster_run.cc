#include "sim/cluster_run.h"

#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::sim {

namespace {

std::string trouble_of(Ending ending, const World& world, const SimOptions& options) {
  switch (ending) {
    case Ending::kDone:
    case Ending::kStopped: return {};
    case Ending::kTrouble: return world.trouble();
    case Ending::kLimit:
      return fmt::format("not done after {} s of simulated time", static_cast<double>(options.limit_ns) / kSecond);
    case Ending::kSilence: return "nothing is left to happen, and the coordinator is not done";
  }
  return {};
}

}  // namespace

RunResult run_cluster(const ClusterOptions& cluster, const HardwareProfile& hardware, const SimOptions& options) {
  const std::string problem = slipstream::problem_with(cluster);
  if (!problem.empty()) throw std::runtime_error(problem);
  World world(hardware, options, cluster.seed);
  const std::uint16_t nodes = node_count(cluster);
  for (std::uint16_t i = 0; i < nodes; ++i) {
    Fabric& fabric = world.add(kind_of(cluster, NodeId{i}));
    world.place(NodeId{i}, make_node(cluster, NodeId{i}, fabric));
  }
  RunResult result;
  result.trouble = trouble_of(world.run(), world, options);
  for (std::uint16_t i = 0; i < nodes; ++i) {
    NodeReport report = world.report(NodeId{i});
    if (const ClientStats* const stats = client_stats(world.node(NodeId{i}))) report.client = *stats;
    result.reports.push_back(std::move(report));
    result.cores.push_back(world.core_report(NodeId{i}));
  }
  result.timing = {world.events(), world.now_ps() / kPsPerNs, world.state_hash()};
  return result;
}

std::vector<Metric> core_metrics(std::span<const CoreReport> cores, const ClusterOptions& cluster) {
  double dispatch = 0, busy = 0, waiting = 0, dispatch_time = 0, worker_time = 0;
  for (const CoreReport& core : cores) {
    if (kind_of(cluster, core.node) != NodeKind::kServer) continue;
    dispatch += static_cast<double>(core.dispatch_busy_ns);
    busy += static_cast<double>(core.workers_busy_ns);
    waiting += static_cast<double>(core.workers_waiting_ns);
    dispatch_time += static_cast<double>(core.window_ns);
    worker_time += static_cast<double>(core.window_ns) * core.workers;
  }
  const auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0.0; };
  return {{"dispatch_busy_ratio", share(dispatch, dispatch_time)},
          {"workers_busy_ratio", share(busy, worker_time)},
          {"workers_waiting_ratio", share(waiting, worker_time)}};
}

}  // namespace slipstream::sim
