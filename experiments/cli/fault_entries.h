// The faults of a spec, /faults: entries as people write them, and the plan of faults that they make for a cluster and
// a seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/node/cluster.h"
#include "core/node/faults.h"
#include "experiments/cli/json.h"

namespace slipstream::cli {

// One fault, or a series of the same: at `fault.at_ns`, and every `every_ns` from then on, `times` in all.
struct FaultEntry {
  Fault fault;       // its nodes are named below; its salt is drawn
  std::string node;  // as node_name() gives it, or "any-server": drawn for each of the series
  std::string peer;  // empty: none is named
  TimeNs every_ns = 0;
  std::uint32_t times = 1;
  bool operator==(const FaultEntry&) const = default;
};

// A list of objects; what has no meaning for a fault is not in it.
Json faults_json(const std::vector<FaultEntry>& entries);
// Of a value that check_faults() has passed.
std::vector<FaultEntry> faults_of(const Json& value);
// The JSON Schema of one entry.
Json fault_schema();

// What is wrong with an entry for this cluster, with its place ("/0/node"); both empty: nothing.
struct FaultProblem {
  std::string place;
  std::string text;
};
FaultProblem problem_with(const std::vector<FaultEntry>& entries, const ClusterOptions& cluster);

// By time. "any-server" is a server that no crash of the plan keeps away at that time, as far as there is one. The
// cluster's seed draws it, and what else a fault leaves open. Given problem_with() has found nothing.
FaultPlan fault_plan(const std::vector<FaultEntry>& entries, const ClusterOptions& cluster);

}  // namespace slipstream::cli
