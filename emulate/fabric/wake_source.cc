#include <poll.h>

#include <algorithm>
#include <ctime>

#include "core/base/check.h"
#include "emulate/fabric/wake_source.h"

namespace slipstream::emulate {

bool sleep_until_any(std::span<WakeSource* const> sources, TimeNs timeout_ns) {
  constexpr std::size_t kMost = 256;
  SLIP_CHECK(sources.size() <= kMost, "a loop of {} sources", sources.size());
  pollfd waits[kMost];
  std::size_t armed = 0;
  while (armed < sources.size() && sources[armed]->arm()) {
    waits[armed] = {sources[armed]->wake_descriptor(), POLLIN, 0};
    timeout_ns = std::min(timeout_ns, sources[armed]->longest_sleep_ns());
    ++armed;
  }
  bool something = armed < sources.size();
  if (!something) {
    timeout_ns = std::max<TimeNs>(timeout_ns, 0);
    const timespec limit{timeout_ns / kSecond, timeout_ns % kSecond};
    something = ::ppoll(waits, armed, timeout_ns == kNever ? nullptr : &limit, nullptr) != 0;
  }
  for (std::size_t i = 0; i < armed; ++i) sources[i]->disarm();
  return something;
}

}  // namespace slipstream::emulate
