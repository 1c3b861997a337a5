// A first-in first-out queue of plain values in one block of memory. Grows by doubling while it warms up, then never
// allocates; indexes are absolute, so an element keeps its number while others leave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace slipstream {

template <typename T>
class Ring {
 public:
  explicit Ring(std::size_t capacity = 16) {
    std::size_t size = 1;
    while (size < capacity) size *= 2;
    slots_.resize(size);
  }

  bool empty() const { return head_ == tail_; }
  std::size_t size() const { return static_cast<std::size_t>(tail_ - head_); }

  void push(T value) {
    if (size() == slots_.size()) grow();
    slots_[tail_ & mask()] = std::move(value);
    ++tail_;
  }
  T& front() {
    SLIP_CHECK(!empty());
    return slots_[head_ & mask()];
  }
  const T& front() const {
    SLIP_CHECK(!empty());
    return slots_[head_ & mask()];
  }
  T& back() {
    SLIP_CHECK(!empty());
    return slots_[(tail_ - 1) & mask()];
  }
  // The i-th from the front.
  T& operator[](std::size_t i) { return slots_[(head_ + i) & mask()]; }
  const T& operator[](std::size_t i) const { return slots_[(head_ + i) & mask()]; }
  void pop() {
    SLIP_CHECK(!empty());
    ++head_;
  }
  void clear() { head_ = tail_; }

 private:
  std::size_t mask() const { return slots_.size() - 1; }
  void grow() {
    std::vector<T> bigger(slots_.size() * 2);
    for (std::uint64_t i = head_; i != tail_; ++i) bigger[i & (bigger.size() - 1)] = std::move(slots_[i & mask()]);
    slots_.swap(bigger);
  }

  std::vector<T> slots_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace slipstream
