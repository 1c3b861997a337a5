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
  sigaction(SIGINT, &action, &before_int_);
  sigaction(SIGTERM, &action, &before_term_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &before_int_, nullptr);
  sigaction(SIGTERM, &before_term_, nullptr);
  stop_flag.store(nullptr);
}

int InterruptGuard::signal() const { return received.load(); }

}  // namespace slipstream::emulate
