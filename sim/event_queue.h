// The order of a simulated world: what happens next. A 4-ary heap of small plain events (after htsim's advice that only
// the head of each link should wait here), ordered by time and, at the same time, by the order of pushing.
//
// Units: picoseconds. Invariants: pop() gives events in rising (time, sequence); an event of the past cannot be pushed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/check.h"

namespace slipstream::sim {

struct QueuedEvent {
  std::int64_t time = 0;       // ps, >= 0
  std::uint64_t sequence = 0;  // given by push()
  std::uint32_t kind = 0;      // both mean what the owner of the queue likes
  std::uint32_t what = 0;
};
static_assert(sizeof(QueuedEvent) == 24);

class EventQueue {
 public:
  EventQueue() { heap_.reserve(1024); }

  bool empty() const { return size() == 0; }
  std::size_t size() const { return heap_.size() - hollow_; }
  std::int64_t now() const { return now_; }  // time of the last event popped
  std::uint64_t popped() const { return popped_; }
  std::int64_t next_time() {  // not empty
    fill_root();
    return heap_.front().time;
  }

  void push(std::int64_t time, std::uint32_t kind, std::uint32_t what) {
    SLIP_CHECK(time >= now_, "event of kind {} at {} ps, now {} ps", kind, time, now_);
    const QueuedEvent event{time, next_sequence_++, kind, what};
    if (hollow_ != 0) {
      hollow_ = 0;
      return sift_down(event);
    }
    std::size_t hole = heap_.size();
    heap_.push_back(event);
    QueuedEvent* const heap = heap_.data();
    while (hole > 0) {
      const std::size_t parent = (hole - 1) / kArity;
      if (!before(event, heap[parent])) break;
      heap[hole] = heap[parent];
      hole = parent;
    }
    heap[hole] = event;
  }

  // Not empty.
  QueuedEvent pop() {
    fill_root();
    const QueuedEvent first = heap_.front();
    hollow_ = 1;
    now_ = first.time;
    ++popped_;
    return first;
  }

  // Takes out every event that `picks` wants, and gives them in their order. Looks at all: for rare interventions.
  template <typename Picks>
  std::vector<QueuedEvent> take_out(Picks picks) {
    fill_root();
    std::vector<QueuedEvent> taken;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < heap_.size(); ++i) {
      const QueuedEvent event = heap_[i];
      if (picks(event)) {
        taken.push_back(event);
      } else {
        heap_[kept++] = event;
      }
    }
    heap_.resize(kept);
    std::sort(heap_.begin(), heap_.end(), before);  // what is in order is a heap
    std::sort(taken.begin(), taken.end(), before);
    return taken;
  }

 private:
  static constexpr std::size_t kArity = 4;
  __extension__ using Key = unsigned __int128;

  // One comparison without a branch, so that choosing among children does not mispredict.
  static Key key(const QueuedEvent& event) {
    return (static_cast<Key>(static_cast<std::uint64_t>(event.time)) << 64) | event.sequence;
  }
  static bool before(const QueuedEvent& a, const QueuedEvent& b) { return key(a) < key(b); }

  void fill_root() {
    if (hollow_ == 0) return;
    hollow_ = 0;
    const QueuedEvent last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) sift_down(last);
  }

  // Puts an event into the hollow root, and from there to its place.
  void sift_down(const QueuedEvent event) {
    QueuedEvent* const heap = heap_.data();
    const std::size_t size = heap_.size();
    std::size_t hole = 0;
    for (;;) {
      const std::size_t child = hole * kArity + 1;
      std::size_t least = child;
      if (child + kArity <= size) [[likely]] {
        const std::size_t left = before(heap[child + 1], heap[child]) ? child + 1 : child;
        const std::size_t right = before(heap[child + 3], heap[child + 2]) ? child + 3 : child + 2;
        least = before(heap[right], heap[left]) ? right : left;
      } else {
        if (child >= size) break;
        for (std::size_t other = child + 1; other < size; ++other) {
          if (before(heap[other], heap[least])) least = other;
        }
      }
      if (!before(heap[least], event)) break;
      heap[hole] = heap[least];
      hole = least;
    }
    heap[hole] = event;
  }

  std::vector<QueuedEvent> heap_;
  std::size_t hollow_ = 0;  // 1: the root was popped and not yet replaced; most events push another one at once
  std::int64_t now_ = 0;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t popped_ = 0;
};

}  // namespace slipstream::sim
