#include "emulate/hosts/interrupt.h"

#include "core/base/check.h"

namespace slipstream::emulate {
namespace {

static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);
std::atomic<std::atomic<bool>*> stop_flag{nullptr};
std::atomic<int> received{0};

void on_signal(int number) {
  received.store(number);
  if (std::atomic<bool>* const stop = stop_flag.load(); stop != nullptr) stop->store(true);
}

}  // namespace

InterruptGuard::InterruptGuard(std::atomic<bool>& stop) {
  SLIP_CHECK(stop_flag.load() == nullptr, "two runs at a time in one process");
  received.store(0);
  stop_flag.store(&stop);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &action, &before_[i]);
    if (before_[i].sa_handler == SIG_IGN) sigaction(kSignals[i], &before_[i], nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  stop_flag.store(nullptr);
}

int InterruptGuard::signal() const { return received.load(); }

SignalSetting::SignalSetting(int number, void (*handler)(int)) : number_(number) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(number_, &action, &before_);
}

SignalSetting::~SignalSetting() { sigaction(number_, &before_, nullptr); }

}  // namespace slipstream::emulate
