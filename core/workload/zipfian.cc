#include <algorithm>

#include "core/base/check.h"
#include "core/workload/portable_math.h"
#include "core/workload/workload.h"

namespace slipstream {

namespace {

// Sum of i^-theta for i in (from, to]. Long ranges: Euler-Maclaurin from a start at which its remainder is below the
// rounding of a double, so that a source over a billion records is made as fast as one over a thousand.
double zeta_between(std::uint64_t from, std::uint64_t to, double theta) {
  constexpr std::uint64_t kDirect = 1024;
  const std::uint64_t direct_end = to - from <= kDirect ? to : std::max(from, kDirect);
  double sum = 0;
  for (std::uint64_t i = direct_end; i > from; --i) sum += portable_pow(static_cast<double>(i), -theta);
  if (direct_end == to) return sum;
  const auto a = static_cast<double>(direct_end);
  const auto b = static_cast<double>(to);
  const double one_minus = 1 - theta;
  const double integral = (portable_pow(b, one_minus) - portable_pow(a, one_minus)) / one_minus;
  const double ends = (portable_pow(b, -theta) - portable_pow(a, -theta)) / 2;
  const double slopes = -theta * (portable_pow(b, -theta - 1) - portable_pow(a, -theta - 1)) / 12;
  return sum + integral + ends + slopes;
}

}  // namespace

Zipfian::Zipfian(std::uint64_t items, double theta) : Zipfian(items, theta, zeta_between(0, items, theta)) {}

Zipfian::Zipfian(std::uint64_t items, double theta, double zeta)
    : items_(items), theta_(theta), zeta_(zeta), alpha_(1 / (1 - theta)), half_pow_theta_(portable_pow(0.5, theta)) {
  SLIP_CHECK(items > 0);
  SLIP_CHECK(theta > 0 && theta < 1, "theta {}", theta);
  derive();
}

void Zipfian::derive() {
  const double zeta_of_two = 1 + half_pow_theta_;
  eta_ = (1 - portable_pow(2 / static_cast<double>(items_), 1 - theta_)) / (1 - zeta_of_two / zeta_);
}

void Zipfian::grow(std::uint64_t items) {
  SLIP_CHECK(items >= items_);
  zeta_ += zeta_between(items_, items, theta_);
  items_ = items;
  derive();
}

std::uint64_t Zipfian::draw(Rng& rng) const {
  const double u = rng.unit();
  const double uz = u * zeta_;
  if (uz < 1) return 0;
  if (uz < 1 + half_pow_theta_) return std::min<std::uint64_t>(1, items_ - 1);
  const auto rank = static_cast<std::uint64_t>(static_cast<double>(items_) * portable_pow(eta_ * u - eta_ + 1, alpha_));
  return std::min(rank, items_ - 1);
}

double Zipfian::probability(std::uint64_t rank) const {
  return portable_pow(static_cast<double>(rank + 1), -theta_) / zeta_;
}

}  // namespace slipstream
