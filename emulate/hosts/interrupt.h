// Ctrl-C and SIGTERM while a run is on: instead of ending this process they set the run's stop flag, so that the run
// ends in good order and cleans up behind itself. One at a time in a process.
#pragma once

#include <signal.h>

#include <atomic>

namespace slipstream::emulate {

class InterruptGuard {
 public:
  explicit InterruptGuard(std::atomic<bool>& stop);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // The signal that came, 0 when none did.
  int signal() const;

 private:
  struct sigaction before_int_ {};
  struct sigaction before_term_ {};
};

}  // namespace slipstream::emulate
