// Ctrl-C, SIGTERM and a terminal that hangs up, while a command runs points.
#pragma once

#include <csignal>

namespace slipstream::cli {

// While alive, these signals are counted instead of ending the program. One at a time.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[3];
};

// Of the watch that was made last.
int signals_caught();

}  // namespace slipstream::cli
