// One run, resolved: every option of the cluster and of both worlds, typed, in base units. A spec with a sweep becomes
// many of these. Nothing else of the project reads JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/node/cluster.h"
#include "emulate/hosts/options.h"
#include "experiments/cli/fault_entries.h"
#include "experiments/cli/sim_settings.h"

namespace slipstream::cli {

enum class World : std::uint8_t { kEmulate, kSim };
std::string_view name(World world);  // "emulate", "sim"
std::optional<World> world_of(std::string_view name);

// Times of membership that a spec does not give depend on the world: 0 until then (make_point() in spec.cc).
ClusterOptions cluster_of_no_world();

struct Experiment {
  std::string name;
  std::string description;
  std::string figure;
  std::vector<World> worlds = {World::kEmulate};
  std::uint32_t repeats = 1;
  ClusterOptions cluster = cluster_of_no_world();
  std::vector<FaultEntry> faults;
  std::optional<bool> recovery;  // not given: when there are faults
  bool own_distribution = true;  // keys are drawn as the named workload says
  emulate::EmulateOptions emulate;
  SimSettings sim;
  SwarmSettings swarm;
  std::string trace_out;  // of the command line: a Chrome trace of the run goes to this file
};

// Exit statuses of the command line.
inline constexpr int kExitOk = 0;
inline constexpr int kExitRunFailed = 1;
inline constexpr int kExitUsage = 2;  // the spec or the command line is wrong
inline constexpr int kExitClaimFailed = 3;
inline constexpr int kExitUnsafe = 4;
inline constexpr int kExitInterrupted = 130;

// What the user should read: cause, place, remedy, on one line. Caught in main.
class UserError : public std::runtime_error {
 public:
  UserError(int exit_status, const std::string& message) : std::runtime_error(message), exit_status_(exit_status) {}
  int exit_status() const { return exit_status_; }

 private:
  int exit_status_;
};

// The spec is wrong at `path` ("/cluster/servers"), which the reader turns into "FILE: PATH: problem".
class SpecError : public UserError {
 public:
  SpecError(const std::string& file, const std::string& path, const std::string& problem)
      : UserError(kExitUsage, file + ": " + (path.empty() ? "" : path + ": ") + problem) {}
};

}  // namespace slipstream::cli
