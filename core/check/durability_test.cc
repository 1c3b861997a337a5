#include "core/check/durability.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "core/check/story.h"
#include "core/workload/workload.h"

namespace slipstream {
namespace {

using namespace story;
using Operations = std::vector<HistoryOperation>;
using Finals = std::vector<FinalRead>;
using Kinds = std::vector<FindingKind>;

Kinds kinds(Operations operations, const Finals& finals) {
  Kinds found;
  for (const Finding& f : check_durability(history(std::move(operations)), finals)) found.push_back(f.kind);
  return found;
}

FinalRead there(std::uint64_t stamp, std::uint64_t version) { return {1, true, version, stamp_value(stamp)}; }
const FinalRead kAbsent{1, true, 0, {}};
const Kinds kGood;
const Kinds kLost{FindingKind::kLost};
const Kinds kTorn{FindingKind::kTorn};
const Kinds kStale{FindingKind::kStale};
const Kinds kTwice{FindingKind::kDuplicated};
const Kinds kPhantom{FindingKind::kPhantom};

TEST(Durability, WhatWasAcknowledgedLastIsThere) {
  const Operations two{wrote(0, {0, 5}, 1, 1), wrote(1, {6, 9}, 2, 2)};
  EXPECT_EQ(kinds(two, {there(2, 2)}), kGood);
  EXPECT_EQ(kinds(two, {there(1, 1)}), kLost);
  EXPECT_EQ(kinds(two, {kAbsent}), kLost);
  // not answered: convergence tells of it
  EXPECT_EQ(kinds(two, {{1, false, 0, {}}}), kGood);
  // the greatest version counts, not the latest answer
  EXPECT_EQ(kinds({wrote(0, {0, 20}, 1, 1), wrote(1, {6, 9}, 2, 2)}, {there(2, 2)}), kGood);
  EXPECT_EQ(kinds({wrote(0, {0, 20}, 1, 1), wrote(1, {6, 9}, 2, 2)}, {there(1, 1)}), kLost);
}

TEST(Durability, WhatIsUnknownMayHaveOverwrittenIt) {
  const Operations all{wrote(0, {0, 5}, 1, 1), unknown(wrote(1, {6, 9}, 2, 0)), wrote(0, {10, 12}, 3, 2)};
  EXPECT_EQ(kinds(all, {there(3, 2)}), kGood);
  EXPECT_EQ(kinds(all, {there(2, 3)}), kGood);
  EXPECT_EQ(kinds(all, {kAbsent}), kLost);
  Operations more = all;
  more.push_back(unknown(removed(2, {7, 8}, 0)));
  EXPECT_EQ(kinds(more, {kAbsent}), kGood);
}

TEST(Durability, ARemovalIsKeptToo) {
  const Operations gone{wrote(0, {0, 5}, 1, 1), removed(0, {6, 9}, 2)};
  EXPECT_EQ(kinds(gone, {kAbsent}), kGood);
  EXPECT_EQ(kinds(gone, {there(1, 1)}), kLost);
  EXPECT_EQ(kinds(gone, {there(1, 2)}), kLost);
}

TEST(Durability, TornValuesAreToldFromOlderOnes) {
  const Operations one{wrote(0, {0, 5}, 1, 1)};
  const FinalRead torn{1, true, 1, {0, HistoryValue::Form::kTorn}};
  EXPECT_EQ(kinds(one, {torn}), kTorn);
  // another value under the same version; a value that nobody wrote
  EXPECT_EQ(kinds(one, {there(2, 1)}), kTorn);
  EXPECT_EQ(kinds(one, {there(2, 2)}), kTorn);
  // one that a client was served on the way
  HistoryOperation read = saw(1, {6, 9}, 1, 1);
  read.seen = {0, HistoryValue::Form::kTorn};
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), read}, {there(1, 1)}), kTorn);
}

TEST(Durability, BytesOfTwoValuesAreATornOne) {
  // given a replica that took the head of a value from one write and the tail from another
  std::vector<std::byte> first(100);
  std::vector<std::byte> second(100);
  write_value(1, 1, first);
  write_value(1, 2, second);
  std::copy(second.begin(), second.begin() + 64, first.begin());
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), unknown(wrote(0, {6, 9}, 2, 0))}, {{1, true, 2, value_of(1, first)}}),
            kTorn);
}

TEST(Durability, AStaleReadIsToldFromALoss) {
  const Operations all{wrote(0, {0, 5}, 1, 1), wrote(0, {6, 9}, 2, 2), saw(1, {10, 12}, 1, 1)};
  EXPECT_EQ(kinds(all, {there(2, 2)}), kStale);
  EXPECT_EQ(kinds(all, {there(1, 1)}), kLost);
  EXPECT_EQ(kinds(all, {}), kStale);
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), saw_nothing(1, {6, 9})}, {there(1, 1)}), kStale);
  // final reads that disagree
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), wrote(0, {6, 9}, 2, 2)}, {there(2, 2), there(1, 1)}), kStale);
  // a read that was invoked before the answer may tell either
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), wrote(0, {6, 9}, 2, 2), saw(1, {9, 12}, 1, 1)}, {there(2, 2)}), kGood);
  // an absence that a removal explains
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), removed(1, {6, 20}, 2), saw_nothing(2, {7, 9}), wrote(0, {21, 22}, 2, 3)},
                  {there(2, 3)}),
            kGood);
}

TEST(Durability, AValueThatIsThereAgainWasExecutedTwice) {
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), wrote(1, {6, 9}, 2, 2)}, {there(1, 3)}), kTwice);
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), removed(1, {6, 9}, 2)}, {there(1, 3)}), kTwice);
}

TEST(Durability, ARefusedWriteIsNotThere) {
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 1), failed(wrote(1, {6, 9}, 2, 0))}, {there(2, 2)}), kPhantom);
  EXPECT_EQ(kinds({wrote(0, {0, 5}, 1, 2), refused(1, {6, 9}, 1, 2, 2)}, {there(2, 3)}), kPhantom);
}

TEST(Durability, AcceptsRandomHistoriesAndFindsEachLoss) {
  std::uint64_t spoilt = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    // given a random history, and last reads that are the last of its reads of each key, invoked after all else
    RandomHistoryOptions options;
    options.seed = seed;
    options.operations = 300;
    options.keys = 3;
    options.unknown_per_mille = 30;
    options.mix = {40, 40, 10, 5, 5, 0};
    Operations all = merge(random_history(options));
    EXPECT_EQ(describe(check_durability(all, {})), "") << seed;
    // given that key 0 ends with an acknowledged write
    HistoryOperation last = of_key(0, wrote(9, {1'000'000, 1'000'001}, 1'000'000, 1'000'000));
    all.push_back(last);
    EXPECT_EQ(describe(check_durability(all, Finals{{0, true, last.version, last.written}})), "") << seed;
    // expect anything older, as it was read earlier, to be a loss of it
    for (const HistoryOperation& op : all) {
      if (op.key != 0 || op.action != Action::kRead || op.outcome != Outcome::kOk) continue;
      const Findings findings = check_durability(all, Finals{{0, true, op.version, op.seen}});
      ASSERT_EQ(findings.size(), 1U) << seed;
      EXPECT_EQ(findings[0].kind, FindingKind::kLost) << seed << findings[0].text;
      ++spoilt;
      break;
    }
  }
  EXPECT_GT(spoilt, 250U);
}

}  // namespace
}  // namespace slipstream
