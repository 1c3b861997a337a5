// Ops of a channel that wait for room, in post order. Copies what the op's poster may forget after post(): the head and
// the list of slices. Slots are used again, so a backlog that has warmed up does not allocate.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/check.h"
#include "core/fabric/fabric.h"

namespace slipstream::emulate {

class Backlog {
 public:
  struct Entry {
    OpKind kind = OpKind::kSend;
    bool is_answer = false;
    std::vector<std::byte> head;
    std::array<Slice, kMaxSlices> body{};
    std::size_t slices = 0;
    std::size_t bytes = 0;  // head and body
    std::size_t done = 0;   // of them, already on the way
    Bytes local;
    RemoteKey key = 0;
    std::uint64_t offset = 0;
    Ticket ticket = 0;
  };

  bool empty() const { return first_ == last_; }
  std::size_t size() const { return static_cast<std::size_t>(last_ - first_); }
  Entry& front() { return slots_[first_ & (slots_.size() - 1)]; }
  void pop() { ++first_; }
  void clear() { first_ = last_; }

  void push(const Op& op) {
    SLIP_CHECK(op.body.size() <= kMaxSlices);
    if (size() == slots_.size()) grow();
    Entry& e = slots_[last_++ & (slots_.size() - 1)];
    e.kind = op.kind;
    e.is_answer = op.answers != 0;
    e.head.assign(op.head.begin(), op.head.end());
    std::copy(op.body.begin(), op.body.end(), e.body.begin());
    e.slices = op.body.size();
    e.bytes = op.head.size();
    for (const Slice& slice : op.body) e.bytes += slice.size;
    e.done = 0;
    e.local = op.local;
    e.key = op.key;
    e.offset = op.offset;
    e.ticket = op.ticket;
  }

 private:
  void grow() {
    std::vector<Entry> bigger(std::max<std::size_t>(16, slots_.size() * 2));
    const std::size_t n = size();
    for (std::size_t i = 0; i < n; ++i) bigger[i] = std::move(slots_[(first_ + i) & (slots_.size() - 1)]);
    slots_.swap(bigger);
    first_ = 0;
    last_ = n;
  }

  std::vector<Entry> slots_;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
};

}  // namespace slipstream::emulate
