#include "emulate/hosts/options.h"

#include <fmt/format.h>

namespace slipstream::emulate {

namespace {

template <typename Kind, std::size_t kNames>
std::optional<Kind> kind_of(const std::string_view (&names)[kNames], std::string_view name) {
  for (std::size_t i = 0; i < kNames; ++i) {
    if (names[i] == name) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

// In the order of the enumerations.
constexpr std::string_view kFabrics[] = {"shm", "tcp", "verbs"};
constexpr std::string_view kHosts[] = {"packed", "processes", "vm", "containers", "mininet", "ssh"};
constexpr std::string_view kTopologies[] = {"star", "two-tier"};

}  // namespace

std::string_view name(FabricKind kind) { return kFabrics[static_cast<std::size_t>(kind)]; }
std::optional<FabricKind> fabric_kind_of(std::string_view name) { return kind_of<FabricKind>(kFabrics, name); }

std::string_view name(HostKind kind) { return kHosts[static_cast<std::size_t>(kind)]; }
std::optional<HostKind> host_kind_of(std::string_view name) { return kind_of<HostKind>(kHosts, name); }

std::string_view name(Topology topology) { return kTopologies[static_cast<std::size_t>(topology)]; }
std::optional<Topology> topology_of(std::string_view name) { return kind_of<Topology>(kTopologies, name); }

std::string problem_with(const EmulateOptions& options) {
  constexpr std::uint32_t kMostLoops = 1024;
  constexpr std::uint16_t kLowestPort = 1024;
  if (options.loops > kMostLoops) return fmt::format("loops: {} are too many, at most {}", options.loops, kMostLoops);
  if (options.time_limit_ns <= 0) return "time limit: must be above 0";
  if (options.base_port != 0 && options.base_port < kLowestPort) {
    return fmt::format("base port: {} is a reserved port, use {} or above, or 0 for free ones", options.base_port,
                       kLowestPort);
  }
  return {};
}

}  // namespace slipstream::emulate
