#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/byte_fifo.h"
#include "core/base/crc32c.h"
#include "core/base/histogram.h"
#include "core/base/ring.h"
#include "core/base/rng.h"

namespace slipstream {
namespace {

TEST(Crc32c, KnownAnswer) {
  // given the check value of the Castagnoli polynomial ("123456789", with pre- and post-inversion)
  const std::string_view text = "123456789";
  const ConstBytes bytes = std::as_bytes(std::span(text));
  // expect the published value from both implementations
  EXPECT_EQ(crc32c(0xffffffff, bytes) ^ 0xffffffff, 0xe3069283u);
  EXPECT_EQ(crc32c_bitwise(0xffffffff, bytes) ^ 0xffffffff, 0xe3069283u);
}

TEST(Crc32c, FastEqualsBitwiseAndChains) {
  Rng rng(1, "crc");
  std::vector<std::byte> data(5000);
  for (auto& b : data) b = static_cast<std::byte>(rng.next());
  for (int round = 0; round < 300; ++round) {
    // given any piece at any alignment, from any seed, split anywhere
    const std::size_t from = rng.below(64);
    const std::size_t size = rng.below(data.size() - from);
    const std::size_t cut = size == 0 ? 0 : rng.below(size);
    const auto seed = static_cast<std::uint32_t>(rng.next());
    const ConstBytes piece(data.data() + from, size);
    // expect the fast one to equal the slow one, and the chain the whole
    const std::uint32_t whole = crc32c(seed, piece);
    EXPECT_EQ(whole, crc32c_bitwise(seed, piece));
    EXPECT_EQ(whole, crc32c(crc32c(seed, piece.first(cut)), piece.subspan(cut)));
  }
}

TEST(Rng, StreamsAreIndependentAndRepeat) {
  // given the same seed and component twice, another component, another instance
  Rng a(7, "nic");
  Rng b(7, "nic");
  Rng c(7, "cpu");
  Rng d(7, "nic", 1);
  const std::uint64_t first = a.next();
  // expect the same draw from the same stream only
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
  EXPECT_NE(first, d.next());
}

TEST(Rng, BelowIsUniform) {
  // given 60,000 draws below 6, expect each value within five standard deviations (91) of 10,000
  Rng rng(3, "dice");
  std::vector<int> seen(6);
  for (int i = 0; i < 60000; ++i) ++seen[rng.below(6)];
  for (const int n : seen) EXPECT_NEAR(n, 10000, 460);
}

TEST(Histogram, QuantilesAreWithinABucket) {
  Rng rng(5, "latency");
  std::vector<TimeNs> values;
  Histogram a;
  Histogram b;
  for (int i = 0; i < 20000; ++i) {
    const auto v = static_cast<TimeNs>(rng.below(std::uint64_t{1} << (10 + rng.below(25))));
    values.push_back(v);
    (i % 2 == 0 ? a : b).add(v);
  }
  a.merge(b);
  std::sort(values.begin(), values.end());
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    // expect the exact quantile within 1.6 %
    const auto rank = static_cast<std::size_t>(std::ceil(q * 20000.0)) - 1;
    const auto exact = static_cast<double>(values[rank]);
    EXPECT_NEAR(static_cast<double>(a.quantile_ns(q)), exact, 1.0 + exact * 0.016) << q;
  }
  EXPECT_EQ(a.max_ns(), values.back());
  EXPECT_EQ(a.count(), 20000u);
}

TEST(Ring, KeepsOrderWhileItGrows) {
  // given pushes and pops in a random interleaving, expect first in, first out throughout
  Rng rng(9, "ring");
  Ring<int> ring(2);
  int in = 0;
  int out = 0;
  for (int i = 0; i < 10000; ++i) {
    if (rng.chance(6, 10)) {
      ring.push(in++);
    } else if (!ring.empty()) {
      ASSERT_EQ(ring.front(), out++);
      ring.pop();
    }
    ASSERT_EQ(ring.size(), static_cast<std::size_t>(in - out));
  }
}

TEST(ByteFifo, KeepsRecordsWholeAndInOrder) {
  // given records of any size pushed and popped in a random interleaving, through a block that must wrap and grow
  Rng rng(11, "fifo");
  ByteFifo fifo(256);
  std::vector<std::vector<std::byte>> expected;
  std::size_t out = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t push_bias = i % 4000 < 2000 ? 6 : 4;
    if (rng.chance(push_bias, 10)) {
      std::vector<std::byte> record(rng.below(90));
      for (auto& b : record) b = static_cast<std::byte>(rng.next());
      std::copy(record.begin(), record.end(), fifo.push(record.size()));
      expected.push_back(std::move(record));
    } else if (out < expected.size()) {
      // expect the oldest record, byte for byte
      ASSERT_TRUE(std::ranges::equal(fifo.front(), expected[out]));
      fifo.pop();
      ++out;
    }
    ASSERT_EQ(fifo.empty(), out == expected.size());
  }
}

}  // namespace
}  // namespace slipstream
