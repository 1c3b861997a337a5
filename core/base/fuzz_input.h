// A fuzz target's input, taken apart from the front: what is not there reads as 0. For *_fuzz.cc alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/base/units.h"

namespace slipstream {

class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const std::byte*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  template <typename T>
  T take() {
    T value{};
    const std::size_t size = std::min(sizeof(T), rest_.size());
    if (size > 0) std::memcpy(&value, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return value;
  }
  std::uint8_t byte() { return take<std::uint8_t>(); }
  // A copy with nothing behind it, so that a sanitizer sees who reads on.
  std::vector<std::byte> bytes(std::size_t size) {
    const ConstBytes first = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(first.size());
    return {first.begin(), first.end()};
  }
  // As long as the next two bytes say.
  std::vector<std::byte> block() { return bytes(take<std::uint16_t>()); }
  std::vector<std::byte> rest() { return bytes(rest_.size()); }

 private:
  ConstBytes rest_;
};

}  // namespace slipstream
