#include "core/workload/history.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/workload/workload.h"

namespace slipstream {
namespace {

TEST(History, EventsAreJsonLinesInTheOrderOfTime) {
  // given two clients: one writes, conditionally writes in vain and gives up on an increment, the other reads twice
  std::vector<History> histories{{0, 2}, {1, 2}};
  const auto write = histories[0].invoke(10, Action::kWrite, 7, 0, stamp_value(stamp_of(0, 1)));
  const auto read = histories[1].invoke(12, Action::kRead, 7);
  histories[0].complete(write, 20, Outcome::kOk, 3);
  const auto cas = histories[0].invoke(20, Action::kConditionalWrite, 7, 2, stamp_value(stamp_of(0, 2)), 5);
  histories[1].complete(read, 21, Outcome::kOk, 3, stamp_value(stamp_of(0, 1)));
  histories[0].complete(cas, 25, Outcome::kMismatch, 3);
  const auto add = histories[0].invoke(26, Action::kIncrement, 8, ~std::uint64_t{0});
  histories[0].unknown(add, 30);
  const auto absent = histories[1].invoke(31, Action::kRead, 9);
  histories[1].complete(absent, 33, Outcome::kNotFound);
  histories[0].invoke(34, Action::kConditionalRemove, 7, 3);

  // expect each event on its line, each process with one operation at a time, and none after what is unknown
  const std::vector<HistoryOperation> all = merge(histories);
  std::string lines;
  std::size_t at = 0;
  for (const HistoryEvent& event : events_of(all)) append_json_line(lines, at++, all[event.operation], event.ends);
  EXPECT_EQ(lines,
            R"({"index":0,"time":10,"process":0,"type":"invoke","f":"write","key":7,"value":1099511627777}
{"index":1,"time":12,"process":1,"type":"invoke","f":"read","key":7,"value":null}
{"index":2,"time":20,"process":2,"type":"invoke","f":"cas","key":7,"value":[2,1099511627778],"multi":5}
{"index":3,"time":20,"process":0,"type":"ok","f":"write","key":7,"value":1099511627777,"version":3}
{"index":4,"time":21,"process":1,"type":"ok","f":"read","key":7,"value":1099511627777,"version":3}
)"
            R"({"index":5,"time":25,"process":2,"type":"fail","f":"cas","key":7,"value":[2,1099511627778],"version":3,)"
            R"("error":"version-mismatch","multi":5}
{"index":6,"time":26,"process":0,"type":"invoke","f":"add","key":8,"value":-1}
{"index":7,"time":30,"process":0,"type":"info","f":"add","key":8,"value":-1}
{"index":8,"time":31,"process":1,"type":"invoke","f":"read","key":9,"value":null}
{"index":9,"time":33,"process":1,"type":"ok","f":"read","key":9,"value":null}
{"index":10,"time":34,"process":2,"type":"invoke","f":"remove-if","key":7,"value":3}
)");
}

TEST(History, AProcessHasOneOperationAtATimeAndNoneAfterAnUnknownOne) {
  // given clients with many operations outstanding, some of which end unknown, several events at most times
  constexpr std::uint32_t kClients = 3;
  std::vector<History> histories;
  for (std::uint32_t c = 0; c < kClients; ++c) histories.emplace_back(c, kClients);
  std::vector<std::vector<std::uint32_t>> open(kClients);
  Rng rng(1, "history-test");
  for (TimeNs now = 0; now < 4000; now += static_cast<TimeNs>(rng.below(2))) {
    const std::size_t c = rng.below(kClients);
    if (open[c].empty() || (open[c].size() < 8 && rng.chance(1, 2))) {
      open[c].push_back(histories[c].invoke(now, Action::kIncrement, 0, 1));
    } else {
      const std::size_t i = rng.below(open[c].size());
      if (rng.chance(1, 20)) {
        histories[c].unknown(open[c][i], now);
      } else {
        histories[c].complete(open[c][i], now, Outcome::kOk, 1, counter_value(1));
      }
      open[c].erase(open[c].begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  // expect, in the order of the events, no process to start anything while it acts or after its end
  const std::vector<HistoryOperation> all = merge(histories);
  std::set<std::uint32_t> busy;
  TimeNs before = 0;
  std::size_t ends = 0;
  for (const HistoryEvent& event : events_of(all)) {
    const HistoryOperation& op = all[event.operation];
    EXPECT_LE(before, event.time_ns);
    before = event.time_ns;
    EXPECT_EQ(op.process % kClients, op.client);
    if (!event.ends) {
      EXPECT_TRUE(busy.insert(op.process).second) << describe(op);
    } else if (op.outcome == Outcome::kOk) {
      ++ends;
      EXPECT_EQ(busy.erase(op.process), 1U);
    }
  }
  EXPECT_GT(ends, 1000U);
  // and processes to be taken again: not one for each operation
  EXPECT_LT(busy.size(), ends / 4);
}

TEST(History, OrderOfOneClientIsKnownAtTheSameTimeOfTwoItIsNot) {
  // given an operation that ends at the time at which one of the same and one of another client start
  std::vector<History> histories{{0, 2}, {1, 2}};
  histories[0].complete(histories[0].invoke(1, Action::kRead, 1), 5, Outcome::kNotFound);
  histories[0].invoke(5, Action::kRead, 1);
  histories[1].invoke(5, Action::kRead, 1);
  // expect it to precede the first only
  const std::vector<HistoryOperation> all = merge(histories);
  EXPECT_TRUE(all[0].precedes(all[1]));
  EXPECT_FALSE(all[0].precedes(all[2]));
  EXPECT_FALSE(all[1].precedes(all[0]));
}

TEST(History, TheFirstAnswerCountsAndFurtherOnesAreNoted) {
  // given an operation that was given up, then answered, then answered otherwise
  History history(0, 1);
  const auto op = history.invoke(1, Action::kWrite, 1, 0, stamp_value(1));
  history.unknown(op, 2);
  history.complete(op, 3, Outcome::kOk, 7);
  history.complete(op, 4, Outcome::kOk, 8);
  // expect the first answer, and two of them on record
  EXPECT_EQ(history.operations()[0].outcome, Outcome::kOk);
  EXPECT_EQ(history.operations()[0].version, 7U);
  EXPECT_EQ(history.operations()[0].ended_ns, 3);
  EXPECT_EQ(history.operations()[0].answers, 2);
  // expect its process, which was given up, to act no more
  const auto next = history.invoke(9, Action::kRead, 1);
  EXPECT_NE(history.operations()[next].process, history.operations()[op].process);
}

TEST(History, AValueIsKnownByItsStampAndATornOneIsNot) {
  // given a value of a key, the same with one byte changed, and the value of another key
  std::vector<std::byte> value(100);
  write_value(7, stamp_of(2, 9), value);
  EXPECT_EQ(value_of(7, value), stamp_value(stamp_of(2, 9)));
  EXPECT_EQ(value_of(8, value).form, HistoryValue::Form::kTorn);
  for (std::size_t i = 0; i < value.size(); ++i) {
    value[i] ^= std::byte{4};
    EXPECT_EQ(value_of(7, value).form, HistoryValue::Form::kTorn) << i;
    value[i] ^= std::byte{4};
  }
  // given counters, and values too short for a stamp
  const std::uint64_t number = 77;
  EXPECT_EQ(value_of(7, std::as_bytes(std::span(&number, 1))), counter_value(77));
  write_value(7, 1, Bytes(value).first(12));
  EXPECT_EQ(value_of(7, Bytes(value).first(12)).form, HistoryValue::Form::kUnmarked);
  EXPECT_EQ(value_of(8, Bytes(value).first(12)).form, HistoryValue::Form::kTorn);
}

}  // namespace
}  // namespace slipstream
