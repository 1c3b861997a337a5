// The clocks of the real world, in nanoseconds. Core and sim never see them.
#pragma once

#include <ctime>

#include "core/base/units.h"

namespace slipstream::emulate {

inline TimeNs read_clock_ns(clockid_t clock) {
  timespec now = {};
  ::clock_gettime(clock, &now);
  return static_cast<TimeNs>(now.tv_sec) * kSecond + now.tv_nsec;
}
inline TimeNs monotonic_ns() { return read_clock_ns(CLOCK_MONOTONIC); }
inline TimeNs wall_clock_ns() { return read_clock_ns(CLOCK_REALTIME); }

}  // namespace slipstream::emulate
