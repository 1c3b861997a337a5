// Scenarios as a swarm draws them: the same seed is the same run, and what they are to reach, they reach.
#include "sim/scenario.h"

#include <gtest/gtest.h>

#include "sim/test_hardware.h"

namespace slipstream::sim {
namespace {

TEST(Scenario, EveryRareChoiceIsTakenAndNoneWhereNoneIsDrawn) {
  // Given the first hundred seeds. Expect no violation, each rare choice taken somewhere, and none in a scenario that
  // draws none.
  std::array<std::uint64_t, kRares> taken{};
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Scenario scenario = draw_scenario(seed);
    const Verdict verdict = run_scenario(scenario, plain_hardware());
    ASSERT_TRUE(verdict.findings.empty()) << describe(scenario) << describe(verdict.findings);
    for (std::size_t i = 0; i < kRares; ++i) {
      taken[i] += verdict.rare[i];
      if (scenario.sim.rare_one_in == 0) {
        ASSERT_EQ(verdict.rare[i], 0u);
      }
    }
  }
  for (std::size_t i = 0; i < kRares; ++i) EXPECT_GT(taken[i], 0u) << name(static_cast<Rare>(i));
}

TEST(Scenario, TheSameSeedIsTheSameRun) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Verdict first = run_scenario(draw_scenario(seed), plain_hardware());
    const Verdict second = run_scenario(draw_scenario(seed), plain_hardware());
    EXPECT_EQ(first.state_hash, second.state_hash);
    EXPECT_EQ(first.operations, second.operations);
    EXPECT_EQ(first.rare, second.rare);
  }
}

TEST(Scenario, AClientThatCrashedIsAnotherWhenItComesBack) {
  // Given a scenario in which a client crashes again and again while it works, and nothing else happens
  constexpr std::uint32_t kCrashes = 20;
  Scenario scenario = draw_scenario(1);
  const ClusterOptions& o = scenario.cluster;
  scenario.faults.faults.clear();
  for (std::uint32_t i = 1; i <= kCrashes; ++i) {
    Fault crash;
    crash.node = NodeId{static_cast<std::uint16_t>(1 + o.servers)};
    crash.at_ns = i * o.duration_ns / (kCrashes + 1);
    crash.lasts_ns = 100 * kMicrosecond;
    scenario.faults.faults.push_back(crash);
  }
  const Verdict verdict = run_scenario(scenario, plain_hardware());
  EXPECT_TRUE(verdict.findings.empty()) << describe(verdict.findings);
  EXPECT_EQ(verdict.faults, kCrashes);
  // expect each life in the history under a number of its own, from its beginning to its end
  std::array<std::size_t, kCrashes + 1> operations{};
  std::size_t open = 0;
  for (const HistoryOperation& operation : verdict.history) {
    if (operation.client % o.clients != 0) continue;
    const std::size_t life = operation.client / o.clients;
    ASSERT_LE(life, kCrashes);
    ++operations[life];
    if (life > 0) {
      const Fault& before = scenario.faults.faults[life - 1];
      EXPECT_GE(operation.invoked_ns, before.at_ns + before.lasts_ns);
    }
    if (life < kCrashes) {
      EXPECT_LE(operation.invoked_ns, scenario.faults.faults[life].at_ns);
    }
    // ... and what is open to be of those that crashed, at most what a client may have open
    if (!operation.is_undecided()) continue;
    ++open;
    EXPECT_LT(life, kCrashes);
  }
  for (const std::size_t count : operations) EXPECT_GT(count, 0u);
  EXPECT_GT(open, 0u);
  EXPECT_LE(open, kCrashes * 4u * o.workload.outstanding);  // each of up to four items
}

TEST(Scenario, WhatRotsDoesSoOnOneServerAndNoMoreCrashThanIsPromised) {
  // Given exhibits of inverted bits. Expect them all at one server, by the dozen, and a crash behind them.
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Scenario scenario = draw_scenario(seed, {.policy = std::nullopt, .kind = FaultKind::kBitFlip});
    NodeId rotting = kNoNode;
    std::size_t flips = 0;
    std::uint32_t crashes = 0;
    for (const Fault& fault : scenario.faults.faults) {
      crashes += fault.kind == FaultKind::kCrash ? 1 : 0;
      if (fault.kind != FaultKind::kBitFlip) continue;
      ++flips;
      if (rotting == kNoNode) rotting = fault.node;
      EXPECT_EQ(fault.node, rotting);
    }
    EXPECT_GE(flips, 64u);
    EXPECT_EQ(crashes, 1u);
  }
}

}  // namespace
}  // namespace slipstream::sim
