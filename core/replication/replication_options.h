// Options of segment replication and of the backup side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/units.h"

namespace slipstream {

// What goes over the network, and what the backup's CPU does (design: "Replicating a segment").
// kOneSidedUnsafe is there to be refuted: a one-sided write of the bytes, a second one of the length, no checksum.
enum class Policy : std::uint8_t { kNone, kRpc, kTailwind, kOneSidedUnsafe };
constexpr bool is_one_sided(Policy policy) { return policy == Policy::kTailwind || policy == Policy::kOneSidedUnsafe; }

// Under kOneSidedUnsafe the last bytes of a segment are no log: at their end, at a backup, lies the length (u64) of
// what the primary says is there; in the primary's own memory, the lengths on their way to its replicas.
inline constexpr std::size_t kLengthWords = 8;
inline constexpr std::size_t kLengthBytes = kLengthWords * sizeof(std::uint64_t);
constexpr std::size_t trailer_bytes(Policy policy) { return policy == Policy::kOneSidedUnsafe ? kLengthBytes : 0; }

std::string_view name(Policy policy);  // "none", "rpc", "tailwind", "onesided-unsafe"
std::optional<Policy> policy_of(std::string_view name);

struct ReplicationOptions {
  Policy policy = Policy::kTailwind;
  std::uint16_t factor = 3;  // replicas on other servers; the primary's own copy is not counted
  std::uint32_t window = 1;  // writes in flight per replica; while it is full, appends gather for the next
  std::size_t max_write_bytes = 1 * kMiB;         // of one replication write or request
  std::uint32_t buffers = 16;                     // replica buffers of one backup, one segment each
  std::uint32_t candidates = 5;                   // random backups among which the least loaded is chosen
  TimeNs retry_ns = 100 * kMicrosecond;           // pause before a refused open is tried again, elsewhere if possible
  TimeNs answer_timeout_ns = 500 * kMillisecond;  // a backup that owes an answer for so long is dialled anew
  bool recoverable =
      false;  // lost replicas are recorded with the coordinator before anything counts as replicated again
};

}  // namespace slipstream
