#include <stdexcept>

#include <fmt/format.h>

#include "core/node/cluster.h"
#include "core/node/node_record.h"
#include "emulate/hosts/containers.h"
#include "emulate/hosts/faults.h"
#include "emulate/hosts/mininet.h"
#include "emulate/hosts/options.h"
#include "emulate/hosts/packed.h"
#include "emulate/hosts/plan.h"
#include "emulate/hosts/processes.h"
#include "emulate/hosts/ssh.h"

namespace slipstream::emulate {

RunPlan plan_of(const ClusterOptions& cluster) {
  RunPlan plan;
  plan.nodes = node_count(cluster);
  plan.seed = cluster.seed;
  plan.make = [cluster](NodeId node, Fabric& fabric, const Storage& storage) {
    return make_node(cluster, node, fabric, storage);
  };
  plan.kind = [cluster](NodeId node) { return kind_of(cluster, node); };
  plan.name = [cluster](NodeId node) { return node_name(cluster, node); };
  plan.stats = [](const Node& node) { return client_stats(node); };
  if (cluster.checked || cluster.membership.recoverable) {
    plan.record = [](const Node& node) { return encode(record_of(node)); };
  }
  return plan;
}

RunResult run_emulated(const ClusterOptions& cluster, const EmulateOptions& options) {
  if (const std::string problem = problem_with(cluster); !problem.empty()) throw std::runtime_error(problem);
  if (const std::string problem = problem_with(options); !problem.empty()) throw std::runtime_error(problem);
  const RunPlan plan = plan_of(cluster);
  refuse_faults(plan, options);
  switch (options.hosts) {
    case HostKind::kPacked: return run_packed(plan, options);
    case HostKind::kProcesses:
    case HostKind::kVm: return run_processes(plan, options);  // whoever asks for a guest is in it by now
    case HostKind::kMininet: return run_mininet(plan, options);
    case HostKind::kContainers: return run_containers(plan, options);
    case HostKind::kSsh: return run_ssh(plan, options);
  }
  throw std::runtime_error("hosts: of no known kind");
}

}  // namespace slipstream::emulate
