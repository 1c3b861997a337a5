#include "core/replication/replication_options.h"

namespace slipstream {

std::string_view name(Policy policy) {
  switch (policy) {
    case Policy::kNone: return "none";
    case Policy::kRpc: return "rpc";
    case Policy::kTailwind: return "tailwind";
    case Policy::kOneSidedUnsafe: return "onesided-unsafe";
  }
  return "unknown";
}

std::optional<Policy> policy_of(std::string_view text) {
  for (const Policy policy : {Policy::kNone, Policy::kRpc, Policy::kTailwind, Policy::kOneSidedUnsafe}) {
    if (name(policy) == text) return policy;
  }
  return std::nullopt;
}

}  // namespace slipstream
