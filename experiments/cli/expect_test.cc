#include "experiments/cli/expect.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "experiments/cli/summary.h"

namespace slipstream::cli {
namespace {

PointSummary point(const std::string& world, const std::string& policy, int clients, double throughput,
                   double messages) {
  PointSummary summary;
  summary.world = world;
  summary.swept = {"replication.policy", "cluster.clients"};
  summary.params = {{"replication.policy", policy}, {"cluster.clients", clients}};
  summary.settings = {{"replication.policy", policy}, {"cluster.clients", clients}, {"workload.key", "30 B"}};
  summary.metrics["throughput_ops_per_s"] = {throughput, throughput, throughput};
  summary.metrics["backup_messages_per_op"] = {messages, messages, messages};
  summary.repeats = 1;
  return summary;
}

const std::vector<PointSummary>& points() {
  static const std::vector<PointSummary> list = {
      point("sim", "rpc", 1, 100, 3),      point("sim", "tailwind", 1, 150, 0), point("sim", "rpc", 2, 200, 3),
      point("sim", "tailwind", 2, 340, 0), point("emulate", "rpc", 1, 10, 3),   point("emulate", "tailwind", 1, 11, 0)};
  return list;
}

Verdict verdict(const std::string& claim) { return check_claim(parse_claim(claim), points()); }

TEST(Claim, IsCheckedAtEveryPointItSpeaksOf) {
  using enum Verdict::Outcome;
  // Given claims about metrics, about ratios of policies, with conditions and without; expect these verdicts
  const std::vector<std::pair<std::string, Verdict::Outcome>> cases = {
      {"throughput >= 10", kHolds},
      {"throughput > 10", kFails},
      {"throughput_ops_per_s <= 340", kHolds},
      {"throughput < 340", kFails},
      {"throughput != 5", kHolds},
      {"throughput != 200", kFails},
      {"throughput in 10..340", kHolds},
      {"throughput in 11..340", kFails},
      {"throughput>=10", kHolds},
      {"backup_messages_per_op == 0", kFails},
      {"backup_messages_per_op == 0 where replication.policy=tailwind", kHolds},
      {"backup_messages_per_op == 0 where replication.policy!=rpc", kHolds},
      {"tailwind/rpc throughput >= 1.1", kHolds},
      {"tailwind/rpc throughput >= 1.5", kFails},
      {"tailwind/rpc throughput >= 1.5 where world=sim", kHolds},
      {"tailwind/rpc throughput >= 1.6 where world=sim and cluster.clients=2", kHolds},
      {"tailwind/rpc throughput <= 1.2 where world=emulate", kHolds},
      {"throughput >= 1 where workload.key=30 B", kHolds},
      {"none/rpc throughput >= 1", kNotChecked},
      {"throughput >= 1 where cluster.clients=3", kNotChecked},
      {"read_latency_us_p50 <= 5", kNotChecked},
  };
  for (const auto& [claim, expected] : cases) {
    EXPECT_EQ(static_cast<int>(verdict(claim).outcome), static_cast<int>(expected))
        << claim << ": " << verdict(claim).found;
    EXPECT_FALSE(verdict(claim).found.empty());
  }
}

TEST(Claim, AFailureTellsTheFigureAndWhere) {
  // Given a ratio that is too small in one of three places
  const std::string found = verdict("tailwind/rpc throughput >= 1.5").found;
  // Expect that figure, that place and how many failed
  EXPECT_EQ(found, "found 1.10 at cluster.clients=1 (emulate) (1 of 3 points fail)");
}

TEST(Claim, WhatIsNotUnderstoodIsTold) {
  const auto problem = [](const std::string& text) -> std::string {
    try {
      parse_claim(text);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  // Given claims with one thing wrong, expect what
  for (const auto& [text, told] : std::vector<std::pair<std::string, std::string>>{
           {"", "ends where a metric is expected"},
           {"thruput >= 1", "there is no metric \"thruput\""},
           {"latency_us_p5 >= 1", "did you mean latency_us_p50?"},
           {"throughput", "ends where a comparison is expected"},
           {"throughput about 3", "\"about\" is not a comparison"},
           {"throughput >=", "ends where a number is expected"},
           {"throughput >= 1M", "\"1M\" is not a number"},
           {"throughput in 3", "expected LOW..HIGH"},
           {"tailwind/redis throughput >= 1", "\"redis\" is not a policy"},
           {"throughput >= 1 when world=sim", "only `where` may follow"},
           {"throughput >= 1 where", "expected"},
           {"throughput >= 1 where world=moon", "a world is sim or emulate"},
           {"throughput >= 1 where replication.polcy=rpc", "did you mean \"replication.policy\"?"},
           {"throughput >= 1 where replication.policy=tailwnd", "did you mean \"tailwind\"?"},
           {"throughput >= 1 where cluster.clients", "expected OPTION=VALUE"},
           {"throughput >= 1 where world=sim or world=emulate", "a world is sim or emulate"}}) {
    EXPECT_NE(problem(text).find(told), std::string::npos) << text << ": " << problem(text);
  }
}

TEST(Summary, IsTheMedianWithTheExtremes) {
  // Given odd and even counts
  // Expect the middle, and the mean of the two in the middle
  EXPECT_EQ(series_of({3, 1, 2}).median, 2);
  EXPECT_EQ(series_of({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(series_of({4, 1, 2, 3}).low, 1);
  EXPECT_EQ(series_of({4, 1, 2, 3}).high, 4);
  EXPECT_EQ(series_of({}).median, 0);
}

TEST(Summary, ReadsOfValuesNeverWrittenAreViolations) {
  std::vector<PointSummary> list = {points()[0]};
  list[0].metrics["wrong_reads"] = {0, 0, 0};
  EXPECT_TRUE(violations(list).empty());
  // Given one repeat of several in which a read was wrong
  list[0].metrics["wrong_reads"] = {0, 0, 2};
  // Expect it told
  ASSERT_EQ(violations(list).size(), 1u);
  EXPECT_NE(violations(list)[0].find("2 reads"), std::string::npos);
}

TEST(Summary, FiguresAreShortAndAligned) {
  EXPECT_EQ(format_spread(1'620'000, 1'580'000, 1'710'000), "1.62 M (1.58–1.71)");
  EXPECT_EQ(format_short(5.4), "5.40");
  EXPECT_EQ(format_short(0), "0");
  EXPECT_EQ(format_short(123456), "123 k");
  // Given cells of letters with more than one byte, and numbers
  // Expect columns by characters, words to the left, numbers to the right
  EXPECT_EQ(aligned({{"a", "ops"}, {"–x", "12"}, {"yyy", "3"}}), "a    ops\n–x    12\nyyy    3\n");
}

TEST(Summary, RunsThatSayNothingAreToldApart) {
  std::vector<PointSummary> list = {points()[0]};
  list[0].metrics["completed_ops"] = {10, 5, 20};
  list[0].metrics["failed_ops"] = {0, 0, 0};
  EXPECT_EQ(remarks(list), "");
  // Given a repeat without a completed operation, and one with errors
  list[0].metrics["completed_ops"].low = 0;
  list[0].metrics["failed_ops"].high = 3;
  // Expect both told
  EXPECT_NE(remarks(list).find("completed no operation"), std::string::npos);
  EXPECT_NE(remarks(list).find("3 operations were answered with an error"), std::string::npos);
}

TEST(Summary, LongTextIsBrokenBetweenWords) {
  EXPECT_EQ(wrapped("a bb ccc", 2, 7), "a bb\n  ccc");
  EXPECT_EQ(wrapped("incomprehensibilities", 2, 7), "incomprehensibilities");
  EXPECT_EQ(wrapped("", 2, 7), "");
}

TEST(Claims, ARunThatDidNothingProvesNothing) {
  // Given points of which one completed no operation, and a claim that its zeros would satisfy
  std::vector<PointSummary> points(2);
  for (PointSummary& point : points) {
    point.world = "sim";
    point.metrics["backup_messages_per_op"] = {0, 0, 0};
    point.metrics["completed_ops"] = {10, 10, 10};
  }
  const Claim claim = parse_claim("backup_messages_per_op == 0");
  EXPECT_EQ(check_claim(claim, points).outcome, Verdict::Outcome::kHolds);
  points[1].metrics["completed_ops"] = {0, 0, 0};
  // Expect it to fail
  EXPECT_EQ(check_claim(claim, points).outcome, Verdict::Outcome::kFails);
}

}  // namespace
}  // namespace slipstream::cli
