#include "experiments/cli/world.h"

#include <fmt/format.h>

#include "experiments/cli/hardware.h"

namespace slipstream::cli {
namespace {

RunOutcome run_emulate(const Experiment& experiment) {
  emulate::RunResult result = emulate::run_emulated(experiment.cluster, experiment.emulate);
  return {std::move(result.reports), result.wall_seconds, 0, 0, std::move(result.trouble)};
}

RunOutcome run_sim(const Experiment& experiment) {
  read_hardware(hardware_file(experiment.sim.hardware));
  return {{}, 0, 0, 0, "the simulator is not there yet"};
}

}  // namespace

RunOutcome run_world(const Experiment& experiment, World world) {
  return world == World::kSim ? run_sim(experiment) : run_emulate(experiment);
}

std::string acknowledged_text(const ReplicationOptions& replication) {
  if (replication.policy == Policy::kNone) return "the primary alone";
  return replication.factor == 1 ? "the backup" : fmt::format("all {} backups", replication.factor);
}

std::string ordering_text(const Experiment&, World) { return "none promised"; }

}  // namespace slipstream::cli
