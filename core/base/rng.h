// The only source of randomness in core and sim: xoshiro256** (Blackman and Vigna, 2018), seeded per component, so that
// one component's draws never shift another's. Integer distributions are exact and the same on every machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace slipstream {

class Rng {
 public:
  // One stream for each (seed, component, instance).
  Rng(std::uint64_t seed, std::string_view component, std::uint64_t instance = 0);

  std::uint64_t next() {
    const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate_left(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound); bound > 0. Without bias (Lemire, 2019).
  std::uint64_t below(std::uint64_t bound);

  // True with probability numerator / denominator.
  bool chance(std::uint64_t numerator, std::uint64_t denominator) { return below(denominator) < numerator; }

  // Uniform in (0, 1), neither end: the middle of one of 2^52 equal steps.
  double unit() { return (static_cast<double>(next() >> 12) + 0.5) * 0x1.0p-52; }

 private:
  static std::uint64_t rotate_left(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

  std::uint64_t state_[4];
};

// FNV-1a, 64 bits.
constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

// A mixer for hashes and seeds (the finalizer of SplitMix64).
constexpr std::uint64_t mix64(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace slipstream
