// How a loop sleeps. A loop that drives several fabrics and storages and has found nothing to do for a while calls
// sleep_until_any(), which arms every one, waits for any of their descriptors, and disarms them. An armed source makes
// its descriptor readable as soon as a poll would bring something; a source that is not armed costs its peers no system
// call.
#pragma once

#include <span>

#include "core/base/units.h"

namespace slipstream::emulate {

class WakeSource {
 public:
  virtual ~WakeSource() = default;

  // Readable while armed and something is there. Belongs to the source.
  virtual int wake_descriptor() const = 0;
  // False: do not sleep, a poll has something to do now (an arrival, ops that wait for room, a revocation under way).
  virtual bool arm() = 0;
  virtual void disarm() = 0;
  // No sleep should be longer: what must be looked at from time to time (is the peer process alive?). kNever: nothing.
  virtual TimeNs longest_sleep_ns() const = 0;
};

// Sleeps until one of the sources has something, `timeout_ns` is over, or a signal came. Returns at once when one of
// them cannot be armed. True: a source has, or may have, something.
bool sleep_until_any(std::span<WakeSource* const> sources, TimeNs timeout_ns);

}  // namespace slipstream::emulate
