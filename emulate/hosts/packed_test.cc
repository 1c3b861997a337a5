#include "emulate/hosts/packed.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

#include "emulate/hosts/toy_nodes.h"

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

std::string fresh_path(const std::string& what) {
  return fmt::format("{}/slipstream-{}-{}", fs::temp_directory_path().string(), what, getpid());
}

struct Packed : testing::TestWithParam<std::tuple<FabricKind, std::uint32_t>> {
  EmulateOptions options() const {
    EmulateOptions o;
    o.fabric = std::get<0>(GetParam());
    o.loops = std::get<1>(GetParam());
    return o;
  }
};

TEST_P(Packed, RunsToItsEndAndReportsEveryNode) {
  ToyOptions toy;
  toy.rounds = 500;
  const RunResult result = run_packed(toy_plan(toy), options());
  // expect no trouble, and a report for each node with the work that it did
  EXPECT_EQ(result.trouble, "");
  ASSERT_EQ(result.reports.size(), 4u);
  EXPECT_EQ(result.reports[0].kind, NodeKind::kCoordinator);
  EXPECT_GE(result.reports[0].network_bytes, toy.rounds * kToyBytes * toy.players);
  EXPECT_GT(result.reports[0].window_ns, 0);
  for (std::uint16_t i = 1; i <= toy.players; ++i) {
    // the window opens after the first round's turn and is closed by the end of the run
    EXPECT_EQ(result.reports[i].node, NodeId{i});
    EXPECT_EQ(result.reports[i].ledger.get(Role::kBackup, Work::kMessageIn), toy.rounds - 1);
    EXPECT_EQ(result.reports[i].ledger.get(Role::kClient, Work::kMessageIn), 0u);
    EXPECT_GT(result.reports[i].cpu_ns[static_cast<std::size_t>(Role::kBackup)], 0u);
    EXPECT_GT(result.reports[i].fabric_cpu_ns, 0u);
  }
  EXPECT_EQ(result.run_directory, "");
}

TEST_P(Packed, TroubleOfANodeEndsTheRunWithItsName) {
  ToyOptions toy;
  toy.rounds = 1'000'000'000;
  toy.act_round = 20;
  toy.act = ToyOptions::Act::kFail;
  const RunResult result = run_packed(toy_plan(toy), options());
  EXPECT_EQ(result.trouble, "player-1: it fails as told");
  EXPECT_TRUE(result.reports.empty());
}

TEST_P(Packed, TimeLimitEndsARunThatHangsAndTellsTheNodesStates) {
  ToyOptions toy;
  toy.act_round = 20;
  toy.act = ToyOptions::Act::kFallSilent;
  EmulateOptions o = options();
  o.time_limit_ns = 200 * kMillisecond;
  const RunResult result = run_packed(toy_plan(toy), o);
  EXPECT_NE(result.trouble.find("time limit of 0.2 s"), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("player-1: player 1 in round"), std::string::npos) << result.trouble;
}

TEST_P(Packed, InterruptEndsTheRunInGoodOrder) {
  // given a player that sends Ctrl-C to its own process
  ToyOptions toy;
  toy.rounds = 1'000'000'000;
  RunPlan plan = toy_plan(toy);
  plan.make = [make = plan.make](NodeId id, Fabric& fabric, const Storage& storage) {
    if (index(id) == 2) raise(SIGINT);
    return make(id, fabric, storage);
  };
  const RunResult result = run_packed(plan, options());
  EXPECT_EQ(result.interrupted_by, SIGINT);
  EXPECT_EQ(result.trouble, "interrupted by SIGINT");
}

INSTANTIATE_TEST_SUITE_P(Fabrics, Packed,
                         testing::Combine(testing::Values(FabricKind::kShm, FabricKind::kTcp), testing::Values(1u, 2u)),
                         [](const auto& it) {
                           return fmt::format("{}{}", name(std::get<0>(it.param)), std::get<1>(it.param));
                         });

TEST(PackedDirectory, IsKeptWhenAskedForAndRefusedWhenItExists) {
  EmulateOptions options;
  options.run_directory = fresh_path("kept");
  options.keep_run_directory = true;
  ToyOptions toy;
  toy.rounds = 5;
  const RunResult result = run_packed(toy_plan(toy), options);
  // expect the players' memory with the last round in it
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(result.run_directory, options.run_directory);
  EXPECT_FALSE(fs::exists(options.run_directory + "/lock"));
  EXPECT_TRUE(fs::exists(options.run_directory + "/node-1.replica"));
  // and that the same place is not taken twice
  EXPECT_THROW(run_packed(toy_plan(toy), options), std::runtime_error);
  fs::remove_all(options.run_directory);
}

}  // namespace
}  // namespace slipstream::emulate
