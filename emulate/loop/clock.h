// The clock of a run: time stamp counter ticks, and what they are in nanoseconds of CLOCK_MONOTONIC since
// the start of the run. Processes forked after the calibration share it, so all nodes of a run share one time.
//
// Units: ticks are TSC cycles (10 ns to read here, against 23 ns for the system's clock); on machines whose TSC is not
// steady (no invariant-TSC bit), or that have none, a tick is a nanosecond of CLOCK_MONOTONIC.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "core/base/units.h"
#include "emulate/fabric/real_clock.h"

namespace slipstream::emulate {

using Ticks = std::uint64_t;

// CPU time of the calling thread: user and kernel, without the time it was runnable but not running. A system call.
TimeNs thread_cpu_ns();
// True when the TSC runs at one rate on all cores, also while they idle (CPUID 8000_0007h, EDX bit 8).
bool has_steady_tsc();

inline const bool kSteadyTsc = has_steady_tsc();

inline Ticks ticks() {
#if defined(__x86_64__)
  if (kSteadyTsc) [[likely]]
    return __rdtsc();
#endif
  return static_cast<Ticks>(monotonic_ns());
}

class Clock {
 public:
  // Measures the tick against CLOCK_MONOTONIC for 10 ms: the rate is right to about 10 ppm. Time 0 is now.
  static Clock calibrated();

  void restart() { origin_ = ticks(); }
  void restart_at(Ticks origin) { origin_ = origin; }
  Ticks origin() const { return origin_; }

  // Negative before the origin.
  TimeNs at(Ticks when) const {
    return static_cast<TimeNs>(static_cast<double>(static_cast<std::int64_t>(when - origin_)) * ns_per_tick_);
  }
  TimeNs now() const { return at(ticks()); }
  double ns_per_tick() const { return ns_per_tick_; }

 private:
  Ticks origin_ = 0;
  double ns_per_tick_ = 1;
};

}  // namespace slipstream::emulate
