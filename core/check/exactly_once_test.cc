#include "core/check/exactly_once.h"

#include <vector>

#include <gtest/gtest.h>

#include "core/check/story.h"

namespace slipstream {
namespace {

using namespace story;
using Operations = std::vector<HistoryOperation>;
using Finals = std::vector<FinalRead>;

std::vector<FindingKind> kinds(Operations operations, const Finals& finals = {}) {
  std::vector<FindingKind> found;
  for (const Finding& f : check_exactly_once(history(std::move(operations)), finals)) found.push_back(f.kind);
  return found;
}
using Kinds = std::vector<FindingKind>;
const Kinds kGood;
const Kinds kTwice{FindingKind::kDuplicated};

FinalRead counter(std::uint64_t number) { return {1, true, 9, counter_value(number)}; }

TEST(ExactlyOnce, AValueHasOneVersion) {
  // given a write whose value is read with the version that it answered
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), saw(1, {6, 9}, 1, 1)}, {{1, true, 1, stamp_value(1)}}), kGood);
  // expect another version of it to be found, whether a reader, the final read or another answer tells it
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), saw(1, {6, 9}, 1, 2)}), kTwice);
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1)}, {{1, true, 3, stamp_value(1)}}), kTwice);
  EXPECT_EQ(kinds({unknown(wrote(0, {0, 5}, 1, 0)), saw(1, {6, 9}, 1, 1), saw(1, {10, 12}, 1, 2)}), kTwice);
  // but not of another key
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), of_key(2, saw(1, {6, 9}, 1, 2))}), kGood);
}

TEST(ExactlyOnce, AVersionHasOneMutation) {
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), wrote(1, {6, 9}, 2, 1)}), kTwice);
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), removed(1, {6, 9}, 1)}), kTwice);
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), of_key(2, wrote(1, {6, 9}, 2, 1))}), kGood);
}

TEST(ExactlyOnce, AnOperationHasOneAnswer) {
  HistoryOperation op = wrote(0, {0, 5}, 1, 1);
  op.answers = 2;
  EXPECT_EQ(kinds({op}), kTwice);
}

TEST(ExactlyOnce, ACounterIsTheSumOfWhatTookEffect) {
  const Operations two{added(0, {0, 5}, 3, 3, 1), added(1, {6, 9}, 4, 7, 2)};
  EXPECT_EQ(kinds(two, {counter(7)}), kGood);
  EXPECT_EQ(kinds(two, {counter(4)}), Kinds{FindingKind::kLost});
  EXPECT_EQ(kinds(two, {counter(10)}), kTwice);
  // an absent counter lost them all
  EXPECT_EQ(kinds(two, {{1, true, 0, {}}}), Kinds{FindingKind::kLost});
  // unknown ones count once or not at all
  Operations more = two;
  more.push_back(unknown(added(2, {7, 8}, 5, 0, 0)));
  more.push_back(unknown(added(2, {7, 8}, 20, 0, 0)));
  for (const std::uint64_t sum : {7U, 12U, 27U, 32U}) EXPECT_EQ(kinds(more, {counter(sum)}), kGood) << sum;
  for (const std::uint64_t sum : {8U, 17U, 22U, 37U, 47U}) EXPECT_EQ(kinds(more, {counter(sum)}), kTwice) << sum;
  // refused ones never
  more = two;
  more.push_back(failed(added(2, {7, 8}, 5, 0, 0)));
  EXPECT_EQ(kinds(more, {counter(12)}), kTwice);
  // a key that was also written or removed says nothing here, and neither does one that was not answered for
  more = two;
  more.push_back(removed(2, {10, 11}, 3));
  EXPECT_EQ(kinds(more, {counter(77)}), kGood);
  EXPECT_EQ(kinds(two, {{1, false, 0, {}}}), kGood);
}

TEST(ExactlyOnce, SaysWhenSumsAreTooManyToTell) {
  // given unknown increments of which all sums differ
  Operations all;
  for (std::uint32_t i = 0; i < 24; ++i) all.push_back(unknown(added(i, {0, 1}, std::uint64_t{1} << i, 0, 0)));
  EXPECT_EQ(kinds(all, {counter(5)}), Kinds{FindingKind::kUndecided});
  // but a thousand equal ones are easy
  all.clear();
  for (std::uint32_t i = 0; i < 1000; ++i) all.push_back(unknown(added(i, {0, 1}, 2, 0, 0)));
  EXPECT_EQ(kinds(all, {counter(1998)}), kGood);
  EXPECT_EQ(kinds(all, {counter(1999)}), kTwice);
  EXPECT_EQ(kinds(all, {counter(2002)}), kTwice);
}

TEST(ExactlyOnce, AcceptsRandomHistories) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    RandomHistoryOptions options;
    options.seed = seed;
    options.keys = 1 + seed % 5;
    options.unknown_per_mille = 50;
    options.failed_per_mille = 20;
    EXPECT_EQ(describe(check_exactly_once(merge(random_history(options)), {})), "") << seed;
  }
}

}  // namespace
}  // namespace slipstream
