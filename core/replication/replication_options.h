// Options of segment replication and of the backup side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/units.h"

namespace slipstream {

// What goes over the network, and what the backup's CPU does (design: "Replicating a segment").
enum class Policy : std::uint8_t { kNone, kRpc, kTailwind };

std::string_view name(Policy policy);  // "none", "rpc", "tailwind"
std::optional<Policy> policy_of(std::string_view name);

struct ReplicationOptions {
  Policy policy = Policy::kTailwind;
  std::uint16_t factor = 3;  // replicas on other servers; the primary's own copy is not counted
  std::uint32_t window = 1;  // writes in flight per replica; while it is full, appends gather for the next
  std::size_t max_write_bytes = 1 * kMiB;  // of one replication write or request
  std::uint32_t buffers = 16;              // replica buffers of one backup, one segment each
  std::uint32_t candidates = 5;            // random backups among which the least loaded is chosen
  TimeNs retry_ns = 100 * kMicrosecond;    // pause before a refused open is tried again, elsewhere if possible
};

}  // namespace slipstream
