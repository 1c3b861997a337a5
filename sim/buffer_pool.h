// Memory for messages on their way and in inboxes: blocks in powers of two, taken and given back without allocation
// once the run is warm. Units: bytes.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

namespace slipstream::sim {

class BufferPool {
 public:
  // At least `size` bytes, aligned to 16.
  std::byte* take(std::size_t size) {
    std::vector<std::byte*>& free = free_[class_of(size)];
    if (free.empty()) refill(class_of(size));
    std::byte* const block = free.back();
    free.pop_back();
    return block;
  }
  // `size` as it was asked for.
  void give(std::byte* block, std::size_t size) { free_[class_of(size)].push_back(block); }

 private:
  static constexpr std::size_t kSmallest = 128;
  static constexpr std::size_t kSlab = 64 * 1024;

  static std::size_t class_of(std::size_t size) {
    return size <= kSmallest ? 0 : static_cast<std::size_t>(std::bit_width((size - 1) / kSmallest));
  }
  void refill(std::size_t size_class) {
    const std::size_t block = kSmallest << size_class;
    const std::size_t blocks = block >= kSlab ? 1 : kSlab / block;
    slabs_.push_back(std::make_unique_for_overwrite<std::byte[]>(block * blocks));
    for (std::size_t i = blocks; i > 0; --i) free_[size_class].push_back(slabs_.back().get() + (i - 1) * block);
  }

  std::array<std::vector<std::byte*>, 24> free_;
  std::vector<std::unique_ptr<std::byte[]>> slabs_;
};

}  // namespace slipstream::sim
