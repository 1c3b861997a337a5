#include "experiments/cli/check_point.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/cli/hardware.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

// "cluster.servers: at least one ..." names the option as the rest of the project does.
PointProblem split(const std::string& text) {
  if (text.empty()) return {};
  const auto colon = text.find(": ");
  if (colon == std::string::npos) return {"", text};
  std::string path = "/" + text.substr(0, colon);
  std::replace(path.begin(), path.end(), '.', '/');
  return {path, text.substr(colon + 2)};
}

PointProblem problem_with_cluster(const ClusterOptions& cluster) {
  const int servers = cluster.servers;
  const int factor = cluster.replication.factor;
  if (cluster.replication.policy != Policy::kNone && factor >= servers) {
    if (servers == 1) {
      return {"/replication/factor",
              fmt::format("{} replicas do not fit on 1 server (a primary never holds its own replica); "
                          "raise /cluster/servers to {} or set /replication/policy to \"none\"",
                          factor, factor + 1)};
    }
    return {
        "/replication/factor",
        fmt::format("{} replicas do not fit on {} servers (at most {}: a primary never holds its own replica); lower "
                    "the factor or raise /cluster/servers",
                    factor, servers, servers - 1)};
  }
  return split(slipstream::problem_with(cluster));
}

PointProblem problem_with_arrivals(const WorkloadOptions& workload) {
  if (workload.arrivals != Arrivals::kClosed && workload.rate_ops_per_s <= 0) {
    return {"/workload/rate", fmt::format("is missing: arrivals are {}, so say how many, such as \"200 kops/s\"",
                                          name(workload.arrivals))};
  }
  if (workload.arrivals == Arrivals::kClosed && workload.rate_ops_per_s > 0) {
    return {"/workload/rate",
            "has no meaning with closed arrivals; remove it, or set /workload/arrivals to \"poisson\" or \"fixed\""};
  }
  return {};
}

PointProblem problem_with_sim(const SimSettings& settings) {
  const sim::SimOptions& options = settings.options;
  if (options.threading == sim::Threading::kDispatchWorkers && options.waiting == sim::Waiting::kSpin &&
      options.workers < 2) {
    return {"/sim/workers",
            "1 spinning worker waits for backups whose only worker waits for it; raise it to 2 at least, "
            "or set /sim/waiting to \"yield\""};
  }
  const auto folder = repository_root() / "experiments" / "hardware";
  const auto names = json_names(folder);
  if (std::find(names.begin(), names.end(), settings.hardware) != names.end()) {
    static std::set<std::string> read;  // a profile with an error is told of before anything runs
    if (read.insert(settings.hardware).second) read_hardware(hardware_file(settings.hardware));
    return {};
  }
  const std::string near = nearest(settings.hardware, names);
  return {"/sim/hardware",
          fmt::format("there is no profile \"{}\"{}; experiments/hardware has {}", settings.hardware,
                      near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near), fmt::join(names, ", "))};
}

}  // namespace

PointProblem problem_with(const Experiment& experiment, World world) {
  if (auto problem = problem_with_cluster(experiment.cluster); !problem.text.empty()) return problem;
  if (auto problem = problem_with_arrivals(experiment.cluster.workload); !problem.text.empty()) return problem;
  if (world == World::kSim) return problem_with_sim(experiment.sim);
  return split(emulate::problem_with(experiment.emulate));
}

}  // namespace slipstream::cli
