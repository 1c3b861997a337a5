#include "core/base/rng.h"

namespace slipstream {

__extension__ using Uint128 = unsigned __int128;

Rng::Rng(std::uint64_t seed, std::string_view component, std::uint64_t instance) {
  std::uint64_t x =
      mix64(seed + 0x9e3779b97f4a7c15ULL) ^ mix64(fnv1a(component)) ^ mix64(instance * 0xd1b54a32d192ed03ULL + 1);
  for (auto& word : state_) {
    x += 0x9e3779b97f4a7c15ULL;
    word = mix64(x);
  }
}

std::uint64_t Rng::below(std::uint64_t bound) {
  Uint128 product = static_cast<Uint128>(next()) * bound;
  if (auto low = static_cast<std::uint64_t>(product); low < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    while (low < threshold) {
      product = static_cast<Uint128>(next()) * bound;
      low = static_cast<std::uint64_t>(product);
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

}  // namespace slipstream
