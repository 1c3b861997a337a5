// Latencies in buckets of at most 1.6 % relative width: linear up to 64 ns, then 64 buckets per power of two. Merging
// two histograms loses nothing.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "core/base/units.h"

namespace slipstream {

class Histogram {
 public:
  static constexpr std::size_t kSubBits = 6;
  static constexpr std::size_t kBuckets = (64 - kSubBits) << kSubBits;

  void add(TimeNs value, std::uint64_t times = 1) {
    const auto v = static_cast<std::uint64_t>(value < 0 ? 0 : value);
    counts_[bucket_of(v)] += times;
    count_ += times;
    sum_ += v * times;
    if (v > max_) max_ = v;
  }
  void merge(const Histogram& other);
  void clear() { *this = Histogram{}; }

  std::uint64_t count() const { return count_; }
  double mean_ns() const { return count_ == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(count_); }
  TimeNs max_ns() const { return static_cast<TimeNs>(max_); }
  std::uint64_t sum_ns() const { return sum_; }
  // The middle of the bucket that holds the quantile, never above the maximum; 0 when empty. 0 <= quantile <= 1.
  TimeNs quantile_ns(double quantile) const;

  // For files: buckets in order. Restoring takes the same counts, sum and maximum.
  std::uint64_t bucket_count(std::size_t bucket) const { return counts_[bucket]; }
  static TimeNs bucket_low_ns(std::size_t bucket);
  void restore(std::size_t bucket, std::uint64_t times);
  void restore_sums(std::uint64_t sum_ns, TimeNs max_ns) {
    sum_ = sum_ns;
    max_ = static_cast<std::uint64_t>(max_ns);
  }

 private:
  static std::size_t bucket_of(std::uint64_t v) {
    if (v < (1u << kSubBits)) return static_cast<std::size_t>(v);
    const auto shift = static_cast<std::size_t>(std::bit_width(v)) - 1 - kSubBits;
    return ((shift + 1) << kSubBits) + static_cast<std::size_t>((v >> shift) - (1u << kSubBits));
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace slipstream
