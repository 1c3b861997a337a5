// A ring of memory that is mapped twice, one behind the other: what wraps around its end can be read in one piece.
#pragma once

#include <cstddef>

#include "core/base/units.h"

namespace slipstream::emulate::verbs {

class MirroredMemory {
 public:
  // A multiple of the page size, zeroed. Throws std::runtime_error with a remedy when it cannot be had.
  explicit MirroredMemory(std::size_t bytes);
  ~MirroredMemory();
  MirroredMemory(const MirroredMemory&) = delete;
  MirroredMemory& operator=(const MirroredMemory&) = delete;

  std::byte* data() const { return data_; }  // [0, 2 * size())
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_;
};

}  // namespace slipstream::emulate::verbs
