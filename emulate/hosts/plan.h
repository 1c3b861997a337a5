// What a host runs: how the nodes of a run are made and named. A cluster is one plan; tests have others.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/node/cluster.h"
#include "core/node/report.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/run_secret.h"
#include "emulate/hosts/faulty_node.h"
#include "emulate/hosts/node_trace.h"
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
  // The node's memory comes from the fabric, what an earlier life left from the storage; both outlive it.
  std::function<std::unique_ptr<Node>(NodeId, Fabric&, const Storage&)> make;
  std::function<NodeKind(NodeId)> kind;
  std::function<std::string(NodeId)> name;
  // The client's counters, when the node is one; else nullptr. Asked when the run is over.
  std::function<const ClientStats*(const Node&)> stats;
  // What the node tells beside its report, as bytes, for who judges the run; not set: nothing. Asked when the run is
  // over.
  std::function<std::vector<std::byte>(const Node&)> record;
};

RunPlan plan_of(const ClusterOptions& cluster);

// How the nodes of a run reach each other: the run's secret, and a listening socket for each node (tcp, verbs), or none
// (shm). Over verbs a node on this machine listens at an address of the RDMA device; the nodes share them in turn.
// Closes what nobody took. Throws when a port is in use.
class Listeners {
 public:
  // On this machine, for all nodes of the run, with a new secret.
  Listeners(const RunPlan& plan, const EmulateOptions& options);
  // For one node, at an address of this machine. Where the others are is learnt when they listen.
  Listeners(const EmulateOptions& options, NodeId node, const std::string& host, const RunSecret& secret);
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  const RunSecret& secret() const { return secret_; }
  const std::vector<std::string>& addresses() const { return addresses_; }
  void learn(std::vector<std::string> addresses) { addresses_ = std::move(addresses); }
  int take(NodeId node);
  // In the driver of other processes: a node that is away is not listened for. Its port stays its own: its next life
  // listens there itself (take() gives -1).
  void close_listening();
  // In a process that drives one node only: the sockets of the others are not its own.
  void close_all();

 private:
  void listen(const EmulateOptions& options, NodeId node, const std::string& host);

  RunSecret secret_;
  std::vector<std::string> addresses_;  // by node, as are the descriptors
  std::vector<int> descriptors_;
  std::vector<int> holds_;  // sockets that keep the ports and do not listen
};

// A node with what it stands on, in the order in which it must be taken down again (last member first).
struct Assembly {
  std::unique_ptr<RealFabric> fabric;
  std::unique_ptr<RealStorage> storage;
  std::unique_ptr<NodeTrace> trace;  // when there is an observer
  std::vector<Slowness> slow;
  std::unique_ptr<Node> node;

  Seat seat(const RunPlan& plan, NodeId id) const;
  // The run's clock has its origin now: faults that the plan has for this node come in time.
  void start(const Clock& clock) const;

 private:
  friend Assembly assemble(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories,
                           NodeId id, Listeners& listeners, const Life& life);
  std::vector<OnRunClock*> clocked_;
};

// Tells options.observer, when there is one, what the nodes wrote down and `marks`; and faults that were due, unless
// they are of those that the host carries out, and marks, itself.
void tell_observer(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories,
                   std::vector<TraceRecord> marks, TimeNs end_ns);
TraceRecord trace_mark(TraceKind kind, NodeId node, TimeNs time);

// Where the node's frames are.
std::string storage_of(const RunDirectories& directories, NodeId node);

// Throws std::runtime_error with cause and remedy.
Assembly assemble(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories, NodeId id,
                  Listeners& listeners, const Life& life = {});

NodeReport report_of(const RunPlan& plan, NodeId id, const Assembly& made, const Usage& usage);

// What a user is told: the run took too long (to be followed by the nodes' lines); a signal ended it.
std::string late(const EmulateOptions& options);
std::string describe_line(const RunPlan& plan, NodeId id, const Node& node);
std::string interrupted(int signal);
std::string signal_name(int signal);  // "SIGKILL"

}  // namespace slipstream::emulate
