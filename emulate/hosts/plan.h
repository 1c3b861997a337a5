// What a host runs: how the nodes of a run are made and named. A cluster is one plan; tests have others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/node/cluster.h"
#include "core/node/report.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/hosts/options.h"
#include "emulate/hosts/run_directory.h"
#include "emulate/loop/cpu_meter.h"
#include "emulate/loop/loop.h"
#include "emulate/storage/file_storage.h"

namespace slipstream::emulate {

struct RunPlan {
  std::uint16_t nodes = 0;
  std::uint64_t seed = 1;
  NodeId ends_run{0};  // the run is over when this node is done
  // The node's memory comes from the fabric, which outlives it.
  std::function<std::unique_ptr<Node>(NodeId, Fabric&)> make;
  std::function<NodeKind(NodeId)> kind;
  std::function<std::string(NodeId)> name;
  // The client's counters, when the node is one; else nullptr. Asked when the run is over.
  std::function<const ClientStats*(const Node&)> stats;
};

RunPlan plan_of(const ClusterOptions& cluster);

// A listening socket for each node (tcp), or nothing (shm). Closes what nobody took. Throws when a port is in use.
class Listeners {
 public:
  Listeners(const RunPlan& plan, const EmulateOptions& options);
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  const std::vector<std::string>& addresses() const { return addresses_; }
  int take(NodeId node);
  // In a process that drives one node only: the sockets of the others are not its own.
  void close_all();

 private:
  std::vector<std::string> addresses_;
  std::vector<int> descriptors_;
};

// A node with what it stands on, in the order in which it must be taken down again (last member first).
struct Assembly {
  std::unique_ptr<RealFabric> fabric;
  std::unique_ptr<RealStorage> storage;
  std::unique_ptr<Node> node;

  Seat seat(const RunPlan& plan, NodeId id) const;
};

// Throws std::runtime_error with cause and remedy.
Assembly assemble(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories, NodeId id,
                  Listeners& listeners);

NodeReport report_of(const RunPlan& plan, NodeId id, const Node& node, const Usage& usage);

// What a user is told: the run took too long (to be followed by the nodes' lines); a signal ended it.
std::string late(const EmulateOptions& options);
std::string describe_line(const RunPlan& plan, NodeId id, const Node& node);
std::string interrupted(int signal);
std::string signal_name(int signal);  // "SIGKILL"

}  // namespace slipstream::emulate
