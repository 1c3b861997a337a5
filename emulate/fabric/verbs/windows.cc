#include "emulate/fabric/verbs/windows.h"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include <fmt/format.h>

#include "core/base/check.h"

namespace slipstream::emulate::verbs {
namespace {

constexpr std::size_t kMostUnused = 256;

}  // namespace

Windows::Range& Windows::range_of(Bytes memory) {
  const auto known = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) {
    return r.memory.data() == memory.data() && r.memory.size() == memory.size();
  });
  if (known != ranges_.end()) {
    if (known->windows == 0) --unused_;
    return *known;
  }
  Range range;
  range.memory = memory;
  range.registration = register_memory(device_, memory.data(), memory.size(), true);
  return ranges_.emplace_back(std::move(range));
}

Windows::Window Windows::open(Bytes memory, Free& free) {
  Window window;
  if (free.empty()) {
    window.window.reset(ibv_alloc_mw(device_.domain.get(), IBV_MW_TYPE_2));
    if (!window.window) {
      throw std::runtime_error(fmt::format("no memory window on {}: {}", device_.name, remedy(errno)));
    }
  } else {
    window.window = std::move(free.back());
    free.pop_back();
  }
  window.range = &range_of(memory);
  ++window.range->windows;
  return window;
}

void Windows::give_back(Window window, Free& free) {
  free.push_back(std::move(window.window));
  destroy(std::move(window));
}

void Windows::destroy(Window window) {
  window.window.reset();
  SLIP_CHECK(window.range->windows > 0);
  if (--window.range->windows != 0) return;
  ++unused_;
  const auto here = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) { return &r == window.range; });
  ranges_.splice(ranges_.end(), ranges_, here);
  forget_unused();
}

void Windows::forget_unused() {
  for (auto range = ranges_.begin(); unused_ > kMostUnused && range != ranges_.end();) {
    if (range->windows != 0) {
      ++range;
      continue;
    }
    range = ranges_.erase(range);
    --unused_;
  }
}

}  // namespace slipstream::emulate::verbs
