// Ctrl-C, SIGTERM and a terminal that hangs up while a run is on: instead of ending this process they set the run's
// stop flag, so that the run ends in good order and cleans up behind itself. A signal that is ignored stays so (nohup).
// One at a time in a process.
#pragma once

#include <signal.h>

#include <array>
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
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_{};
};

// While it lives, this process treats a signal so: SIG_IGN, SIG_DFL.
class SignalSetting {
 public:
  SignalSetting(int number, void (*handler)(int));
  ~SignalSetting();
  SignalSetting(const SignalSetting&) = delete;
  SignalSetting& operator=(const SignalSetting&) = delete;

 private:
  int number_;
  struct sigaction before_ {};
};

}  // namespace slipstream::emulate
