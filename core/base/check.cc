#include "core/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace slipstream {

thread_local const CheckContext* CheckContext::current = nullptr;

void check_failed(const char* file, int line, const char* condition, std::string_view message) {
  fmt::print(stderr, "slipstream: internal fault: {}:{}: {} does not hold. {}\n", file, line, condition, message);
  if (const CheckContext* context = CheckContext::current; context != nullptr) {
    // The description itself may fail a check: do not come back here for it.
    CheckContext::current = nullptr;
    fmt::print(stderr, "  seed {}, time {} ns, node: {}\n", context->seed, context->now_ns,
               context->describe != nullptr ? context->describe(context->node) : std::string("unknown"));
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace slipstream
