// How and where a cluster runs for real, and what comes of a run. Parsed only in experiments/cli.
//
// Packed: all nodes in this process, on `loops` threads. Processes: each node is a process of its own, a child of this
// one, all on this machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/units.h"
#include "core/node/report.h"

namespace slipstream::emulate {

enum class FabricKind : std::uint8_t { kShm, kTcp };
std::string_view name(FabricKind kind);  // "shm", "tcp"
std::optional<FabricKind> fabric_kind_of(std::string_view name);

enum class HostKind : std::uint8_t { kPacked, kProcesses };
std::string_view name(HostKind kind);  // "packed", "processes"
std::optional<HostKind> host_kind_of(std::string_view name);

struct EmulateOptions {
  FabricKind fabric = FabricKind::kShm;
  HostKind hosts = HostKind::kPacked;
  std::uint32_t loops = 0;          // packed: threads that drive nodes; 0: one per core, at most one per node
  bool pin = true;                  // bind each loop (processes: each process) to a core, round-robin
  std::string run_directory;        // replica memory, reports; must not exist yet. Empty: a fresh one in /dev/shm
  bool keep_run_directory = false;  // leave it behind, and the storage; else both are removed at the end
  std::string
      storage_directory;  // closed replicas, in a fresh folder in it. Empty: in the run directory (memory-backed)
  bool synchronize_storage = false;      // a closed replica counts as stored only when it is on the medium (fdatasync)
  std::uint16_t base_port = 0;           // tcp: node i listens on base_port + i at 127.0.0.1; 0: free ports are picked
  TimeNs time_limit_ns = 300 * kSecond;  // a run that takes longer has failed
};

struct RunResult {
  std::vector<NodeReport> reports;  // one per node, by node id; empty when there is trouble
  double wall_seconds = 0;          // from time 0 of the nodes' clock to the end of the run
  std::string trouble;              // why the run failed, for the user; empty: it did not
  int interrupted_by = 0;           // the signal that ended the run (then there is trouble, too); 0: no signal did
  std::string run_directory;        // where replica memory was left; empty: it was removed
};

// What cannot work, in words that name the option; empty when all is well. (A loop count that is absurd, ...)
std::string problem_with(const EmulateOptions& options);

// Runs the cluster to its end. Throws std::runtime_error with cause and remedy when it cannot be set up: a directory
// that cannot be made, too little memory, a port in use. While it runs, SIGINT, SIGTERM and SIGHUP end the run in good
// order.
RunResult run_emulated(const ClusterOptions& cluster, const EmulateOptions& options);

}  // namespace slipstream::emulate
