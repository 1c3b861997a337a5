#include "experiments/cli/check_point.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/cli/paths.h"
#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

std::string size_text(std::size_t bytes) { return format_quantity(static_cast<double>(bytes), Dimension::kSize); }

PointProblem problem_with_cluster(const ClusterOptions& cluster) {
  const int servers = cluster.servers;
  const int factor = cluster.replication.factor;
  if (cluster.replication.policy != Policy::kNone && factor >= servers) {
    if (servers == 1) {
      return {"/replication/factor", fmt::format("{} replicas do not fit on 1 server (a primary never holds its own replica); "
                                                 "raise /cluster/servers to {} or set /replication/policy to \"none\"",
                                                 factor, factor + 1)};
    }
    return {"/replication/factor",
            fmt::format("{} replicas do not fit on {} servers (at most {}: a primary never holds its own replica); lower "
                        "the factor or raise /cluster/servers", factor, servers, servers - 1)};
  }
  if (cluster.log.memory_bytes % cluster.log.segment_bytes != 0 || cluster.log.memory_bytes < 4 * cluster.log.segment_bytes) {
    return {"/cluster/log_memory", fmt::format("{} is not a whole number, 4 or more, of {} segments (/cluster/segment)",
                                               size_text(cluster.log.memory_bytes), size_text(cluster.log.segment_bytes))};
  }
  return {};
}

PointProblem problem_with_workload(const ClusterOptions& cluster) {
  const WorkloadOptions& workload = cluster.workload;
  if (workload.arrivals != Arrivals::kClosed && workload.rate_ops_per_s <= 0) {
    return {"/workload/rate", fmt::format("is missing: arrivals are {}, so say how many, such as \"200 kops/s\"", name(workload.arrivals))};
  }
  if (workload.arrivals == Arrivals::kClosed && workload.rate_ops_per_s > 0) {
    return {"/workload/rate", "has no meaning with closed arrivals; remove it, or set /workload/arrivals to \"poisson\" or \"fixed\""};
  }
  const double loaded = static_cast<double>(workload.records) * static_cast<double>(workload.key_bytes + workload.value_bytes);
  const double room = static_cast<double>(cluster.log.memory_bytes) * cluster.servers;
  if (loaded > room) {
    return {"/workload/records", fmt::format("{} records of {} B do not fit into the log memory of {} servers ({} together); lower "
                                             "the records or raise /cluster/log_memory", workload.records,
                                             workload.key_bytes + workload.value_bytes, cluster.servers, size_text(cluster.log.memory_bytes * cluster.servers))};
  }
  return {};
}

PointProblem problem_with_hardware(const SimSettings& sim) {
  const auto folder = repository_root() / "experiments" / "hardware";
  const auto names = json_names(folder);
  if (std::find(names.begin(), names.end(), sim.hardware) != names.end()) return {};
  const std::string near = nearest(sim.hardware, names);
  return {"/sim/hardware", fmt::format("there is no profile \"{}\"{}; experiments/hardware has {}", sim.hardware,
                                       near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near), fmt::join(names, ", "))};
}

}  // namespace

PointProblem problem_with(const Experiment& experiment, World world) {
  if (auto problem = problem_with_cluster(experiment.cluster); !problem.text.empty()) return problem;
  if (auto problem = problem_with_workload(experiment.cluster); !problem.text.empty()) return problem;
  if (const std::string text = slipstream::problem_with(experiment.cluster); !text.empty()) return {"/cluster", text};
  if (world == World::kSim) return problem_with_hardware(experiment.sim);
  const std::string text = emulate::problem_with(experiment.emulate);
  return {text.empty() ? "" : "/emulate", text};
}

}  // namespace slipstream::cli
