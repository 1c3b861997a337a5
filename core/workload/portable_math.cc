#include "core/workload/portable_math.h"

#include <array>
#include <bit>
#include <cstdint>

#include "core/base/check.h"

namespace slipstream {

namespace {

constexpr int kMantissaBits = 52;
constexpr std::uint64_t kMantissaMask = (1ULL << kMantissaBits) - 1;
constexpr int kExponentBias = 1023;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kLog2e = 0x1.71547652b82fep+0;

// The logarithm's steps: 1 + i/128 for i in 0 .. 128, their reciprocals and their logarithms.
constexpr int kLogSteps = 128;
struct LogStep {
  double at;
  double reciprocal;
  double log2;
};

constexpr double log2_by_series(double x) {  // 1 <= x <= 2: ln x = 2 artanh((x-1)/(x+1))
  const double s = (x - 1) / (x + 1);
  double sum = 0;
  for (int k = 41; k >= 1; k -= 2) sum = sum * s * s + 1.0 / k;
  return 2 * s * sum * kLog2e;
}

constexpr auto kLogTable = [] {
  std::array<LogStep, kLogSteps + 1> table{};
  for (int i = 0; i <= kLogSteps; ++i) {
    const double at = 1 + static_cast<double>(i) / kLogSteps;
    table[static_cast<std::size_t>(i)] = {at, 1 / at, log2_by_series(at)};
  }
  table.back().log2 = 1;  // exactly, so that it cancels against the exponent just below a power of two
  return table;
}();

// The power's steps: 2^(i/64).
constexpr int kExpSteps = 64;
constexpr auto kExpTable = [] {
  std::array<double, kExpSteps> table{};
  for (int i = 0; i < kExpSteps; ++i) {
    const double x = kLn2 * i / kExpSteps;
    double sum = 1;
    for (int k = 20; k >= 1; --k) sum = 1 + sum * x / k;
    table[static_cast<std::size_t>(i)] = sum;
  }
  return table;
}();

}  // namespace

double portable_log2(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto exponent = static_cast<int>(bits >> kMantissaBits) - kExponentBias;
  const std::uint64_t mantissa = bits & kMantissaMask;
  const double m = std::bit_cast<double>(mantissa | (static_cast<std::uint64_t>(kExponentBias) << kMantissaBits));
  const LogStep& step = kLogTable[((mantissa >> (kMantissaBits - 8)) + 1) >> 1];
  const double r = (m - step.at) * step.reciprocal;  // at most 1/256: seven terms leave 2^-67
  const double r2 = r * r;
  const double low = 1 - r * 0.5 + r2 * (1.0 / 3 - r * 0.25);
  const double high = 1.0 / 5 - r * (1.0 / 6) + r2 * (1.0 / 7);
  return (exponent + step.log2) + r * (low + r2 * r2 * high) * kLog2e;
}

double portable_exp2(double y) {
  SLIP_CHECK(y >= -1000 && y <= 1000, "2 to the power of {}", y);
  const auto steps = static_cast<std::int64_t>(y * kExpSteps + (y < 0 ? -0.5 : 0.5));
  const double f = (y - static_cast<double>(steps) / kExpSteps) * kLn2;  // at most ln 2 / 128: five terms leave 2^-54
  const double f2 = f * f;
  const double power = 1 + f + f2 * (0.5 + f * (1.0 / 6) + f2 * (1.0 / 24 + f * (1.0 / 120)));
  const double fraction = kExpTable[static_cast<std::uint64_t>(steps) % kExpSteps];
  const auto exponent = static_cast<std::uint64_t>((steps >> 6) + kExponentBias);
  static_assert(kExpSteps == 1 << 6);
  return fraction * power * std::bit_cast<double>(exponent << kMantissaBits);
}

}  // namespace slipstream
