// Memory of this process alone: zeroed, taken page by page at once, in huge pages where the kernel has them. A log that
// is read at random then misses the translation cache far less often, and is set up ten times as fast.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include "core/base/units.h"

namespace slipstream::emulate {

class AnonymousMemory {
 public:
  // Throws std::runtime_error, with `name` and a remedy, when there is not enough.
  AnonymousMemory(std::string_view name, std::size_t bytes);
  ~AnonymousMemory();
  AnonymousMemory(AnonymousMemory&& other) noexcept
      : memory_(std::exchange(other.memory_, {})), mapped_(std::exchange(other.mapped_, {})) {}
  AnonymousMemory& operator=(AnonymousMemory&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }

  Bytes memory() const { return memory_; }

 private:
  Bytes memory_;
  Bytes mapped_;  // with the margin that aligns memory_ to a huge page
};

}  // namespace slipstream::emulate
