#include "experiments/cli/signals.h"

#include <cstddef>
#include <iterator>

namespace slipstream::cli {
namespace {

volatile std::sig_atomic_t caught = 0;
void on_signal(int) { caught = caught + 1; }

}  // namespace

SignalWatch::SignalWatch() {
  static_assert(std::size(kSignals) == std::size(decltype(before_){}));
  caught = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &action, &before_[i]);
}

SignalWatch::~SignalWatch() {
  for (std::size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
}

int signals_caught() { return caught; }

}  // namespace slipstream::cli
