#include "emulate/loop/pin.h"

#include <algorithm>

namespace slipstream::emulate {

std::uint32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
}

Pin::Pin(std::uint32_t which) {
  CPU_ZERO(&before_);
  if (sched_getaffinity(0, sizeof(before_), &before_) != 0 || CPU_COUNT(&before_) == 0) return;
  std::uint32_t left = which % static_cast<std::uint32_t>(CPU_COUNT(&before_));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before_)) continue;
    if (left-- != 0) continue;
    pin_to(cpu);
    return;
  }
}

Pin::Pin(Cpu cpu) {
  CPU_ZERO(&before_);
  if (cpu.number >= CPU_SETSIZE || sched_getaffinity(0, sizeof(before_), &before_) != 0) return;
  pin_to(static_cast<int>(cpu.number));
}

void Pin::pin_to(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  pinned_ = sched_setaffinity(0, sizeof(one), &one) == 0;
}

Pin::~Pin() {
  if (pinned_) sched_setaffinity(0, sizeof(before_), &before_);
}

KeepOff::KeepOff(std::uint32_t count) {
  CPU_ZERO(&before_);
  if (sched_getaffinity(0, sizeof(before_), &before_) != 0) return;
  if (count >= static_cast<std::uint32_t>(CPU_COUNT(&before_))) return;
  cpu_set_t rest = before_;
  for (int cpu = 0; cpu < CPU_SETSIZE && count > 0; ++cpu) {
    if (!CPU_ISSET(cpu, &rest)) continue;
    CPU_CLR(cpu, &rest);
    --count;
  }
  moved_ = sched_setaffinity(0, sizeof(rest), &rest) == 0;
}

KeepOff::~KeepOff() {
  if (moved_) sched_setaffinity(0, sizeof(before_), &before_);
}

}  // namespace slipstream::emulate
