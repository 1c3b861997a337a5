#include "sim/cluster_run.h"

#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "sim/faults.h"

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

RunResult run_cluster(const ClusterOptions& cluster, const HardwareProfile& hardware, const SimOptions& options,
                      const FaultPlan& plan, Observer* observer) {
  const std::string problem = slipstream::problem_with(cluster);
  if (!problem.empty()) throw std::runtime_error(problem);
  World world(hardware, options, cluster.seed);
  const std::uint16_t nodes = node_count(cluster);
  for (std::uint16_t i = 0; i < nodes; ++i) {
    world.add(kind_of(cluster, NodeId{i}));
    world.place(NodeId{i}, [&cluster](NodeId id, Fabric& fabric, const Storage& storage) {
      return make_node(cluster, id, fabric, storage);
    });
  }
  std::optional<Faults> faults;
  if (!plan.empty()) faults.emplace(world, plan, cluster.seed);
  world.observe(observer);
  RunResult result;
  result.trouble = trouble_of(world.run(), world, options);
  result.faults = faults ? faults->done() : 0;
  for (std::uint16_t i = 0; i < nodes; ++i) {
    NodeReport report = world.report(NodeId{i});
    if (world.alive(NodeId{i})) {
      complete(report, world.node(NodeId{i}));
      if (const ClientStats* const stats = client_stats(world.node(NodeId{i})); stats != nullptr)
        report.client = *stats;
    }
    result.reports.push_back(std::move(report));
    result.cores.push_back(world.core_report(NodeId{i}));
  }
  if (faults) result.crashes = faults->done(FaultKind::kCrash);
  for (std::uint16_t i = 0; i < nodes && result.trouble.empty(); ++i) {
    result.records.push_back(world.alive(NodeId{i}) ? record_of(world.node(NodeId{i})) : NodeRecord{});
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
