#include <stdexcept>

#include "core/node/cluster.h"
#include "emulate/hosts/options.h"
#include "emulate/hosts/packed.h"
#include "emulate/hosts/plan.h"
#include "emulate/hosts/processes.h"

namespace slipstream::emulate {

RunPlan plan_of(const ClusterOptions& cluster) {
  RunPlan plan;
  plan.nodes = node_count(cluster);
  plan.seed = cluster.seed;
  plan.make = [cluster](NodeId node, Fabric& fabric) { return make_node(cluster, node, fabric); };
  plan.kind = [cluster](NodeId node) { return kind_of(cluster, node); };
  plan.name = [cluster](NodeId node) { return node_name(cluster, node); };
  plan.stats = [](const Node& node) { return client_stats(node); };
  return plan;
}

RunResult run_emulated(const ClusterOptions& cluster, const EmulateOptions& options) {
  if (const std::string problem = problem_with(cluster); !problem.empty()) throw std::runtime_error(problem);
  if (const std::string problem = problem_with(options); !problem.empty()) throw std::runtime_error(problem);
  const RunPlan plan = plan_of(cluster);
  return options.hosts == HostKind::kPacked ? run_packed(plan, options) : run_processes(plan, options);
}

}  // namespace slipstream::emulate
