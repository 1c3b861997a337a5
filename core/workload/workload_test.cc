#include "core/workload/workload.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace slipstream {
namespace {

// A count over n independent draws of probability p has the standard deviation sqrt(n p (1-p)). Five of them are passed
// by chance once in 1.7 million counts; seeds are fixed, so what passes once passes always.
double five_sigma(double draws, double p) { return 5 * std::sqrt(draws * p * (1 - p)); }

void expect_count(std::uint64_t count, double draws, double p, const std::string& what) {
  EXPECT_NEAR(static_cast<double>(count), draws * p, five_sigma(draws, p)) << what;
}

double plain_zeta(std::uint64_t items, double theta) {
  double sum = 0;
  for (std::uint64_t i = 1; i <= items; ++i) sum += 1 / std::pow(static_cast<double>(i), theta);
  return sum;
}

WorkloadOptions reads_only(Distribution distribution, std::uint64_t records) {
  WorkloadOptions options;
  apply_workload_name("ycsb-c", options);
  options.distribution = distribution;
  options.records = records;
  return options;
}

TEST(Zipfian, ZetaEqualsTheSumOfItsTerms) {
  // given item counts on both sides of where the sum becomes a formula
  for (const std::uint64_t items : {1ULL, 2ULL, 3ULL, 1024ULL, 1025ULL, 5000ULL, 100'000ULL}) {
    for (const double theta : {0.5, 0.99}) {
      // expect 1 / probability of the first to be the sum of all terms, to the rounding of that sum
      EXPECT_NEAR(1 / Zipfian(items, theta).probability(0), plain_zeta(items, theta), 1e-9) << items << " " << theta;
    }
  }
  // expect YCSB's constant for 10^10 items (which YCSB summed up term by term)
  EXPECT_NEAR(1 / Zipfian(10'000'000'000).probability(0), 26.46902820178302, 1e-6);
}

TEST(Zipfian, GrownEqualsMadeAtOnce) {
  // given one that grew in small and large steps, and one of the final size
  Zipfian grown(10);
  for (const std::uint64_t items : {11ULL, 12ULL, 500ULL, 501ULL, 70'000ULL, 70'001ULL}) grown.grow(items);
  const Zipfian whole(70'001);
  // expect the same probabilities and the same draws
  EXPECT_EQ(grown.items(), whole.items());
  EXPECT_NEAR(grown.probability(0), whole.probability(0), 1e-12);
  Rng a(3, "zipf");
  Rng b(3, "zipf");
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(grown.draw(a), whole.draw(b));
}

TEST(Zipfian, HeadFrequenciesFollowTheFormula) {
  constexpr std::uint64_t kItems = 100'000;
  constexpr double kTheta = 0.99;
  constexpr int kDraws = 2'000'000;
  const Zipfian zipfian(kItems);
  Rng rng(11, "zipf");
  std::vector<std::uint64_t> counts(kItems);
  for (int i = 0; i < kDraws; ++i) ++counts[zipfian.draw(rng)];

  // expect the two most frequent as 1 / ((rank+1)^theta zeta): the method of Gray et al. is exact for them
  const double zeta = plain_zeta(kItems, kTheta);
  expect_count(counts[0], kDraws, 1 / zeta, "rank 0");
  expect_count(counts[1], kDraws, 1 / (std::pow(2, kTheta) * zeta), "rank 1");

  // expect the others as that method's continuous curve between two and all items,
  // u(k) = 1 - (1 - (k/n)^(1-theta)) / eta
  const double n = kItems;
  const double eta = (1 - std::pow(2 / n, 1 - kTheta)) / (1 - (1 + std::pow(0.5, kTheta)) / zeta);
  const auto below = [&](double rank) { return 1 - (1 - std::pow(rank / n, 1 - kTheta)) / eta; };
  for (std::size_t rank = 2; rank < 50; ++rank) {
    const auto k = static_cast<double>(rank);
    expect_count(counts[rank], kDraws, below(k + 1) - below(k), "rank " + std::to_string(rank));
  }
  // and the shares of the head to be those of the formula: the curve itself gives the head up to 5.1 % more
  double formula = 0;
  std::uint64_t head = 0;
  std::uint64_t rank = 0;
  for (const std::uint64_t ranks : {10ULL, 100ULL, 1'000ULL, 10'000ULL, 100'000ULL}) {
    for (; rank < ranks; ++rank) {
      head += counts[rank];
      formula += zipfian.probability(rank);
    }
    expect_count(head, kDraws, std::min(1.0, below(static_cast<double>(ranks))), "below " + std::to_string(ranks));
    EXPECT_NEAR(static_cast<double>(head) / kDraws, formula, 0.06 * formula) << "below " << ranks;
  }
}

TEST(Zipfian, StaysInRange) {
  // given few items, where the curve would overshoot
  Rng rng(5, "zipf");
  for (std::uint64_t items = 1; items <= 40; ++items) {
    const Zipfian zipfian(items);
    // expect every draw within, for any draw
    for (int i = 0; i < 5000; ++i) ASSERT_LT(zipfian.draw(rng), items);
  }
}

TEST(Scramble, IsFnv1aModuloTheRecords) {
  // given the definition, byte by byte
  const auto plain = [](std::uint64_t draw) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (int i = 0; i < 8; ++i) hash = (hash ^ ((draw >> (8 * i)) & 0xff)) * 0x100000001b3ULL;
    return hash;
  };
  Rng rng(1, "scramble");
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t draw = rng.below(10'000'000'000);
    const std::uint64_t records = 1 + rng.below(1'000'000'000);
    // expect the same of the faster one
    ASSERT_EQ(scramble(draw, records), plain(draw) % records);
  }
  // expect the published FNV-1a of eight zero bytes
  EXPECT_EQ(scramble(0, ~0ULL), 0xa8c7f832281a39c5ULL);
}

TEST(OperationSource, ScrambledHeadHasTheFrequenciesOfTheDraw) {
  constexpr int kDraws = 1'000'000;
  constexpr std::uint64_t kRecords = 100'000;
  constexpr double kZeta = 26.46902820178302;
  OperationSource source(reads_only(Distribution::kZipfian, kRecords), 4, 0, 1);
  std::vector<std::uint64_t> counts(kRecords);
  for (int i = 0; i < kDraws; ++i) ++counts.at(source.next().key);

  // expect the most frequent key to be where rank 0 falls, then rank 1
  const std::uint64_t first = scramble(0, kRecords);
  const std::uint64_t second = scramble(1, kRecords);
  ASSERT_NE(first, second);
  EXPECT_EQ(std::max_element(counts.begin(), counts.end()) - counts.begin(), static_cast<std::ptrdiff_t>(first));
  // and their shares to be those of the formula over 10^10 items, plus what of the rest falls on the same key: the rest
  // is 94 % of the draws and spreads over all keys, one in 100,000 each on average
  for (const auto& [key, rank] : {std::pair{first, 0}, std::pair{second, 1}}) {
    const double p = 1 / (std::pow(rank + 1, 0.99) * kZeta) + 0.94 / static_cast<double>(kRecords);
    expect_count(counts[key], kDraws, p, "rank " + std::to_string(rank));
  }
  // and the frequent keys not to lie side by side: the ten most frequent are in at least five different tenths
  std::set<std::uint64_t> tenths;
  for (std::uint64_t rank = 0; rank < 10; ++rank) tenths.insert(scramble(rank, kRecords) / (kRecords / 10));
  EXPECT_GE(tenths.size(), 5u);
}

TEST(OperationSource, UniformChoosesAllKeysAlike) {
  constexpr int kDraws = 1'000'000;
  constexpr std::uint64_t kRecords = 1000;
  OperationSource source(reads_only(Distribution::kUniform, kRecords), 9, 0, 1);
  std::vector<std::uint64_t> counts(kRecords);
  for (int i = 0; i < kDraws; ++i) ++counts.at(source.next().key);
  // expect chi-squared over 1000 keys (mean 999, standard deviation sqrt(2 * 999) = 44.7) within five deviations
  double chi_squared = 0;
  const double expected = static_cast<double>(kDraws) / kRecords;
  for (const std::uint64_t count : counts) {
    const double difference = static_cast<double>(count) - expected;
    chi_squared += difference * difference / expected;
  }
  EXPECT_NEAR(chi_squared, 999, 5 * 44.7);
}

TEST(OperationSource, LatestPrefersTheNewestOfItsView) {
  // given a client that inserts nothing
  constexpr int kDraws = 500'000;
  constexpr std::uint64_t kRecords = 10'000;
  OperationSource source(reads_only(Distribution::kLatest, kRecords), 2, 0, 3);
  std::vector<std::uint64_t> counts(kRecords);
  for (int i = 0; i < kDraws; ++i) ++counts.at(source.next().key);
  // expect the last loaded key with the frequency of rank 0, the one before with that of rank 1
  const double zeta = plain_zeta(kRecords, 0.99);
  expect_count(counts[kRecords - 1], kDraws, 1 / zeta, "newest");
  expect_count(counts[kRecords - 2], kDraws, 1 / (std::pow(2, 0.99) * zeta), "next to newest");
}

TEST(OperationSource, LatestFollowsTheInserts) {
  // given YCSB-D of client 2 of 5
  WorkloadOptions options;
  ASSERT_TRUE(apply_workload_name("ycsb-d", options));
  options.records = 100;
  options.outstanding = 4;
  OperationSource source(options, 8, 2, 5);
  std::uint64_t inserted = 0;
  std::uint64_t reads = 0;
  std::uint64_t newest_read = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Operation operation = source.next();
    if (operation.type == OperationType::kInsert) {
      // expect inserts to name this client's keys in order
      ASSERT_EQ(operation.key, 100 + 2 + 5 * inserted);
      ++inserted;
      continue;
    }
    // expect a read to name a loaded key or one this client inserted, and at least `outstanding` inserts ago
    ++reads;
    if (operation.key < 100) continue;
    ASSERT_EQ((operation.key - 102) % 5, 0u);
    const std::uint64_t nth = (operation.key - 102) / 5;
    ASSERT_LE(nth + 4, inserted - 1);
    newest_read += nth + 5 == inserted ? 1 : 0;
  }
  // expect the newest of the view to be the favourite throughout: with 100 to 5100 keys 1/zeta lies in 0.10 to 0.19
  EXPECT_GT(static_cast<double>(newest_read) / static_cast<double>(reads), 0.10);
  EXPECT_LT(static_cast<double>(newest_read) / static_cast<double>(reads), 0.19);
}

TEST(OperationSource, SharesAreThoseOfTheMix) {
  constexpr int kDraws = 400'000;
  const std::map<std::string, std::array<double, kOperationTypes>> mixes = {
      {"ycsb-a", {0.5, 0.5, 0, 0}},   {"ycsb-b", {0.95, 0.05, 0, 0}}, {"ycsb-c", {1, 0, 0, 0}},
      {"ycsb-d", {0.95, 0, 0.05, 0}}, {"ycsb-f", {0.5, 0, 0, 0.5}},   {"write-only", {0, 1, 0, 0}}};
  for (const auto& [workload, shares] : mixes) {
    // given a named workload
    WorkloadOptions options;
    ASSERT_TRUE(apply_workload_name(workload, options));
    EXPECT_EQ(options.name, workload);
    EXPECT_EQ(options.distribution, workload == "ycsb-d" ? Distribution::kLatest : Distribution::kZipfian);
    OperationSource source(options, 21, 0, 1);
    std::array<std::uint64_t, kOperationTypes> counts{};
    for (int i = 0; i < kDraws; ++i) ++counts.at(static_cast<std::size_t>(source.next().type));
    // expect each type's share (exactly, where it is nothing or all)
    for (std::size_t type = 0; type < kOperationTypes; ++type) {
      expect_count(counts[type], kDraws, shares[type],
                   workload + " " + std::string(name(static_cast<OperationType>(type))));
    }
  }
  // expect an unknown name to change nothing
  WorkloadOptions options;
  EXPECT_FALSE(apply_workload_name("ycsb-z", options));
  EXPECT_EQ(options.name, "write-only");
}

std::vector<Operation> first_operations(const WorkloadOptions& options, std::uint64_t seed, std::uint32_t client) {
  OperationSource source(options, seed, client, 4);
  std::vector<Operation> operations;
  for (int i = 0; i < 1000; ++i) operations.push_back(source.next());
  return operations;
}

bool same(const std::vector<Operation>& a, const std::vector<Operation>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Operation& x, const Operation& y) { return x.type == y.type && x.key == y.key; });
}

TEST(OperationSource, IsDeterminedBySeedAndClient) {
  for (const Distribution distribution : {Distribution::kUniform, Distribution::kZipfian, Distribution::kLatest}) {
    WorkloadOptions options;
    apply_workload_name("ycsb-d", options);
    options.distribution = distribution;
    // expect the same operations of the same seed and client, and others of another seed or client
    const auto operations = first_operations(options, 7, 1);
    EXPECT_TRUE(same(operations, first_operations(options, 7, 1)));
    EXPECT_FALSE(same(operations, first_operations(options, 8, 1)));
    EXPECT_FALSE(same(operations, first_operations(options, 7, 2)));
  }
}

TEST(OperationSource, ClientsInsertDifferentKeys) {
  // given seven clients that only insert
  WorkloadOptions options;
  options.updates = 0;
  options.inserts = 1000;
  options.records = 50;
  std::set<std::uint64_t> keys;
  for (std::uint32_t client = 0; client < 7; ++client) {
    OperationSource source(options, 1, client, 7);
    for (int i = 0; i < 100; ++i) {
      // expect no key twice
      ASSERT_TRUE(keys.insert(source.next().key).second);
    }
  }
  // and all together to leave no gap after the loaded keys
  EXPECT_EQ(*keys.begin(), 50u);
  EXPECT_EQ(*keys.rbegin(), 749u);
}

WorkloadOptions open_loop(Arrivals arrivals, double rate) {
  WorkloadOptions options;
  options.arrivals = arrivals;
  options.rate_ops_per_s = rate;
  return options;
}

TEST(ArrivalSource, PoissonGapsHaveTheirMeanAndVariance) {
  // given 4 clients that offer 1 M operations/s together: a gap of 4 us at each
  constexpr int kGaps = 500'000;
  constexpr double kMean = 4000;
  ArrivalSource source(open_loop(Arrivals::kPoisson, 1e6), 3, 2, 4);
  source.start(1000);
  double sum = 0;
  double sum_of_squares = 0;
  int long_gaps = 0;
  TimeNs last = 1000;
  for (int i = 0; i < kGaps; ++i) {
    const auto gap = static_cast<double>(source.next() - last);
    ASSERT_GE(gap, 0);
    last = source.next();
    sum += gap;
    sum_of_squares += gap * gap;
    long_gaps += gap > 2 * kMean ? 1 : 0;
    source.take();
  }
  // expect the exponential's mean m (deviation of the average: m / sqrt(n)), its variance m^2 (deviation of the
  // estimate: m^2 sqrt(8/n), its fourth central moment being 9 m^4) and e^-2 of the gaps above 2 m
  const double mean = sum / kGaps;
  EXPECT_NEAR(mean, kMean, 5 * kMean / std::sqrt(kGaps));
  EXPECT_NEAR(sum_of_squares / kGaps - mean * mean, kMean * kMean, 5 * kMean * kMean * std::sqrt(8.0 / kGaps));
  expect_count(static_cast<std::uint64_t>(long_gaps), kGaps, std::exp(-2), "gaps above twice the mean");
}

TEST(ArrivalSource, FixedGapsNeitherDriftNorCoincide) {
  // given 3 clients at 300,000 operations/s together: a gap of 10 us at each
  std::vector<TimeNs> all;
  for (std::uint32_t client = 0; client < 3; ++client) {
    ArrivalSource source(open_loop(Arrivals::kFixed, 300'000), 1, client, 3);
    source.start(500);
    const TimeNs first = source.next();
    for (int i = 0; i < 1000; ++i) {
      // expect the i-th exactly i gaps after the first
      ASSERT_NEAR(static_cast<double>(source.next() - first), i * 10'000.0, 1.0);
      all.push_back(source.next());
      source.take();
    }
  }
  // expect all clients' arrivals together to be equally spaced too
  std::sort(all.begin(), all.end());
  EXPECT_GT(all.front(), 500);
  for (std::size_t i = 1; i < all.size(); ++i) ASSERT_NEAR(static_cast<double>(all[i] - all[i - 1]), 10'000 / 3.0, 1.0);
}

TEST(ArrivalSource, ScheduleDoesNotDependOnWhenArrivalsAreTaken) {
  for (const Arrivals arrivals : {Arrivals::kPoisson, Arrivals::kFixed}) {
    // given two equal sources: one is asked at every arrival, the other stalls and then takes all at once
    ArrivalSource prompt(open_loop(arrivals, 1e6), 5, 0, 1);
    ArrivalSource stalled(open_loop(arrivals, 1e6), 5, 0, 1);
    prompt.start(0);
    stalled.start(0);
    std::vector<TimeNs> intended;
    for (TimeNs now = 0; now < kMillisecond; now += 100) {
      while (prompt.next() <= now) {
        intended.push_back(prompt.next());
        prompt.take();
      }
    }
    ASSERT_GT(intended.size(), 800u);
    // expect the stalled one to be given every arrival at the time it was meant for: none is omitted, none moved
    for (const TimeNs arrival : intended) {
      ASSERT_EQ(stalled.next(), arrival);
      stalled.take();
    }
  }
}

TEST(ArrivalSource, StartMovesTheWholeSchedule) {
  // given the same source started at two times
  for (const Arrivals arrivals : {Arrivals::kPoisson, Arrivals::kFixed}) {
    ArrivalSource early(open_loop(arrivals, 12'345), 5, 0, 1);
    ArrivalSource late(open_loop(arrivals, 12'345), 5, 0, 1);
    early.start(0);
    late.start(7 * kSecond);
    // expect the same gaps
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(early.next() + 7 * kSecond, late.next());
      early.take();
      late.take();
    }
  }
}

TEST(ArrivalSource, ClosedLoopIsAlwaysDue) {
  ArrivalSource source(open_loop(Arrivals::kClosed, 0), 1, 0, 1);
  source.start(77);
  // expect the next arrival to be due, however many were taken
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(source.next(), 77);
    source.take();
  }
}

TEST(Names, AreReadBack) {
  for (const auto d : {Distribution::kUniform, Distribution::kZipfian, Distribution::kLatest}) {
    EXPECT_EQ(distribution_of(name(d)), d);
  }
  for (const auto a : {Arrivals::kClosed, Arrivals::kPoisson, Arrivals::kFixed}) EXPECT_EQ(arrivals_of(name(a)), a);
  EXPECT_EQ(distribution_of("normal"), std::nullopt);
  EXPECT_EQ(arrivals_of("bursty"), std::nullopt);
  EXPECT_EQ(name(OperationType::kReadModifyWrite), "read_modify_write");
}

std::string key_text(std::uint64_t number, std::size_t size) {
  std::vector<std::byte> key(size, std::byte{'?'});
  write_key(number, key);
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

TEST(Keys, TellTheirNumber) {
  EXPECT_EQ(key_text(0, 16), "user000000000000");
  EXPECT_EQ(key_text(999'999'999'999, 16), "user999999999999");
  EXPECT_EQ(key_text(1'234'567'890'123'456, 20), "user1234567890123456");
  EXPECT_EQ(key_text(~0ULL, 24), "user18446744073709551615");
  EXPECT_EQ(key_text(42, 30), "user00000000000000000000000042");
  // given any number at any length that holds it
  Rng rng(6, "keys");
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t number = rng.next() >> rng.below(64);
    const std::string digits = std::to_string(number);
    const std::size_t least = std::max<std::size_t>(16, 4 + digits.size());
    const std::size_t size = least + rng.below(100);
    // expect its digits at the end, zeros between, and so no two numbers with the same key
    ASSERT_EQ(key_text(number, size), "user" + std::string(size - 4 - digits.size(), '0') + digits);
  }
}

TEST(Keys, RefuseANumberThatDoesNotFit) {
  std::vector<std::byte> key(16);
  EXPECT_DEATH(write_key(1'000'000'000'000, key), "too short");
  key.resize(20);
  EXPECT_DEATH(write_key(10'000'000'000'000'000, key), "too short");
  key.resize(23);
  EXPECT_DEATH(write_key(10'000'000'000'000'000'000U, key), "too short");
  key.resize(15);
  EXPECT_DEATH(write_key(1, key), "a key of 15 bytes");
}

TEST(Values, VerifyAndRejectEveryChangedByte) {
  Rng rng(12, "values");
  for (std::size_t size = 1; size <= 150; ++size) {
    // given a value of any size
    const std::uint64_t number = rng.next();
    std::vector<std::byte> value(size);
    write_value(number, rng.next(), value);
    // expect it to verify
    ASSERT_TRUE(is_value_of(number, value)) << size;
    // and no longer, with any one byte changed in any one bit or at random
    for (std::size_t at = 0; at < size; ++at) {
      const std::byte was = value[at];
      for (int bit = 0; bit < 8; ++bit) {
        value[at] = was ^ static_cast<std::byte>(1 << bit);
        ASSERT_FALSE(is_value_of(number, value)) << "byte " << at << " of " << size;
      }
      value[at] = was ^ static_cast<std::byte>(1 + rng.below(255));
      ASSERT_FALSE(is_value_of(number, value)) << "byte " << at << " of " << size;
      value[at] = was;
    }
  }
}

TEST(Values, BelongToOneKeyAndVersion) {
  Rng rng(13, "values");
  for (int i = 0; i < 20'000; ++i) {
    // given two versions of a key
    const std::uint64_t number = rng.below(1'000'000);
    std::vector<std::byte> older(16 + rng.below(200));
    std::vector<std::byte> newer(older.size());
    const std::uint64_t version = rng.below(1000);
    write_value(number, version, older);
    write_value(number, version + 1 + rng.below(1000), newer);
    // expect no byte string to stand for both, nor for another key
    ASSERT_NE(older, newer);
    ASSERT_FALSE(is_value_of(number + 1 + rng.below(1000), older));
    // and a mixture, cut at any whole word, to be neither
    const std::size_t cut = 8 * (1 + rng.below((older.size() - 8) / 8));
    std::copy(newer.begin(), newer.begin() + static_cast<std::ptrdiff_t>(cut), older.begin());
    ASSERT_EQ(is_value_of(number, older), older == newer);
  }
}

TEST(Values, StayWithinTheirBytes) {
  // given a value inside a larger buffer
  for (std::size_t size = 1; size <= 64; ++size) {
    std::vector<std::byte> buffer(size + 16, std::byte{0xee});
    write_value(5, 6, Bytes(buffer).subspan(8, size));
    // expect the bytes around it untouched
    for (std::size_t i = 0; i < 8; ++i) {
      ASSERT_EQ(buffer[i], std::byte{0xee});
      ASSERT_EQ(buffer[8 + size + i], std::byte{0xee});
    }
  }
}

}  // namespace
}  // namespace slipstream
