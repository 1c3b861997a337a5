#include "core/base/histogram.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace slipstream {

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

TimeNs Histogram::bucket_low_ns(std::size_t bucket) {
  constexpr std::size_t kLinear = std::size_t{1} << kSubBits;
  if (bucket < kLinear) return static_cast<TimeNs>(bucket);
  const std::size_t shift = (bucket >> kSubBits) - 1;
  return static_cast<TimeNs>((kLinear + (bucket & (kLinear - 1))) << shift);
}

TimeNs Histogram::quantile_ns(double quantile) const {
  SLIP_CHECK(quantile >= 0.0 && quantile <= 1.0, "quantile {}", quantile);
  if (count_ == 0) return 0;
  const auto rank =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(count_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen < rank) continue;
    const TimeNs low = bucket_low_ns(i);
    const TimeNs high = i + 1 < kBuckets ? bucket_low_ns(i + 1) : low;
    return std::min(low + (high - low) / 2, max_ns());
  }
  return max_ns();
}

void Histogram::restore(std::size_t bucket, std::uint64_t times) {
  SLIP_CHECK(bucket < kBuckets, "bucket {}", bucket);
  counts_[bucket] += times;
  count_ += times;
}

}  // namespace slipstream
