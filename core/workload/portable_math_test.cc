#include "core/workload/portable_math.h"

#include <bit>
#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

#include "core/base/rng.h"

namespace slipstream {
namespace {

TEST(PortableMath, LogarithmEqualsTheLibrarys) {
  Rng rng(1, "log");
  for (int i = 0; i < 200'000; ++i) {
    // given numbers of all sizes, and numbers close to 1
    const double x = std::ldexp(rng.unit(), static_cast<int>(rng.below(80)) - 40);
    const double near = 1 + std::ldexp(rng.unit() - 0.5, -static_cast<int>(rng.below(50)));
    // expect the library's logarithm to an absolute 2^-51, or a few last bits of a large one
    ASSERT_NEAR(portable_log2(x), std::log2(x), 0x1p-51 + 0x1p-52 * std::abs(std::log2(x))) << x;
    ASSERT_NEAR(portable_log2(near), std::log2(near), 0x1p-51) << near;
  }
}

TEST(PortableMath, LogarithmHasItsSignAroundOne) {
  // given 1, powers of two, and the neighbours of 1
  EXPECT_EQ(portable_log2(1), 0);
  for (int power = -40; power <= 40; ++power) EXPECT_EQ(portable_log2(std::ldexp(1, power)), power);
  // expect 0 at 1 alone
  EXPECT_LT(portable_log2(std::nextafter(1, 0)), 0);
  EXPECT_GT(portable_log2(std::nextafter(1, 2)), 0);
}

TEST(PortableMath, PowerEqualsTheLibrarys) {
  Rng rng(2, "exp");
  for (int i = 0; i < 200'000; ++i) {
    const double y = (rng.unit() - 0.5) * 1900;
    // expect the library's power to 2^-50 of it
    ASSERT_NEAR(portable_exp2(y) / std::exp2(y), 1, 0x1p-50) << y;
    // and the general power as exact as its exponent's logarithm lets it be
    const double x = rng.unit();
    ASSERT_NEAR(portable_pow(x, -0.99) / std::pow(x, -0.99), 1, 1e-13) << x;
  }
  for (int power = -1000; power <= 1000; ++power) EXPECT_EQ(portable_exp2(power), std::ldexp(1, power));
}

TEST(PortableMath, IsTheSameOnEveryMachine) {
  // given fixed arguments, expect these very bits; fused multiply-adds, for one, would change them
  Rng rng(3, "bits");
  std::uint64_t bits = 0;
  for (int i = 0; i < 1000; ++i) {
    bits = mix64(bits ^ std::bit_cast<std::uint64_t>(portable_pow(0.5 + rng.unit() / 2, 99.9)));
    bits = mix64(bits ^ std::bit_cast<std::uint64_t>(portable_log2(rng.unit())));
  }
  EXPECT_EQ(bits, 0xee840e9612f6fbbaULL);
}

}  // namespace
}  // namespace slipstream
