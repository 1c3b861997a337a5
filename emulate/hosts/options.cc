#include "emulate/hosts/options.h"

#include <fmt/format.h>

namespace slipstream::emulate {

std::string_view name(FabricKind kind) { return kind == FabricKind::kShm ? "shm" : "tcp"; }

std::optional<FabricKind> fabric_kind_of(std::string_view name) {
  if (name == "shm") return FabricKind::kShm;
  if (name == "tcp") return FabricKind::kTcp;
  return std::nullopt;
}

std::string_view name(HostKind kind) { return kind == HostKind::kPacked ? "packed" : "processes"; }

std::optional<HostKind> host_kind_of(std::string_view name) {
  if (name == "packed") return HostKind::kPacked;
  if (name == "processes") return HostKind::kProcesses;
  return std::nullopt;
}

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
