#include "core/fabric/fabric.h"

namespace slipstream {

std::string_view name(WriteOrder order) {
  static constexpr std::string_view kNames[] = {"none promised", "128-byte blocks, each whole", "rising addresses"};
  return kNames[static_cast<std::size_t>(order)];
}

std::string_view name(OpKind kind) {
  static constexpr std::string_view kNames[] = {"send", "write", "read", "connect", "revoke", "grant", "withdraw"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view name(EventKind kind) {
  static constexpr std::string_view kNames[] = {"message", "acked",        "read-done", "connected",
                                                "down",    "revoked",      "granted",   "withdrawn",
                                                "stored",  "storage-read", "freed",     "storage-failed"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace slipstream
