#include "emulate/loop/clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace slipstream::emulate {
namespace {

struct Reading {
  Ticks tick = 0;
  TimeNs ns = 0;
};

// Both clocks at the same moment: of several tries the one that was interrupted the least.
Reading read_both() {
  constexpr int kTries = 20;
  Reading best;
  Ticks smallest_gap = ~Ticks{0};
  for (int i = 0; i < kTries; ++i) {
    const Ticks before = ticks();
    const TimeNs ns = monotonic_ns();
    const Ticks gap = ticks() - before;
    if (gap < smallest_gap) {
      smallest_gap = gap;
      best = {before + gap / 2, ns};
    }
  }
  return best;
}

}  // namespace

TimeNs thread_cpu_ns() { return read_clock_ns(CLOCK_THREAD_CPUTIME_ID); }

bool has_steady_tsc() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
#else
  return false;
#endif
}

Clock Clock::calibrated() {
  constexpr TimeNs kMeasureNs = 10 * kMillisecond;
  const Reading first = read_both();
  while (monotonic_ns() - first.ns < kMeasureNs) {
  }
  const Reading last = read_both();
  Clock clock;
  clock.ns_per_tick_ = static_cast<double>(last.ns - first.ns) / static_cast<double>(last.tick - first.tick);
  clock.restart();
  return clock;
}

}  // namespace slipstream::emulate
