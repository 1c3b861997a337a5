// CRC32C (Castagnoli, RFC 3720), with the processor's instruction where there is one. Composable:
// crc32c(crc32c(seed, a), b) == crc32c(seed, a + b); the value is the plain register, without pre- or post-inversion,
// so a chain may start from any seed.
#pragma once

#include <cstdint>

#include "core/base/units.h"

namespace slipstream {

std::uint32_t crc32c(std::uint32_t seed, ConstBytes bytes);

// The same, bit by bit: what the fast one is tested against.
std::uint32_t crc32c_bitwise(std::uint32_t seed, ConstBytes bytes);

}  // namespace slipstream
