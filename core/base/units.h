// Plain quantities shared by every layer. Time in core is nanoseconds since the start of the run; sizes are bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace slipstream {

using TimeNs = std::int64_t;
inline constexpr TimeNs kMicrosecond = 1000;
inline constexpr TimeNs kMillisecond = 1000 * kMicrosecond;
inline constexpr TimeNs kSecond = 1000 * kMillisecond;
inline constexpr TimeNs kNever = std::numeric_limits<TimeNs>::max();

// Picoseconds, where costs of single bytes are reckoned (sim), and in traces.
using TimePs = std::int64_t;
inline constexpr TimePs kPsPerNs = 1000;
inline constexpr TimePs kPsNever = std::numeric_limits<TimePs>::max();

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;
inline constexpr std::size_t kGiB = 1024 * kMiB;

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

}  // namespace slipstream
