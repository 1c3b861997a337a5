// A cluster, a workload and faults, all drawn from one seed, run in the simulator and judged: what a swarm runs by the
// thousand. Safety phase: the faults strike while checked clients work. Then everything heals, and liveness is
// demanded: every request answered, nobody recovering, every segment whole on its backups, within a bound of time.
//
// The faults drawn never lose more than a policy promises to survive: any number of crashes that leave replica memory
// and storage, but only factor - 1 events that destroy a replica (its memory or storage lost, a bit inverted, a storage
// write lost or cut, a server that stays away; what rots on one server counts once). The same seed gives the same
// scenario, and the same run.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/check/finding.h"
#include "core/node/cluster.h"
#include "core/node/faults.h"
#include "core/turn/rare.h"
#include "core/workload/history.h"
#include "sim/hardware.h"
#include "sim/sim_options.h"

namespace slipstream::sim {

struct Scenario {
  std::uint64_t seed = 0;
  ClusterOptions cluster;
  SimOptions sim;
  FaultPlan faults;
  std::uint32_t storage_slowness = 1;  // times the latency of the hardware's
  TimeNs heal_ns = 0;                  // no fault strikes later
  TimeNs bound_ns = 0;                 // after the heal, all is well by then
};

// What is not to be drawn.
struct Fixed {
  std::optional<Policy> policy;   // absent: any of the safe ones
  std::optional<FaultKind> kind;  // of all faults; a crash follows, so that what they did comes to light
};
Scenario draw_scenario(std::uint64_t seed, const Fixed& fixed = {});
// The whole scenario on a few lines.
std::string describe(const Scenario& scenario);

struct Verdict {
  Findings findings;  // empty: nothing was violated
  std::uint64_t operations = 0;
  std::uint64_t unknown = 0;                 // operations without a known outcome
  std::uint64_t faults = 0;                  // that really struck
  std::uint64_t recoveries = 0;              // deaths declared
  std::array<std::uint64_t, kRares> rare{};  // choices of the unusual (core/turn/rare.h)
  TimeNs virtual_ns = 0;
  std::uint64_t state_hash = 0;
  std::vector<HistoryOperation> history;
};

class World;
// `watch`: called with the world before it runs, for who wants its story.
Verdict run_scenario(const Scenario& scenario, const HardwareProfile& hardware,
                     const std::function<void(World&)>& watch = nullptr);

}  // namespace slipstream::sim
