// How and where a cluster runs for real, and what comes of a run. Parsed only in experiments/cli.
//
// Packed: all nodes in this process, on `loops` threads. Processes: each node is a process of its own, a child of this
// one, all on this machine. Vm: the same in a throwaway guest, which has SoftRoCE when this machine's kernel has not.
// Containers, mininet, ssh: each node is an agent (agents.h) in a container, on a Mininet host, on a real machine.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/units.h"
#include "core/node/faults.h"
#include "core/node/report.h"
#include "core/node/trace.h"

namespace slipstream::emulate {

enum class FabricKind : std::uint8_t { kShm, kTcp, kVerbs };
std::string_view name(FabricKind kind);  // "shm", "tcp", "verbs"
std::optional<FabricKind> fabric_kind_of(std::string_view name);

enum class HostKind : std::uint8_t { kPacked, kProcesses, kVm, kContainers, kMininet, kSsh };
std::string_view name(HostKind kind);  // "packed", "processes", ...
std::optional<HostKind> host_kind_of(std::string_view name);

// A machine of the inventory (ssh). Nodes are dealt to the machines in turn.
struct Machine {
  std::string address;               // numeric IPv4 at which the other machines reach it
  std::string ssh;                   // what ssh is told to reach it: "user@host"; empty: the address
  std::uint16_t port = 0;            // of its ssh; 0: as ssh is configured
  std::string device;                // verbs: the RDMA device; empty: the one that has the address
  std::vector<std::uint32_t> cores;  // its nodes are pinned to these, in turn; empty: to any
  std::string program;               // where slipstream is there; empty: where it is here
  bool operator==(const Machine&) const = default;
};

enum class Topology : std::uint8_t { kStar, kTwoTier };
std::string_view name(Topology topology);  // "star", "two-tier"
std::optional<Topology> topology_of(std::string_view name);

// The emulated network (mininet).
struct NetworkOptions {
  Topology topology = Topology::kStar;
  double bandwidth_bits_per_s = 0;  // of a node's link; 0: not limited
  TimeNs delay_ns = 0;              // of a link, one way; a packet through one switch passes two links
  std::uint16_t racks = 2;          // two-tier: edge switches, the nodes dealt to them in turn
  double oversubscription = 1;      // two-tier: what an edge switch's nodes can send over what its uplink carries
};

struct EmulateOptions {
  FabricKind fabric = FabricKind::kShm;
  HostKind hosts = HostKind::kPacked;
  std::uint32_t loops = 0;            // packed: threads that drive nodes; 0: one per core, at most one per node
  bool pin = true;                    // bind each loop (processes: each process) to a core, round-robin
  std::string run_directory;          // replica memory, reports; must not exist yet. Empty: a fresh one in /dev/shm
  bool keep_run_directory = false;    // leave it behind, and the storage; else both are removed at the end
  bool keep_when_in_trouble = false;  // processes: the same when a node said that the run cannot go on
  std::string
      storage_directory;  // closed replicas, in a fresh folder in it. Empty: in the run directory (memory-backed)
  bool synchronize_storage = false;       // a closed replica counts as stored only when it is on the medium (fdatasync)
  std::uint16_t base_port = 0;            // node i listens on base_port + i at its address; 0: free ports are picked
  std::string device;                     // verbs: the RDMA device; empty: the first that can do what is needed
  std::string rdma_address;               // verbs, in an agent: the RDMA port's; empty: where the node listens
  std::vector<Machine> machines;          // ssh
  std::string image;                      // containers; empty: the one that this build makes
  NetworkOptions network;                 // mininet
  std::string job;                        // what agents are told to run: text of the caller's, read by its agent
  TimeNs answer_limit_ns = 20 * kSecond;  // an agent that was started and has not said a word by then is not there
  std::string source;                     // mininet: the repository, with the script that builds the network
  TimeNs time_limit_ns = 300 * kSecond;   // a run that takes longer has failed
  FaultPlan faults;                       // what happens to the nodes; each host carries out what it can (faults.h)
  Observer* observer = nullptr;           // packed, processes, vm: is told all that happened, when the run is over
  TimeNs restart_retired_ns = kNever;     // processes: a node that has retired is started anew after so long
};

struct RunResult {
  // One per node, by node id, of its last life: all zero of a node that was away at the end. Empty when there is
  // trouble.
  std::vector<NodeReport> reports;
  // What each told beside its report (RunPlan::record), by node id; empty of a node that was away at the end.
  std::vector<std::vector<std::byte>> records;
  std::uint64_t crashes = 0;         // of the plan, that really happened
  std::vector<std::uint32_t> lives;  // of each node, where that is known (processes); 1: it never came to life again
  double wall_seconds = 0;           // from time 0 of the nodes' clock to the end of the run
  std::string trouble;               // why the run failed, for the user; empty: it did not
  int interrupted_by = 0;            // the signal that ended the run (then there is trouble, too); 0: no signal did
  std::string run_directory;         // where replica memory was left; empty: it was removed
  std::map<std::string, double> network;  // mininet: what was applied, expected and measured; the unit is in the name
};

// What cannot work, in words that name the option; empty when all is well. (A loop count that is absurd, ...)
std::string problem_with(const EmulateOptions& options);

// Runs the cluster to its end. Throws std::runtime_error with cause and remedy when it cannot be set up: a directory
// that cannot be made, too little memory, a port in use. While it runs, SIGINT, SIGTERM and SIGHUP end the run in good
// order.
RunResult run_emulated(const ClusterOptions& cluster, const EmulateOptions& options);

}  // namespace slipstream::emulate
