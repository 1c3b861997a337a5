// Faults that the driver of processes carries out, and the later lives of nodes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

#include "emulate/hosts/fabrics_here.h"
#include "emulate/hosts/faults.h"
#include "emulate/hosts/lasting_nodes.h"
#include "emulate/hosts/packed.h"
#include "emulate/hosts/processes.h"

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

Fault crash(std::uint16_t node, TimeNs at_ns, TimeNs lasts_ns) {
  Fault fault;
  fault.node = NodeId{node};
  fault.at_ns = at_ns;
  fault.lasts_ns = lasts_ns;
  return fault;
}

struct Lives : testing::TestWithParam<FabricKind> {
  LastingOptions lasting;
  EmulateOptions options;

  Lives() {
    options.fabric = GetParam();
    options.hosts = HostKind::kProcesses;
    options.time_limit_ns = 60 * kSecond;
    const char* const parent = fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
    options.run_directory = fmt::format("{}/slipstream-lives-test-{}", parent, getpid());
    fs::remove_all(options.run_directory);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {  // orphans of other tests that came to this process
    }
  }
  ~Lives() override { fs::remove_all(options.run_directory); }

  RunResult run() {
    const RunResult result = run_processes(lasting_plan(lasting), options);
    // expect, however it went, nothing left: no folder, and no process, which would be a child of this one
    EXPECT_FALSE(fs::exists(options.run_directory));
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    return result;
  }
  void add(const Fault& fault) { options.faults.faults.push_back(fault); }
};

INSTANTIATE_TEST_SUITE_P(Fabrics, Lives, testing::ValuesIn(fabrics_here()),
                         [](const auto& it) { return std::string(name(it.param)); });

TEST_P(Lives, APlayerKilledTwentyTimesInARowFindsItsMemoryAndTheRunEnds) {
  constexpr int kTimes = 20;
  constexpr TimeNs kEvery = 60 * kMillisecond;
  for (int i = 1; i <= kTimes; ++i) add(crash(1, i * kEvery, 5 * kMillisecond));
  lasting.until_ns = kTimes * kEvery + 300 * kMillisecond;
  const RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  ASSERT_EQ(result.lives.size(), 4u);
  EXPECT_EQ(result.lives[1], kTimes + 1u);
  EXPECT_EQ(result.lives[2], 1u);
  ASSERT_EQ(result.reports.size(), 4u);
  EXPECT_EQ(result.reports[1].node, NodeId{1});
}

TEST_P(Lives, ACrashWithoutMemoryOrStorageLosesBoth) {
  Fault fault = crash(2, 40 * kMillisecond, 10 * kMillisecond);
  fault.keeps_memory = fault.keeps_storage = false;
  lasting.keeps_memory = lasting.keeps_storage = false;
  lasting.until_ns = 150 * kMillisecond;
  add(fault);
  const RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(result.lives, (std::vector<std::uint32_t>{1, 1, 2, 1}));
}

TEST_P(Lives, TheNodeThatEndsTheRunMayCrashToo) {
  add(crash(0, 40 * kMillisecond, 10 * kMillisecond));
  add(crash(0, 120 * kMillisecond, 0));
  lasting.until_ns = 200 * kMillisecond;
  const RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(result.lives, (std::vector<std::uint32_t>{3, 1, 1, 1}));
}

TEST_P(Lives, ANodeThatStaysAwayDoesNotEndTheRun) {
  add(crash(3, 40 * kMillisecond, kNever));
  lasting.players_stay_away = true;
  lasting.until_ns = 150 * kMillisecond;
  const RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(result.lives, (std::vector<std::uint32_t>{1, 1, 1, 1}));
  // expect a report of it, with nothing in it
  ASSERT_EQ(result.reports.size(), 4u);
  EXPECT_EQ(result.reports[3].node, NodeId{3});
  EXPECT_EQ(result.reports[3].fabric_cpu_ns, 0u);
}

TEST_P(Lives, APackedNodeMayCrashForGood) {
  // given two deaths, on one loop and on two, and a fault of a node that is dead by then
  add(crash(3, 40 * kMillisecond, kNever));
  add(crash(1, 60 * kMillisecond, kNever));
  add(crash(3, 80 * kMillisecond, kNever));
  lasting.players_stay_away = true;
  lasting.meetings = 0;  // it may die before it was met
  lasting.until_ns = 150 * kMillisecond;
  options.hosts = HostKind::kPacked;
  for (const std::uint32_t loops : {1u, 2u}) {
    options.loops = loops;
    const RunResult result = run_packed(lasting_plan(lasting), options);
    // expect the others to notice and to go on, and a report of the dead with nothing in it
    EXPECT_EQ(result.trouble, "");
    EXPECT_EQ(result.crashes, 2u);
    ASSERT_EQ(result.reports.size(), 4u);
    EXPECT_EQ(result.reports[3].node, NodeId{3});
    EXPECT_EQ(result.reports[3].fabric_cpu_ns, 0u);
    EXPECT_FALSE(fs::exists(options.run_directory));
  }
}

TEST_P(Lives, ARetiredNodeIsStartedAnewOrStaysAway) {
  lasting.retiring_player = 1;
  lasting.until_ns = 150 * kMillisecond;
  lasting.meetings = 3;
  options.restart_retired_ns = 5 * kMillisecond;
  RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_GE(result.lives[1], 3u);
  options.restart_retired_ns = kNever;
  lasting.meetings = 1;
  lasting.players_stay_away = true;
  result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(result.lives[1], 1u);
}

TEST_P(Lives, APausedNodeGoesOnAndEvenOneThatIsPausedForGoodEnds) {
  Fault pause = crash(1, 30 * kMillisecond, 50 * kMillisecond);
  pause.kind = FaultKind::kPause;
  add(pause);
  lasting.until_ns = 150 * kMillisecond;
  RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(result.lives, (std::vector<std::uint32_t>{1, 1, 1, 1}));
  // given a pause without an end, and a run that is too long for its limit: expect the node to be told to stop, and to
  options.faults.faults.front().lasts_ns = kNever;
  options.time_limit_ns = kSecond;
  lasting.until_ns = 2 * kSecond;
  result = run();
  EXPECT_NE(result.trouble.find("time limit"), std::string::npos) << result.trouble;
  EXPECT_EQ(result.trouble.find("was killed"), std::string::npos) << result.trouble;
}

TEST_P(Lives, AnUnplannedDeathStillFailsTheRun) {
  // given crashes of one player that are planned, and one of another that is not
  add(crash(1, 20 * kMillisecond, 5 * kMillisecond));
  add(crash(1, 5 * kSecond, 5 * kMillisecond));
  lasting.until_ns = 20 * kSecond;
  RunPlan plan = lasting_plan(lasting);
  plan.make = [make = plan.make](NodeId id, Fabric& fabric, const Storage& storage) {
    if (index(id) == 2) alarm(1);  // its death, by a signal that nobody handles
    return make(id, fabric, storage);
  };
  const RunResult result = run_processes(plan, options);
  EXPECT_NE(result.trouble.find("player-2 (process"), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("was killed by SIGALRM"), std::string::npos) << result.trouble;
}

TEST_P(Lives, FaultsInsideAProcessComeAtTheirTimes) {
  // given channels that die, and a write that lands late, of players that go on in several lives
  for (int i = 1; i <= 6; ++i) {
    Fault fault = crash(static_cast<std::uint16_t>(i % 3), i * 30 * kMillisecond, 5 * kMillisecond);
    fault.kind = i % 2 == 0 ? FaultKind::kChannelLoss : FaultKind::kTornWrite;
    fault.tear = static_cast<Tear>(i % 3);
    fault.salt = static_cast<std::uint64_t>(i);
    add(fault);
    if (i == 3) add(crash(2, 3 * 30 * kMillisecond, 5 * kMillisecond));
  }
  lasting.until_ns = 250 * kMillisecond;
  const RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_EQ(result.lives, (std::vector<std::uint32_t>{1, 1, 2, 1}));
}

TEST_P(Lives, AStorageFaultReachesItsNode) {
  // given a failure that is due while the node is away, expect it to come to nothing; given one from the start, expect
  // the node to hear of it
  add(crash(1, 50 * kMillisecond, 300 * kMillisecond));
  Fault fault = crash(1, 250 * kMillisecond, 0);
  fault.kind = FaultKind::kStorageFailed;
  add(fault);
  lasting.until_ns = 400 * kMillisecond;
  EXPECT_EQ(run().trouble, "");
  options.faults.faults = {fault};
  options.faults.faults[0].at_ns = 0;
  EXPECT_EQ(run().trouble, "player-1: no frame could be stored");
}

TEST(Faults, InPackedAreThoseInsideANode) {
  // given a packed run with channels that die and one with a storage that fails: expect them to be there
  LastingOptions lasting;
  lasting.until_ns = 120 * kMillisecond;
  EmulateOptions options;
  options.loops = 2;
  for (int i = 1; i <= 3; ++i) {
    Fault fault = crash(static_cast<std::uint16_t>(i), i * 20 * kMillisecond, kNever);
    fault.kind = FaultKind::kChannelLoss;
    options.faults.faults.push_back(fault);
  }
  EXPECT_EQ(run_packed(lasting_plan(lasting), options).trouble, "");
  options.faults.faults.resize(1);
  options.faults.faults[0].at_ns = 0;
  options.faults.faults[0].kind = FaultKind::kStorageFailed;
  EXPECT_EQ(run_packed(lasting_plan(lasting), options).trouble, "player-1: no frame could be stored");
}

TEST(Faults, ThatCannotBeCarriedOutAreRefusedBeforeTheRun) {
  const RunPlan plan = lasting_plan({});
  EmulateOptions options;
  const auto refusal = [&](HostKind hosts, Fault fault) {
    options.hosts = hosts;
    options.faults.faults = {fault};
    return problem_with_faults(plan, options);
  };
  Fault fault = crash(1, 0, kNever);
  EXPECT_EQ(refusal(HostKind::kProcesses, fault), "");
  EXPECT_EQ(refusal(HostKind::kPacked, fault), "");
  const std::string both = "hosts \"processes\" and \"packed\" can, and the simulator (--on sim)";
  EXPECT_EQ(refusal(HostKind::kSsh, fault), "faults: hosts \"ssh\" over shm cannot carry out \"crash\"; " + both);
  fault.lasts_ns = 5;
  EXPECT_EQ(refusal(HostKind::kProcesses, fault), "");
  EXPECT_EQ(refusal(HostKind::kVm, fault), "");
  EXPECT_EQ(refusal(HostKind::kPacked, fault),
            "faults: hosts \"packed\" over shm cannot carry out \"crash\" unless it is for good and keeps memory and "
            "storage; hosts \"processes\" can, and the simulator (--on sim)");
  fault.lasts_ns = kNever;
  fault.keeps_memory = false;
  EXPECT_NE(refusal(HostKind::kPacked, fault), "");
  fault.kind = FaultKind::kPartition;
  EXPECT_EQ(refusal(HostKind::kPacked, fault), "");
  EXPECT_EQ(refusal(HostKind::kContainers, fault),
            "faults: hosts \"containers\" over shm cannot carry out \"partition\"; " + both);
  fault.kind = FaultKind::kTornWrite;
  EXPECT_EQ(refusal(HostKind::kPacked, fault), "");
  EXPECT_NE(refusal(HostKind::kMininet, fault).find("hosts \"mininet\""), std::string::npos);
  fault.peer = NodeId{9};
  EXPECT_EQ(refusal(HostKind::kPacked, fault), "faults: torn-write names node 9, and the nodes are 0 to 3");
  fault.peer = kNoNode;
  fault.at_ns = -1;
  EXPECT_NE(refusal(HostKind::kPacked, fault).find("times must rise from 0"), std::string::npos);
  options.faults = {};
  options.faults.message_loss_ppm = 5;
  options.hosts = HostKind::kContainers;
  EXPECT_NE(problem_with_faults(plan, options).find("cannot carry out faults by chance"), std::string::npos);
  // expect the hosts to refuse, not just to be able to say so
  options.faults = {};
  options.hosts = HostKind::kPacked;
  options.faults.faults = {crash(1, 0, 5)};
  EXPECT_THROW(run_packed(plan, options), std::runtime_error);
  options.faults.faults[0].node = NodeId{9};
  EXPECT_THROW(run_processes(plan, options), std::runtime_error);
}

TEST(Faults, OfAPlanGoToWhereTheyAreMade) {
  // given one fault of each kind that is made inside a node, of node 1, expect each in its wrapper, with its peer and
  // its time; none of another node, and none that was due before the life began
  FaultPlan plan;
  plan.message_twice_ppm = 7;
  TimeNs at = 0;
  for (std::size_t kind = 0; fault_kind_of(name(static_cast<FaultKind>(kind))).has_value(); ++kind) {
    Fault fault = crash(1, ++at, 5);
    fault.kind = static_cast<FaultKind>(kind);
    fault.peer = NodeId{2};
    fault.tear = Tear::kBlocks;
    plan.faults.push_back(fault);
    if (fault.kind == FaultKind::kStorageFailed) break;
  }
  const FaultyOptions fabric = fabric_faults(plan, 1, NodeId{1}, {});
  const std::pair<TimeNs, FabricFault> made[] = {
      {4, FabricFault::kCutOut},      {4, FabricFault::kCutIn},         {5, FabricFault::kCutOut},
      {6, FabricFault::kChannelLoss}, {7, FabricFault::kTornBlocks128}, {8, FabricFault::kLateWrite},
      {9, FabricFault::kMessageLoss}, {10, FabricFault::kMessageTwice}, {11, FabricFault::kBitFlip}};
  ASSERT_EQ(fabric.timed.size(), std::size(made));
  for (std::size_t i = 0; i < std::size(made); ++i) {
    EXPECT_EQ(fabric.timed[i].at_ns, made[i].first);
    EXPECT_EQ(fabric.timed[i].fault, made[i].second);
    EXPECT_EQ(fabric.timed[i].peer, NodeId{2});
    EXPECT_EQ(fabric.timed[i].lasts_ns, 5);
  }
  EXPECT_EQ(fabric.message_twice_ppm, 7u);
  const FaultyStorageOptions storage = storage_faults(plan, 1, NodeId{1}, {});
  ASSERT_EQ(storage.timed.size(), 3u);
  EXPECT_EQ(storage.timed[0].fault, StorageFault::kLost);
  EXPECT_EQ(storage.timed[1].fault, StorageFault::kShort);
  EXPECT_EQ(storage.timed[2].fault, StorageFault::kFailed);
  // the other end of the partitions; of those, what lasts into a later life is its own, too
  const FaultyOptions other = fabric_faults(plan, 1, NodeId{2}, {});
  ASSERT_EQ(other.timed.size(), 3u);
  EXPECT_EQ(other.timed[0].fault, FabricFault::kCutOut);
  EXPECT_EQ(other.timed[1].fault, FabricFault::kCutIn);
  EXPECT_EQ(other.timed[2].fault, FabricFault::kCutIn);
  EXPECT_EQ(other.timed[2].peer, NodeId{1});
  EXPECT_EQ(fabric_faults(plan, 1, NodeId{3}, {}).timed.size(), 0u);
  EXPECT_EQ(fabric_faults(plan, 1, NodeId{1}, {2, 9}).timed.size(), 3u);
  EXPECT_EQ(slow_times(plan, NodeId{1}).size(), 1u);
  EXPECT_EQ(slow_times(plan, NodeId{2}).size(), 0u);
  EXPECT_NE(fabric.seed, fabric_faults(plan, 1, NodeId{1}, {2, 9}).seed);
}

}  // namespace
}  // namespace slipstream::emulate
