#include "experiments/cli/check_point.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "emulate/hosts/faults.h"
#include "emulate/hosts/plan.h"
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

// Nodes that do not share a machine's memory.
PointProblem problem_with_containers(const emulate::EmulateOptions& options) {
  if (options.hosts != emulate::HostKind::kContainers || options.fabric != emulate::FabricKind::kShm) return {};
  return {"/emulate/fabric",
          "shm does not reach from one container to another, and hosts are containers; set it to \"tcp\" or "
          "\"verbs\" (or run with --on tcp)"};
}

PointProblem problem_with_network(const ClusterOptions& cluster, const emulate::EmulateOptions& options) {
  const emulate::NetworkOptions& network = options.network;
  const bool is_limited = network.bandwidth_bits_per_s > 0;
  const bool is_two_tier = network.topology == emulate::Topology::kTwoTier;
  if (options.hosts != emulate::HostKind::kMininet) {
    const char* const path = is_limited             ? "/emulate/bandwidth"
                             : network.delay_ns > 0 ? "/emulate/delay"
                             : is_two_tier          ? "/emulate/topology"
                                                    : nullptr;
    if (path == nullptr) return {};
    return {path, fmt::format("means nothing where hosts are {}: there is no emulated network; remove it, or set "
                              "/emulate/hosts to \"mininet\"",
                              emulate::name(options.hosts))};
  }
  if (options.fabric == emulate::FabricKind::kShm) {
    return {"/emulate/fabric",
            "shm does not pass through a network, and hosts are mininet; set it to \"tcp\" (or run with --on tcp)"};
  }
  const auto nodes = node_count(cluster);
  if (is_two_tier && network.racks > nodes) {
    return {"/emulate/racks", fmt::format("{} are more than the {} nodes; lower it to {} at most, or raise "
                                          "/cluster/clients or /cluster/servers",
                                          network.racks, nodes, nodes)};
  }
  if (network.oversubscription != 1 && !(is_two_tier && is_limited)) {
    return {"/emulate/oversubscription",
            "is of an uplink's bandwidth; set /emulate/topology to \"two-tier\" and /emulate/bandwidth to what a "
            "node's link carries, or remove it"};
  }
  return {};
}

PointProblem problem_with_machines(const emulate::EmulateOptions& options) {
  const bool has_machines = !options.machines.empty();
  if (options.hosts != emulate::HostKind::kSsh) {
    if (!has_machines) return {};
    return {"/emulate/machines", fmt::format("means nothing where hosts are {}; remove it, or set /emulate/hosts to "
                                             "\"ssh\" (or run with --hosts ssh)",
                                             emulate::name(options.hosts))};
  }
  if (!has_machines) {
    return {"/emulate/machines",
            "is missing: hosts are ssh, so say which machines, such as [{\"address\": \"10.0.0.7\"}, {\"address\": "
            "\"10.0.0.8\", \"ssh\": \"ada@node8.lab\"}]"};
  }
  if (options.fabric == emulate::FabricKind::kShm) {
    return {"/emulate/fabric",
            "machines share no memory, and hosts are ssh; set it to \"tcp\" or \"verbs\" (or run with --on tcp)"};
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

PointProblem problem_with_faults(const Experiment& experiment, World world) {
  const ClusterOptions& cluster = experiment.cluster;
  if (const FaultProblem problem = problem_with(experiment.faults, cluster); !problem.text.empty()) {
    return {"/faults" + problem.place, problem.text};
  }
  if (world == World::kSim) return {};
  emulate::EmulateOptions options = experiment.emulate;
  options.faults = fault_plan(experiment.faults, cluster);
  const bool is_here = options.hosts == emulate::HostKind::kPacked || options.hosts == emulate::HostKind::kProcesses ||
                       options.hosts == emulate::HostKind::kVm;
  if (cluster.checked && !is_here) {
    return {
        "/workload/checked",
        fmt::format("histories of hosts {} cannot be compared: each node has a clock of its own; set /emulate/hosts "
                    "to \"processes\", \"packed\" or \"vm\", or run with --on sim",
                    emulate::name(options.hosts))};
  }
  return split(emulate::problem_with_faults(emulate::plan_of(cluster), options));
}

}  // namespace

PointProblem problem_with(const Experiment& experiment, World world) {
  if (auto problem = problem_with_cluster(experiment.cluster); !problem.text.empty()) return problem;
  if (auto problem = problem_with_arrivals(experiment.cluster.workload); !problem.text.empty()) return problem;
  if (auto problem = problem_with_faults(experiment, world); !problem.text.empty()) return problem;
  if (world == World::kSim) return problem_with_sim(experiment.sim);
  if (auto problem = problem_with_network(experiment.cluster, experiment.emulate); !problem.text.empty()) {
    return problem;
  }
  if (auto problem = problem_with_containers(experiment.emulate); !problem.text.empty()) return problem;
  if (auto problem = problem_with_machines(experiment.emulate); !problem.text.empty()) return problem;
  return split(emulate::problem_with(experiment.emulate));
}

}  // namespace slipstream::cli
