#include "sim/queue_pair_cache.h"

namespace slipstream::sim {

std::uint32_t QueuePairCache::add() {
  const auto slot = static_cast<std::uint32_t>(entries_.size());
  entries_.emplace_back();
  if (held_ == capacity_) {
    entries_[oldest_].held = false;
    unlink(oldest_);
  } else {
    ++held_;
  }
  link(slot);
  return slot;
}

bool QueuePairCache::use(std::uint32_t slot) {
  if (slot == newest_) return false;
  const bool miss = !entries_[slot].held;
  if (miss) {
    ++missed_;
    entries_[oldest_].held = false;
    unlink(oldest_);
  } else {
    unlink(slot);
  }
  link(slot);
  return miss;
}

void QueuePairCache::unlink(std::uint32_t slot) {
  const Entry& entry = entries_[slot];
  (entry.newer == kEnd ? newest_ : entries_[entry.newer].older) = entry.older;
  (entry.older == kEnd ? oldest_ : entries_[entry.older].newer) = entry.newer;
}

void QueuePairCache::link(std::uint32_t slot) {
  entries_[slot] = {kEnd, newest_, true};
  (newest_ == kEnd ? oldest_ : entries_[newest_].newer) = slot;
  newest_ = slot;
}

}  // namespace slipstream::sim
