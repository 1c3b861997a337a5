// The part of a NIC that holds queue pairs' state: the least recently used one goes when it is full. While all
// connected queue pairs fit, nothing is counted or moved.
//
// Source: ConnectX-3-class NICs degrade with some hundreds of active queue pairs (facts of the papers, section 4).
#pragma once

#include <cstdint>
#include <vector>

namespace slipstream::sim {

class QueuePairCache {
 public:
  explicit QueuePairCache(std::int64_t capacity) : capacity_(static_cast<std::size_t>(capacity)) {}

  // A queue pair of this NIC is used; `slot` is its dense number here. True: its state had to be fetched.
  bool misses(std::uint32_t slot) {
    if (entries_.size() <= capacity_) return false;
    return use(slot);
  }
  // Makes a slot; slots of dead connections simply grow old.
  std::uint32_t add();
  std::uint64_t misses() const { return missed_; }

 private:
  struct Entry {
    std::uint32_t newer = 0;
    std::uint32_t older = 0;
    bool held = false;
  };
  static constexpr std::uint32_t kEnd = 0xffffffff;

  bool use(std::uint32_t slot);
  void unlink(std::uint32_t slot);
  void link(std::uint32_t slot);

  std::size_t capacity_;
  std::size_t held_ = 0;
  std::vector<Entry> entries_;
  std::uint32_t newest_ = kEnd;
  std::uint32_t oldest_ = kEnd;
  std::uint64_t missed_ = 0;
};

}  // namespace slipstream::sim
