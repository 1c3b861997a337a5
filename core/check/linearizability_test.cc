#include "core/check/linearizability.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/check/register_search.h"
#include "core/check/story.h"

namespace slipstream {
namespace {

using namespace story;
using Form = HistoryValue::Form;

bool is_linearizable(const std::vector<HistoryOperation>& operations) {
  const LinearizabilityResult result = check_linearizability(operations);
  for (const Finding& f : result.findings) EXPECT_EQ(f.kind, FindingKind::kNotLinearizable) << f.text;
  return result.findings.empty();
}

bool accepts(std::vector<HistoryOperation> operations) { return is_linearizable(history(std::move(operations))); }

// --- by hand: what is legal ---

TEST(Linearizability, AcceptsWhatAStoreDoes) {
  EXPECT_TRUE(accepts({}));
  EXPECT_TRUE(accepts({saw_nothing(0, {0, 5})}));
  EXPECT_TRUE(accepts({wrote(0, {0, 5}, 1, 1), saw(1, {6, 9}, 1, 1), removed(0, {10, 12}, 2), saw_nothing(1, {13, 15}),
                       wrote_if(0, {16, 18}, 0, 2, 3), refused(1, {19, 20}, 1, 3, 3), removed_if(1, {21, 22}, 3, 4)}));
  EXPECT_TRUE(accepts({added(0, {0, 5}, 2, 2, 1), added(1, {6, 9}, 3, 5, 2), saw_counter(0, {10, 12}, 5, 2)}));
  // versions may leave some out
  EXPECT_TRUE(accepts({wrote(0, {0, 5}, 1, 7), wrote(0, {6, 9}, 2, 11), saw(1, {10, 12}, 2, 11)}));
}

TEST(Linearizability, AcceptsAnyOrderOfWhatIsConcurrent) {
  // given two writes at the same time, and readers that saw either while both were open
  EXPECT_TRUE(
      accepts({wrote(0, {0, 20}, 1, 2), wrote(1, {0, 20}, 2, 1), saw(2, {1, 10}, 2, 1), saw(2, {11, 19}, 1, 2)}));
  // given a read that was invoked before the write and answered after it: both the old and the new are right
  EXPECT_TRUE(accepts({wrote(0, {5, 10}, 1, 1), saw_nothing(1, {0, 20})}));
  EXPECT_TRUE(accepts({wrote(0, {5, 10}, 1, 1), saw(1, {0, 20}, 1, 1)}));
}

TEST(Linearizability, AcceptsAnUnknownWriteThatTakesEffectLate) {
  // given a write that was given up at 10 and takes effect after a later one was acknowledged and read
  EXPECT_TRUE(accepts(
      {unknown(wrote(0, {0, 10}, 1, 0)), wrote(1, {20, 30}, 2, 1), saw(2, {31, 40}, 2, 1), saw(2, {50, 60}, 1, 2)}));
  // never, or at once
  EXPECT_TRUE(accepts({unknown(wrote(0, {0, 10}, 1, 0)), saw_nothing(1, {20, 30})}));
  EXPECT_TRUE(accepts({unknown(wrote(0, {0, 10}, 1, 0)), saw(1, {5, 30}, 1, 1)}));
  // a removal that nobody answered for, and increments of which some took effect
  EXPECT_TRUE(accepts({wrote(0, {0, 5}, 1, 1), unknown(removed(0, {6, 7}, 0)), saw(1, {10, 20}, 1, 1),
                       saw_nothing(1, {21, 30}), wrote_if(1, {31, 40}, 0, 2, 3)}));
  EXPECT_TRUE(accepts({unknown(added(0, {0, 5}, 1, 0, 0)), unknown(added(1, {0, 5}, 1, 0, 0)),
                       unknown(added(2, {0, 5}, 1, 0, 0)), added(3, {10, 20}, 1, 3, 9)}));
}

// --- by hand: each kind of harm ---

TEST(Linearizability, RejectsALostWrite) {
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), saw_nothing(1, {6, 9})}));
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), wrote(0, {6, 9}, 2, 2), saw(1, {10, 12}, 1, 1)}));
}

TEST(Linearizability, RejectsAStaleRead) {
  // given a reader that saw the new value, then one that saw the old, while the write was still open
  EXPECT_FALSE(
      accepts({wrote(0, {0, 5}, 1, 1), wrote(0, {6, 50}, 2, 2), saw(1, {10, 20}, 2, 2), saw(2, {21, 30}, 1, 1)}));
  // the same in one client, where one read begins at the very time at which the other ended
  EXPECT_FALSE(
      accepts({wrote(0, {0, 5}, 1, 1), wrote(0, {6, 50}, 2, 2), saw(1, {10, 20}, 2, 2), saw(1, {20, 30}, 1, 1)}));
  // while for two clients that is no order
  EXPECT_TRUE(
      accepts({wrote(0, {0, 5}, 1, 1), wrote(0, {6, 50}, 2, 2), saw(1, {10, 20}, 2, 2), saw(2, {20, 30}, 1, 1)}));
}

TEST(Linearizability, RejectsAWriteExecutedTwice) {
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), wrote(1, {6, 9}, 2, 2), saw(2, {10, 12}, 1, 3)}));
}

TEST(Linearizability, RejectsAnIncrementAppliedTwiceOrNever) {
  EXPECT_FALSE(accepts({added(0, {0, 5}, 1, 1, 1), added(1, {6, 9}, 1, 3, 3)}));
  EXPECT_FALSE(accepts({added(0, {0, 5}, 1, 1, 1), added(1, {6, 9}, 1, 1, 2)}));
  // one unknown increment may stand for one, not for two
  EXPECT_TRUE(accepts({unknown(added(0, {0, 5}, 1, 1, 1)), added(1, {6, 9}, 1, 2, 3)}));
  EXPECT_FALSE(accepts({unknown(added(0, {0, 5}, 1, 1, 1)), added(1, {6, 9}, 1, 3, 3)}));
}

TEST(Linearizability, RejectsAnOrderAgainstRealTime) {
  // given versions against the order of two writes, the first of which had ended
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 2), wrote(1, {6, 9}, 2, 1)}));
  // given a read of a write that was invoked later
  EXPECT_FALSE(accepts({saw(0, {0, 5}, 1, 1), wrote(1, {6, 9}, 1, 1)}));
}

TEST(Linearizability, RejectsAConditionThatDidNotHold) {
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), wrote(0, {6, 9}, 2, 2), wrote_if(1, {10, 12}, 1, 3, 3)}));
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), wrote_if(1, {10, 12}, 0, 3, 3)}));
  // two of them on one version
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), wrote_if(1, {6, 12}, 1, 2, 2), wrote_if(2, {6, 12}, 1, 3, 3)}));
  // refused although it held
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), refused(1, {6, 9}, 1, 2, 1)}));
}

TEST(Linearizability, RejectsAValueNeverWritten) {
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), saw(1, {6, 9}, 77, 1)}));
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), saw(1, {6, 9}, 77, 2)}));
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), failed(wrote(0, {6, 7}, 2, 2)), saw(1, {10, 12}, 2, 2)}));
  HistoryOperation torn = saw(1, {6, 9}, 1, 1);
  torn.seen = {0, Form::kTorn};
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), torn}));
}

TEST(Linearizability, RejectsResurrectionAfterARemoval) {
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 1), removed(0, {6, 9}, 2), saw(1, {10, 12}, 1, 1)}));
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 5), removed(0, {6, 9}, 6), wrote(0, {10, 12}, 2, 6)}));
  EXPECT_FALSE(accepts({wrote(0, {0, 5}, 1, 5), removed(0, {6, 9}, 6), wrote(0, {10, 12}, 2, 1)}));
}

TEST(Linearizability, TellsWhatCannotBeOrdered) {
  // given a thousand good operations, then a stale read
  std::vector<HistoryOperation> all;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto t = static_cast<TimeNs>(10 * i);
    all.push_back(of_key(7, wrote(0, {t, t + 5}, i + 1, i + 1)));
  }
  all.push_back(of_key(7, saw(3, {20'000, 20'010}, 999, 999)));
  const LinearizabilityResult result = check_linearizability(history(all));
  // expect the key, the read and the write it should have seen, and little else
  ASSERT_EQ(result.findings.size(), 1U);
  const std::string& text = result.findings[0].text;
  EXPECT_NE(text.find("key 7"), std::string::npos) << text;
  EXPECT_NE(text.find("client 3 #0 [20000, 20010] ns read"), std::string::npos) << text;
  EXPECT_NE(text.find("stamp 3e8"), std::string::npos) << text;
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 12) << text;
}

TEST(Linearizability, GivesUpAloudAtItsBound) {
  // given unknown increments of powers of two, and a sum that needs just the right ones of them
  std::vector<HistoryOperation> all;
  for (std::uint32_t i = 0; i < 24; ++i) all.push_back(unknown(added(i, {0, 1}, std::uint64_t{3} << i, 0, 0)));
  all.push_back(added(99, {10, 11}, 1, 2, 1000));
  const LinearizabilityResult result = check_linearizability(history(all), {.max_steps = 10'000});
  ASSERT_EQ(result.findings.size(), 1U);
  EXPECT_EQ(result.findings[0].kind, FindingKind::kUndecided);
}

// --- against brute force ---

// Every order, every subset of the unknown operations, every version that one of them may have made: the definition.
class BruteForce {
 public:
  explicit BruteForce(const std::vector<HistoryOperation>& all) {
    for (const HistoryOperation& op : all) {
      if (op.outcome == Outcome::kFailed || (op.is_undecided() && !op.is_mutation())) continue;
      if (!op.is_undecided()) must_ |= 1U << operations_.size();
      operations_.push_back(op);
      for (const std::uint64_t version : {op.version, op.asked}) {
        if (version < 1000) most_ = std::max(most_, version + 1);
      }
    }
    most_ += operations_.size();
  }

  bool linearizable() { return search(0, {}); }

 private:
  struct State {
    std::uint64_t version = 0;  // 0: absent
    std::uint64_t last = 0;     // of the last mutation
    HistoryValue value;
  };

  bool search(std::uint32_t done, const State& state) {
    if ((done & must_) == must_) return true;
    const auto key = std::tuple(done, state.version, state.last, state.value.word, state.value.form);
    if (!seen_.insert(key).second) return false;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      if ((done >> i & 1U) == 0 && in_time(i, done) && follow(i, done, state)) return true;
    }
    return false;
  }

  bool in_time(std::size_t i, std::uint32_t done) const {
    for (std::size_t j = 0; j < operations_.size(); ++j) {
      if ((done >> j & 1U) == 0 && operations_[j].precedes(operations_[i])) return false;
    }
    return true;
  }

  bool follow(std::size_t i, std::uint32_t done, const State& state) {
    const HistoryOperation& op = operations_[i];
    const std::uint32_t then = done | 1U << i;
    if (op.is_undecided()) {
      for (std::uint64_t version = state.last + 1; version <= most_; ++version) {
        State after = state;
        if (mutate(op, version, after, nullptr) && search(then, after)) return true;
      }
      return false;
    }
    if (op.took_effect()) {
      State after = state;
      return op.version > state.last && mutate(op, op.version, after, &op.seen) && search(then, after);
    }
    return agrees(op, state) && search(then, state);
  }

  static bool agrees(const HistoryOperation& op, const State& state) {
    if (op.outcome == Outcome::kNotFound) return state.version == 0;
    if (op.version != state.version) return false;
    if (op.outcome == Outcome::kMismatch) return op.version != op.asked;
    if (op.outcome == Outcome::kNotANumber) return state.version != 0 && state.value.form != Form::kCounter;
    return state.version != 0 && op.seen == state.value && op.seen.form != Form::kTorn;
  }

  static bool mutate(const HistoryOperation& op, std::uint64_t version, State& state, const HistoryValue* counter) {
    if (is_conditional(op.action) && op.asked != state.version) return false;
    if (is_remove(op.action) && state.version == 0) return false;
    HistoryValue value = op.written;
    if (op.action == Action::kIncrement) {
      if (state.version != 0 && state.value.form != Form::kCounter) return false;
      value = counter_value((state.version == 0 ? 0 : state.value.word) + op.asked);
      if (counter != nullptr && *counter != value) return false;
    }
    state.last = version;
    state.version = is_remove(op.action) ? 0 : version;
    state.value = is_remove(op.action) ? HistoryValue{} : value;
    return true;
  }

  std::vector<HistoryOperation> operations_;
  std::uint32_t must_ = 0;
  std::uint64_t most_ = 1;
  std::set<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t, std::uint64_t, Form>> seen_;
};

RandomHistoryOptions small_history(std::uint64_t seed) {
  Rng rng(seed, "small-history");
  RandomHistoryOptions options;
  options.seed = seed;
  options.operations = 2 + rng.below(7);
  options.clients = static_cast<std::uint32_t>(1 + rng.below(3));
  options.outstanding = static_cast<std::uint32_t>(1 + rng.below(3));
  options.unknown_per_mille = rng.chance(1, 2) ? 300 : 0;
  options.failed_per_mille = 50;
  options.counters = rng.chance(1, 2);
  if (rng.chance(1, 4)) options.mix = {40, 0, 0, 5, 0, 55};
  return options;
}

TEST(Linearizability, AgreesWithBruteForceOnSmallHistories) {
  // given small histories of a linearizable store, most of them spoilt once or several times
  std::uint64_t good[2] = {};  // without and with unknown outcomes
  std::uint64_t bad[2] = {};
  for (std::uint64_t seed = 0; seed < 40'000; ++seed) {
    std::vector<HistoryOperation> all = merge(random_history(small_history(seed)));
    Rng rng(seed, "spoil");
    const std::uint64_t times = rng.below(4);
    for (std::uint64_t i = 0; i < times; ++i) spoil(all, rng);
    // expect the same verdict as that of the definition, and "linearizable" when nothing was spoilt
    const bool expected = BruteForce(all).linearizable();
    EXPECT_TRUE(times > 0 || expected) << seed;
    const bool unknown = std::any_of(all.begin(), all.end(), [](const auto& op) { return op.may_have_taken_effect(); });
    ++(expected ? good : bad)[unknown];
    const LinearizabilityResult result = check_linearizability(all);
    const bool found = result.findings.empty();
    std::vector<const HistoryOperation*> pointers;
    for (const HistoryOperation& op : all) pointers.push_back(&op);
    const bool searched = RegisterSearch(pointers).run(100'000) == RegisterSearch::Verdict::kLinearizable;
    if (found != expected || searched != expected) {
      std::string text;
      for (const HistoryOperation& op : all) text += describe(op) + "\n";
      FAIL() << "seed " << seed << ": brute force says " << expected << ", the search " << searched << "\n"
             << text << describe(result.findings);
    }
  }
  for (const bool unknown : {false, true}) {
    EXPECT_GT(good[unknown], 3000U) << unknown;
    EXPECT_GT(bad[unknown], 3000U) << unknown;
  }
}

TEST(Linearizability, AcceptsRandomHistoriesOfALinearizableStore) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    // given some thousand operations, many at a time, over few keys, some of unknown outcome
    RandomHistoryOptions options;
    options.seed = seed;
    options.operations = 3000;
    options.clients = 8;
    options.outstanding = 8;
    options.keys = 1 + seed % 3;
    options.unknown_per_mille = seed % 4 == 0 ? 0 : 20;
    options.failed_per_mille = 5;
    options.counters = seed % 2 == 0;
    EXPECT_TRUE(is_linearizable(merge(random_history(options)))) << seed;
  }
}

TEST(Linearizability, FindsOneWrongAnswerAmongManyOperations) {
  // given long histories without unknown outcomes in which one read tells the value or version of another operation
  std::uint64_t spoilt = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    RandomHistoryOptions options;
    options.seed = seed;
    options.operations = 1000;
    options.mix = {40, 40, 10, 5, 5, 0};
    std::vector<HistoryOperation> all = merge(random_history(options));
    Rng rng(seed, "wrong");
    HistoryOperation& op = all[rng.below(all.size())];
    const HistoryOperation& other = all[rng.below(all.size())];
    if (op.outcome != Outcome::kOk || other.outcome != Outcome::kOk || op.version == other.version) continue;
    ++spoilt;
    if (op.action == Action::kRead && rng.chance(1, 2)) {
      const HistoryValue lie = other.action == Action::kRead ? other.seen : other.written;
      if (lie == op.seen) continue;
      op.seen = lie;
    } else {
      op.version = other.version;
    }
    // expect every one to be found: a version has one value, and one mutation that made it
    EXPECT_FALSE(is_linearizable(all)) << seed << " " << describe(op);
  }
  EXPECT_GT(spoilt, 80U);
}

}  // namespace
}  // namespace slipstream
