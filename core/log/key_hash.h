// The 64-bit hash of (table, key): which tablet, which bucket, which tag. Part of the log's format (completion records
// carry it), so it never changes. Multiply-and-fold over 8-byte words, in the manner of wyhash.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/base/units.h"

namespace slipstream {

using KeyHash = std::uint64_t;

namespace detail {
__extension__ using Uint128 = unsigned __int128;
inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Uint128 product = static_cast<Uint128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
}  // namespace detail

inline KeyHash key_hash(std::uint64_t table, ConstBytes key) {
  constexpr std::uint64_t kA = 0xa0761d6478bd642fULL;
  constexpr std::uint64_t kB = 0xe7037ed1a0b428dbULL;
  std::uint64_t h = detail::fold(table ^ kA, key.size() ^ kB);
  const std::byte* at = key.data();
  std::size_t left = key.size();
  for (; left >= 16; at += 16, left -= 16) {
    std::uint64_t words[2];
    std::memcpy(words, at, 16);
    h = detail::fold(words[0] ^ kA ^ h, words[1] ^ kB);
  }
  std::uint64_t tail[2] = {0, 0};
  std::memcpy(tail, at, left);
  return detail::fold(tail[0] ^ kB ^ h, tail[1] ^ kA);
}

}  // namespace slipstream
