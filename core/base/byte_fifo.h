// A first-in first-out queue of byte records in one block of memory: each record is contiguous. Grows by doubling while
// it warms up, then never allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/base/units.h"

namespace slipstream {

class ByteFifo {
 public:
  explicit ByteFifo(std::size_t capacity = 64 * kKiB) : memory_(capacity) {}

  bool empty() const { return records_ == 0; }

  // Room for a record of `size` bytes behind the last one; valid until the next push.
  std::byte* push(std::size_t size) {
    const std::size_t need = kLength + round_up(size);
    if (!make_room(need)) {
      grow(need);
      SLIP_CHECK(make_room(need));
    }
    std::memcpy(memory_.data() + tail_, &size, kLength);
    std::byte* const at = memory_.data() + tail_ + kLength;
    tail_ += need;
    ++records_;
    return at;
  }
  ConstBytes front() {
    SLIP_CHECK(records_ > 0);
    skip_gap();
    std::size_t size;
    std::memcpy(&size, memory_.data() + head_, kLength);
    return {memory_.data() + head_ + kLength, size};
  }
  void pop() {
    head_ += kLength + round_up(front().size());
    if (--records_ == 0) head_ = tail_ = wrap_ = 0;
  }

 private:
  static constexpr std::size_t kLength = sizeof(std::size_t);
  static std::size_t round_up(std::size_t n) { return (n + 7) / 8 * 8; }

  // Records lie in [head, tail), or, once wrapped, in [head, wrap) and [0, tail).
  bool make_room(std::size_t need) {
    if (wrap_ != 0) return tail_ + need < head_;
    if (tail_ + need <= memory_.size()) return true;
    if (need >= head_) return false;
    wrap_ = tail_;
    tail_ = 0;
    return true;
  }
  void skip_gap() {
    if (wrap_ != 0 && head_ == wrap_) {
      head_ = 0;
      wrap_ = 0;
    }
  }
  void grow(std::size_t need) {
    skip_gap();
    std::vector<std::byte> bigger(memory_.size() * 2 + need);
    std::size_t used = 0;
    const auto take = [&](std::size_t from, std::size_t to) {
      if (to > from) std::memcpy(bigger.data() + used, memory_.data() + from, to - from);
      used += to - from;
    };
    if (wrap_ != 0) {
      take(head_, wrap_);
      take(0, tail_);
    } else {
      take(head_, tail_);
    }
    memory_.swap(bigger);
    head_ = 0;
    tail_ = used;
    wrap_ = 0;
  }

  std::vector<std::byte> memory_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  std::size_t wrap_ = 0;  // end of the records before the start of memory; 0: not wrapped
  std::size_t records_ = 0;
};

}  // namespace slipstream
