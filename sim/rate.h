// A bandwidth as time per byte, in fixed point: one multiplication per packet, the same on every machine.
#pragma once

#include <cstdint>

namespace slipstream::sim {

class Rate {
 public:
  // At least 1 Mb/s.
  explicit Rate(std::int64_t bits_per_second) : ps_16_((8'000'000'000'000 << 16) / bits_per_second) {}
  // Of up to 1 MiB, in ps, rounded down; short of the exact time by less than bytes / 65536 + 1 ps.
  std::int64_t time(std::int64_t bytes) const { return (bytes * ps_16_) >> 16; }

 private:
  std::int64_t ps_16_;  // ps per byte, 16 bits behind the point
};

}  // namespace slipstream::sim
