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
