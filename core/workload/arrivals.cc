#include <algorithm>

#include "core/base/check.h"
#include "core/workload/portable_math.h"
#include "core/workload/workload.h"

namespace slipstream {

namespace {

constexpr std::string_view kArrivalNames[] = {"closed", "poisson", "fixed"};
constexpr double kLn2 = 0x1.62e42fefa39efp-1;

}  // namespace

std::string_view name(Arrivals arrivals) { return kArrivalNames[static_cast<std::size_t>(arrivals)]; }

std::optional<Arrivals> arrivals_of(std::string_view name) {
  const auto* const found = std::find(std::begin(kArrivalNames), std::end(kArrivalNames), name);
  if (found == std::end(kArrivalNames)) return std::nullopt;
  return static_cast<Arrivals>(found - std::begin(kArrivalNames));
}

ArrivalSource::ArrivalSource(const WorkloadOptions& options, std::uint64_t seed, std::uint32_t client,
                             std::uint32_t clients)
    : arrivals_(options.arrivals),
      gap_ns_(0),
      phase_(static_cast<double>(client + 1) / clients),
      rng_(seed, "workload.arrivals", client) {
  SLIP_CHECK(client < clients, "client {} of {}", client, clients);
  if (arrivals_ == Arrivals::kClosed) return;
  SLIP_CHECK(options.rate_ops_per_s > 0, "an open loop of {} operations per second", options.rate_ops_per_s);
  gap_ns_ = static_cast<double>(kSecond) * clients / options.rate_ops_per_s;
}

void ArrivalSource::start(TimeNs now) {
  start_ns_ = now;
  next_ns_ = now;
  exact_ns_ = 0;
  if (arrivals_ == Arrivals::kFixed) {
    exact_ns_ = gap_ns_ * phase_;
    next_ns_ = start_ns_ + static_cast<TimeNs>(exact_ns_);
  } else {
    take();
  }
}

void ArrivalSource::take() {
  if (arrivals_ == Arrivals::kClosed) return;
  exact_ns_ += arrivals_ == Arrivals::kPoisson ? -portable_log2(rng_.unit()) * kLn2 * gap_ns_ : gap_ns_;
  next_ns_ = start_ns_ + static_cast<TimeNs>(exact_ns_);
}

}  // namespace slipstream
