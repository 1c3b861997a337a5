// Invariants, always on. A failed check is an internal fault: it prints what was expected, the state of the node that
// was taking its turn, the run's seed and the time, then aborts. A user's mistake is never a check.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/base/units.h"

namespace slipstream {

// What a failed check tells about the turn in progress. A world points `current` at one before each turn.
struct CheckContext {
  std::uint64_t seed = 0;
  TimeNs now_ns = 0;
  const void* node = nullptr;
  std::string (*describe)(const void* node) = nullptr;

  static thread_local const CheckContext* current;
};

[[noreturn]] void check_failed(const char* file, int line, const char* condition, std::string_view message);

}  // namespace slipstream

#define SLIP_CHECK(condition, ...)                                                               \
  do {                                                                                           \
    if (!(condition)) [[unlikely]] {                                                             \
      ::slipstream::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
    }                                                                                            \
  } while (false)
