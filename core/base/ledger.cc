#include "core/base/ledger.h"

namespace slipstream {

std::string_view name(Work work) {
  static constexpr std::array<std::string_view, kWorkKinds> kNames = {"message_in",
                                                                      "message_out",
                                                                      "control_message_in",
                                                                      "control_message_out",
                                                                      "post_write",
                                                                      "completion",
                                                                      "turn",
                                                                      "control_turn",
                                                                      "request",
                                                                      "hash_probe",
                                                                      "log_append",
                                                                      "exactly_once",
                                                                      "copy_bytes",
                                                                      "crc_bytes",
                                                                      "replica_update",
                                                                      "issue",
                                                                      "mutation",
                                                                      "read",
                                                                      "cleaned_bytes"};
  return kNames[static_cast<std::size_t>(work)];
}

std::string_view name(Role role) {
  static constexpr std::array<std::string_view, kRoles> kNames = {"client", "primary", "backup", "coordinator"};
  return kNames[static_cast<std::size_t>(role)];
}

Ledger& Ledger::operator+=(const Ledger& other) {
  for (std::size_t r = 0; r < kRoles; ++r) {
    for (std::size_t w = 0; w < kWorkKinds; ++w) counts[r][w] += other.counts[r][w];
  }
  return *this;
}

Ledger& Ledger::operator-=(const Ledger& other) {
  for (std::size_t r = 0; r < kRoles; ++r) {
    for (std::size_t w = 0; w < kWorkKinds; ++w) counts[r][w] -= other.counts[r][w];
  }
  return *this;
}

}  // namespace slipstream
