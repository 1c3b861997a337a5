#include "emulate/hosts/processes.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <thread>

#include "emulate/hosts/child.h"
#include "emulate/hosts/toy_nodes.h"

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kForEver = 1'000'000'000;

// Waits for something that must come; false when it has not come after a time that only a fault explains.
bool comes(const std::function<bool()>& condition) {
  const Clock clock = Clock::calibrated();
  while (!condition()) {
    if (clock.now() > 60 * kSecond) return false;
    std::this_thread::yield();
  }
  return true;
}

pid_t pid_of(const std::string& run_directory, std::uint16_t node) {
  const std::string text = read_file(child_files(run_directory, NodeId{node}).pid);
  return text.empty() ? 0 : std::stoi(text);
}

struct Processes : testing::TestWithParam<FabricKind> {
  ToyOptions toy;
  EmulateOptions options;

  Processes() {
    options.fabric = GetParam();
    options.hosts = HostKind::kProcesses;
    const char* const parent = fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
    options.run_directory = fmt::format("{}/slipstream-processes-test-{}", parent, getpid());
    fs::remove_all(options.run_directory);
  }
  ~Processes() override { fs::remove_all(options.run_directory); }

  bool is_player_in_a_round(std::uint16_t player) const {
    const std::string memory = read_file(fmt::format("{}/node-{}.replica", options.run_directory, player));
    return memory.size() >= kToyBytes && memory.find_first_not_of('\0') != std::string::npos;
  }
  bool has_started() const {
    for (std::uint16_t i = 0; i <= toy.players; ++i) {
      if (pid_of(options.run_directory, i) == 0) return false;
    }
    return true;
  }
  // A driver in a process of its own, so that it can be killed; its exit status tells that the run was interrupted.
  pid_t start_driver() {
    const pid_t driver = fork();
    if (driver != 0) return driver;
    RunResult result;
    try {
      result = run_processes(toy_plan(toy), options);
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
      _exit(1);
    }
    _exit(result.interrupted_by == SIGINT ? 77 : 1);
  }
};

TEST_P(Processes, RunToTheirEndAndReportEveryNode) {
  const RunResult result = run_processes(toy_plan(toy), options);
  EXPECT_EQ(result.trouble, "");
  ASSERT_EQ(result.reports.size(), 4u);
  EXPECT_GE(result.reports[0].network_bytes, toy.rounds * kToyBytes * toy.players);
  for (std::uint16_t i = 1; i <= toy.players; ++i) {
    EXPECT_EQ(result.reports[i].node, NodeId{i});
    EXPECT_EQ(result.reports[i].ledger.get(Role::kBackup, Work::kMessageIn), toy.rounds - 1);
    EXPECT_GT(result.reports[i].fabric_cpu_ns, 0u);
  }
  EXPECT_FALSE(fs::exists(options.run_directory));
}

TEST_P(Processes, KilledPlayerFailsTheRunAndLeavesItsMemoryAndNothingRunning) {
  // given a player that is killed in its round 50, after the round's pattern has arrived
  toy.rounds = kForEver;
  toy.act_round = 50;
  options.keep_run_directory = true;
  const RunResult result = run_processes(toy_plan(toy), options);
  // expect to be told who, and how
  const pid_t pid = pid_of(options.run_directory, 1);
  EXPECT_EQ(result.trouble, fmt::format("player-1 (process {}) was killed by SIGKILL", pid));
  EXPECT_TRUE(result.reports.empty());
  EXPECT_EQ(result.run_directory, options.run_directory);
  // expect its replica memory, whole
  if (options.fabric == FabricKind::kShm) {
    const std::string memory = read_file(options.run_directory + "/node-1.replica");
    ASSERT_GE(memory.size(), kToyBytes);
    EXPECT_TRUE(has_pattern(50, std::as_bytes(std::span(memory)).first(kToyBytes)));
  }
  // expect no process left
  for (std::uint16_t i = 0; i <= toy.players; ++i) {
    EXPECT_EQ(kill(pid_of(options.run_directory, i), 0), -1);
    EXPECT_EQ(errno, ESRCH);
  }
}

TEST_P(Processes, FailedCheckIsToldWithLastWords) {
  toy.rounds = kForEver;
  toy.act_round = 10;
  toy.act = ToyOptions::Act::kAbort;
  const RunResult result = run_processes(toy_plan(toy), options);
  EXPECT_NE(result.trouble.find("player-1 (process"), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("was killed by SIGABRT"), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("it aborts as told"), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("player 1 in round 10"), std::string::npos) << result.trouble;
  EXPECT_FALSE(fs::exists(options.run_directory));
}

TEST_P(Processes, TroubleOfANodeComesBack) {
  toy.rounds = kForEver;
  toy.act_round = 10;
  toy.act = ToyOptions::Act::kFail;
  EXPECT_EQ(run_processes(toy_plan(toy), options).trouble, "player-1: it fails as told");
}

TEST_P(Processes, NodeThatCannotBeMadeFailsTheRun) {
  RunPlan plan = toy_plan(toy);
  plan.make = [make = plan.make](NodeId id, Fabric& fabric, const Storage& storage) {
    if (index(id) == 2) throw std::runtime_error("no memory; use less");
    return make(id, fabric, storage);
  };
  EXPECT_EQ(run_processes(plan, options).trouble, "player-2: no memory; use less");
}

TEST_P(Processes, TimeLimitEndsAHangingRun) {
  // given a node that never comes back from its turn: expect it killed, and the others' states
  toy.rounds = kForEver;
  toy.act_round = 1;
  toy.act = ToyOptions::Act::kHang;
  options.time_limit_ns = 2 * kSecond;
  const RunResult result = run_processes(toy_plan(toy), options);
  EXPECT_NE(result.trouble.find("time limit of 2 s"), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("player-1: did not stop"), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("referee: referee, 0 of 3"), std::string::npos) << result.trouble;
}

TEST_P(Processes, KilledDriverLeavesNothingRunning) {
  // given orphans that come to us
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  toy.rounds = kForEver;
  const pid_t driver = start_driver();
  ASSERT_TRUE(comes([this] { return has_started(); }));
  ASSERT_TRUE(options.fabric != FabricKind::kShm || comes([this] { return is_player_in_a_round(1); }));
  kill(driver, SIGKILL);
  ASSERT_EQ(waitpid(driver, nullptr, 0), driver);
  // expect every node to end by that alone: killed, or, where one saw another die first, with that trouble
  for (std::uint16_t i = 0; i <= toy.players; ++i) {
    const pid_t pid = pid_of(options.run_directory, i);
    int status = 0;
    EXPECT_TRUE(comes([&] { return waitpid(pid, &status, WNOHANG) == pid; }));
    EXPECT_TRUE(WIFEXITED(status) || WTERMSIG(status) == SIGKILL) << status;
  }
}

TEST_P(Processes, InterruptEndsAllAndRemovesTheRunDirectory) {
  toy.rounds = kForEver;
  const pid_t driver = start_driver();
  ASSERT_TRUE(comes([this] { return has_started(); }));
  std::vector<pid_t> pids;
  for (std::uint16_t i = 0; i <= toy.players; ++i) pids.push_back(pid_of(options.run_directory, i));
  kill(driver, SIGINT);
  int status = 0;
  ASSERT_EQ(waitpid(driver, &status, 0), driver);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 77);
  EXPECT_FALSE(fs::exists(options.run_directory));
  for (const pid_t pid : pids) EXPECT_EQ(kill(pid, 0), -1);
}

INSTANTIATE_TEST_SUITE_P(Fabrics, Processes, testing::Values(FabricKind::kShm, FabricKind::kTcp),
                         [](const auto& it) { return std::string(name(it.param)); });

TEST(ProcessesTcp, PortInUseIsRefusedWithTheCause) {
  // given a port that somebody listens on
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  EmulateOptions options;
  options.fabric = FabricKind::kTcp;
  options.base_port = ntohs(address.sin_port);
  try {
    run_processes(toy_plan({}), options);
    ADD_FAILURE() << "expected a refusal";
  } catch (const std::runtime_error& e) {
    EXPECT_NE(std::string(e.what()).find(std::to_string(options.base_port)), std::string::npos) << e.what();
  }
  close(listener);
}

}  // namespace
}  // namespace slipstream::emulate
