// Agents as children on this machine: this very program, started once more, is the agent (see main below).
#include "emulate/hosts/agents.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "emulate/hosts/agent_process.h"
#include "emulate/hosts/build_id.h"
#include "emulate/hosts/child.h"
#include "emulate/hosts/shell_words.h"
#include "emulate/hosts/toy_nodes.h"

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kForEver = 1'000'000'000;
constexpr const char* kCannotBeMade = "cannot-be-made";
constexpr const char* kHasLittleTime = "has-little-time";

// Waits for something that must come; false when it has not come after a time that only a fault explains.
bool comes(const std::function<bool()>& condition) {
  const Clock clock = Clock::calibrated();
  while (!condition()) {
    if (clock.now() > 60 * kSecond) return false;
    std::this_thread::yield();
  }
  return true;
}

std::string job_of(const ToyOptions& toy, const std::string& folder) {
  return fmt::format("{} {} {} {} {} {}", folder, toy.players, toy.rounds, toy.acting_player, toy.act_round,
                     static_cast<int>(toy.act));
}

// Every node leaves its process id in the folder. One that is to act in a round that never comes cannot be made.
AgentJob toy_agent(const std::string& text) {
  std::istringstream in(text);
  std::string folder;
  ToyOptions toy;
  int act = 0;
  in >> folder >> toy.players >> toy.rounds >> toy.acting_player >> toy.act_round >> act;
  toy.act = static_cast<ToyOptions::Act>(act);
  AgentJob job;
  job.options.fabric = FabricKind::kTcp;
  job.options.storage_directory = folder;
  if (fs::exists(folder + "/" + kHasLittleTime)) job.options.time_limit_ns = job.options.answer_limit_ns = kMillisecond;
  job.plan = toy_plan(toy);
  job.plan.make = [make = job.plan.make, folder](NodeId id, Fabric& fabric, const Storage& storage) {
    if (index(id) == 2 && fs::exists(folder + "/" + kCannotBeMade)) throw std::runtime_error("no memory; use less");
    const std::string pid = std::to_string(getpid());
    write_file(fmt::format("{}/{}.pid", folder, index(id)), std::as_bytes(std::span(pid)));
    return make(id, fabric, storage);
  };
  return job;
}

std::string text_in(const std::string& file) {
  std::string text = read_file(file);
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

// Where the process holds its run directories; they have a lock file.
std::vector<std::string> directories_of(pid_t pid) {
  std::vector<std::string> directories;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), ignored)) {
    const fs::path file = fs::read_symlink(entry.path(), ignored);
    if (file.filename() == "lock") directories.push_back(file.parent_path());
  }
  return directories;
}

struct Agents : testing::Test {
  ToyOptions toy;
  EmulateOptions options;
  std::vector<Place> places;
  std::string folder;

  Agents() {
    folder = (fs::temp_directory_path() / "slipstream-agents-test-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("no folder for the test");
    options.fabric = FabricKind::kTcp;
    places.resize(toy.players + 1u);
    for (Place& place : places) place.address = "127.0.0.1";
  }
  ~Agents() override { fs::remove_all(folder); }

  RunResult run() {
    options.job = job_of(toy, folder);
    return run_agents(toy_plan(toy), options, places);
  }
  std::string refusal() {
    try {
      return "no refusal, but this trouble: " + run().trouble;
    } catch (const std::runtime_error& problem) {
      return problem.what();
    }
  }
  pid_t pid_of(std::uint16_t node) const {
    const std::string text = read_file(fmt::format("{}/{}.pid", folder, node));
    return text.empty() ? 0 : std::stoi(text);
  }
  std::vector<pid_t> pids() const {
    std::vector<pid_t> all;
    for (std::uint16_t i = 0; i <= toy.players; ++i) {
      if (pid_of(i) != 0) all.push_back(pid_of(i));
    }
    return all;
  }
  bool all_there() const { return pids().size() == toy.players + 1u; }
  void expect_nobody_left() const {
    ASSERT_TRUE(all_there());
    for (const pid_t pid : pids()) {
      EXPECT_EQ(kill(pid, 0), -1) << pid;
      EXPECT_EQ(errno, ESRCH);
    }
    // nor a storage folder in ours
    for (const auto& entry : fs::directory_iterator(folder)) EXPECT_FALSE(entry.is_directory()) << entry.path();
  }
  // A driver in a process of its own, so that it can be killed; its exit status tells that the run was interrupted.
  pid_t start_driver() {
    const pid_t driver = fork();
    if (driver != 0) return driver;
    int status = 1;
    try {
      status = run().interrupted_by == SIGINT ? 77 : 1;
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
    }
    _exit(status);
  }
  // Expects every agent to end, and its directories with it, when the driver is killed.
  void kill_driver_and_look() {
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // so that its orphans come to us
    const pid_t driver = start_driver();
    ASSERT_TRUE(comes([this] { return all_there(); }));
    std::vector<std::string> directories;
    const std::vector<pid_t> agents = pids();
    for (const pid_t pid : agents) {
      const std::vector<std::string> its = directories_of(pid);
      EXPECT_EQ(its.size(), 2u);  // one in shared memory, one for the storage
      directories.insert(directories.end(), its.begin(), its.end());
    }
    before_the_kill();
    kill(driver, SIGKILL);
    ASSERT_EQ(waitpid(driver, nullptr, 0), driver);
    for (const pid_t pid : agents) {
      int status = 0;
      EXPECT_TRUE(comes([&] { return waitpid(pid, &status, WNOHANG) == pid; }));
      EXPECT_TRUE(WIFEXITED(status)) << status;
    }
    for (const std::string& directory : directories) EXPECT_FALSE(fs::exists(directory)) << directory;
  }
  virtual void before_the_kill() {}
};

TEST_F(Agents, RunToTheirEndAndReportEveryNode) {
  const RunResult result = run();
  EXPECT_EQ(result.trouble, "");
  EXPECT_GT(result.wall_seconds, 0);
  ASSERT_EQ(result.reports.size(), 4u);
  EXPECT_GE(result.reports[0].network_bytes, toy.rounds * kToyBytes * toy.players);
  for (std::uint16_t i = 1; i <= toy.players; ++i) {
    EXPECT_EQ(result.reports[i].node, NodeId{i});
    EXPECT_EQ(result.reports[i].ledger.get(Role::kBackup, Work::kMessageIn), toy.rounds - 1);
    EXPECT_GT(result.reports[i].fabric_cpu_ns, 0u);
  }
  expect_nobody_left();
}

TEST_F(Agents, AreStartedByTheCommandOfTheirPlace) {
  // given more nodes than are started at a time, and commands that hand on what they are given
  toy.players = 11;
  places.resize(toy.players + 1u, places.front());
  places[1].command = {"env", "SLIPSTREAM_TEST=it's \"there\""};
  places[2].command = {"/bin/sh", "-c", R"(exec "$@")", "sh"};
  places[3].cores = {0};
  EXPECT_EQ(run().trouble, "");
  expect_nobody_left();
}

TEST_F(Agents, KilledOneFailsTheRunAndNobodyIsLeft) {
  toy.rounds = kForEver;
  toy.act_round = 50;
  places[1].name = "host-7";
  const RunResult result = run();
  EXPECT_EQ(result.trouble, fmt::format("player-1 (process {} at host-7) was killed by SIGKILL", pid_of(1)));
  EXPECT_TRUE(result.reports.empty());
  for (const pid_t pid : pids()) EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(Agents, KilledBehindItsCommandIsToldAsWell) {
  // given a shell that waits for its agent and hands on how that ended
  toy.rounds = kForEver;
  toy.act_round = 50;
  places[1].command = {"/bin/sh", "-c", R"("$@"; exit $?)", "sh"};
  const std::string trouble = run().trouble;
  const std::string who = fmt::format("player-1 (process {})", pid_of(1));
  EXPECT_TRUE(trouble.starts_with(who + " was lost: /bin/sh ended with status 137, as of one killed by SIGKILL"))
      << trouble;
  for (const pid_t pid : pids()) EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(Agents, FailedCheckIsToldWithLastWords) {
  toy.rounds = kForEver;
  toy.act_round = 10;
  toy.act = ToyOptions::Act::kAbort;
  const std::string trouble = run().trouble;
  EXPECT_NE(trouble.find("was killed by SIGABRT"), std::string::npos) << trouble;
  EXPECT_NE(trouble.find("it aborts as told"), std::string::npos) << trouble;
  EXPECT_NE(trouble.find("player 1 in round 10"), std::string::npos) << trouble;
}

TEST_F(Agents, TroubleOfANodeComesBack) {
  toy.rounds = kForEver;
  toy.act_round = 10;
  toy.act = ToyOptions::Act::kFail;
  EXPECT_EQ(run().trouble, "player-1: it fails as told");
  expect_nobody_left();
}

TEST_F(Agents, NodeThatCannotBeMadeFailsTheRun) {
  std::ofstream(folder + "/" + kCannotBeMade) << "x";
  EXPECT_EQ(run().trouble, "player-2: no memory; use less");
}

TEST_F(Agents, SetupThatAPlaceDoesNotHaveIsToldWithItsNode) {
  places[3].address = "192.0.2.1";  // of no machine
  const std::string trouble = run().trouble;
  EXPECT_NE(trouble.find("player-3: cannot listen on 192.0.2.1:0"), std::string::npos) << trouble;
  places[3].address = "127.0.0.1";
  places[1].cores = {100'000};
  EXPECT_EQ(run().trouble, "player-1: core 100000 cannot be used there; name others as its cores, or none");
}

TEST_F(Agents, TimeLimitEndsAHangingRun) {
  // given a node that never comes back from its turn: expect it to be ended, and the others' states
  toy.rounds = kForEver;
  toy.act_round = 1;
  toy.act = ToyOptions::Act::kHang;
  options.time_limit_ns = 2 * kSecond;
  const std::string trouble = run().trouble;
  EXPECT_NE(trouble.find("time limit of 2 s"), std::string::npos) << trouble;
  EXPECT_NE(trouble.find("player-1: did not stop"), std::string::npos) << trouble;
  EXPECT_NE(trouble.find("referee: referee, 0 of 3"), std::string::npos) << trouble;
  expect_nobody_left();
}

TEST_F(Agents, SignalToAnAgentEndsTheRunInGoodOrder) {
  toy.rounds = kForEver;
  const pid_t sender = fork();
  if (sender == 0) {
    comes([this] { return all_there(); });
    kill(pid_of(1), SIGTERM);
    _exit(0);
  }
  const RunResult result = run();
  waitpid(sender, nullptr, 0);
  EXPECT_EQ(result.trouble, "player-1: interrupted by SIGTERM");
  EXPECT_EQ(result.interrupted_by, 0);
  expect_nobody_left();
}

TEST_F(Agents, InterruptEndsAll) {
  toy.rounds = kForEver;
  const pid_t driver = start_driver();
  ASSERT_TRUE(comes([this] { return all_there(); }));
  kill(driver, SIGINT);
  int status = 0;
  ASSERT_EQ(waitpid(driver, &status, 0), driver);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 77) << status;
  expect_nobody_left();
}

TEST_F(Agents, KilledDriverLeavesNothing) {
  toy.rounds = kForEver;
  kill_driver_and_look();
}

struct AgentThatHangs : Agents {
  // Its process has used half a second of CPU time, which no player does in one round.
  bool hangs() const {
    std::istringstream stat(read_file(fmt::format("/proc/{}/stat", pid_of(1))));
    std::string field;
    for (int i = 0; i < 14; ++i) stat >> field;
    return std::stol(field) > sysconf(_SC_CLK_TCK) / 2;
  }
  void before_the_kill() override {
    ASSERT_TRUE(comes([this] { return hangs(); }));
  }
};

TEST_F(AgentThatHangs, GoesWithItsDriverAllTheSame) {
  toy.rounds = kForEver;
  toy.act_round = 1;
  toy.act = ToyOptions::Act::kHang;
  kill_driver_and_look();
}

TEST_F(Agents, EndWhenTheirStandardInputDoes) {
  AgentProcess agent(places[0]);
  agent.hang_up();
  EXPECT_TRUE(comes([&] {
    agent.pump();
    return !agent.is_running();
  }));
  EXPECT_EQ(agent.status(), 0);
}

TEST_F(Agents, EndWhenNoRunTakesSoLong) {
  // given a driver that says no more and does not hang up either, as one that was cut off
  std::ofstream(folder + "/" + kHasLittleTime);
  AgentProcess agent(places[0]);
  wire::Start start;
  start.node = NodeId{0};
  start.nodes = start.sharing = static_cast<std::uint16_t>(places.size());
  start.address = "127.0.0.1";
  start.job = job_of(toy, folder);
  agent.send(wire::Kind::kStart, wire::encode(start));
  EXPECT_TRUE(comes([&] {
    agent.pump();
    return !agent.is_running();
  }));
}

TEST_F(Agents, AreToldNothingThatOthersCanRead) {
  toy.rounds = kForEver;
  const pid_t driver = start_driver();
  ASSERT_TRUE(comes([this] { return all_there(); }));
  // expect the secret, the job and all else to be in neither command line nor environment
  EXPECT_EQ(text_in(fmt::format("/proc/{}/cmdline", pid_of(1))), own_program() + " agent ");
  EXPECT_EQ(text_in(fmt::format("/proc/{}/environ", pid_of(1))), text_in("/proc/self/environ"));
  kill(driver, SIGINT);
  waitpid(driver, nullptr, 0);
}

TEST_F(Agents, OfAnotherBuildAreRefused) {
  // given a copy of this program with another build id
  std::string bytes = read_file(own_program());
  std::string id;
  for (std::size_t i = 0; i < build_id().size(); i += 2) {
    id += static_cast<char>(std::stoi(build_id().substr(i, 2), nullptr, 16));
  }
  ASSERT_EQ(id.size(), 20u);
  const std::size_t at = bytes.find(id);
  ASSERT_NE(at, std::string::npos);
  bytes[at] = static_cast<char>(~bytes[at]);
  places[2].program = folder + "/slipstream";
  places[2].name = "10.0.0.7";
  std::ofstream(places[2].program, std::ios::binary) << bytes;
  fs::permissions(places[2].program, fs::perms::owner_all);
  const std::string text = refusal();
  EXPECT_NE(text.find("player-2 at 10.0.0.7 is another build of slipstream (there "), std::string::npos) << text;
  EXPECT_NE(text.find(fmt::format("copy {} there, as {}", own_program(), places[2].program)), std::string::npos)
      << text;
  EXPECT_TRUE(pids().empty());
}

TEST_F(Agents, ThatDoNotAnswerAreGivenUp) {
  // given the first to be started, so that it is the first to be late, however long the others take
  options.answer_limit_ns = 50 * kMillisecond;
  places[0].command = {"/bin/sh", "-c", "echo it is hot here >&2; exec cat"};
  places[0].name = "the desert";
  const std::string text = refusal();
  EXPECT_NE(text.find("referee at the desert does not answer: not a word in 0.05 s from `/bin/sh -c "),
            std::string::npos)
      << text;
}

TEST_F(Agents, WhoseCommandSaysOtherThingsAreRefused) {
  places[1].command = {"/bin/sh", "-c", "echo Welcome!; exec cat"};
  const std::string text = refusal();
  EXPECT_NE(text.find("instead of an agent's greeting came \"Welcome! \""), std::string::npos) << text;
}

TEST_F(Agents, ThatCannotBeStartedAreToldWithTheCause) {
  places[2].name = "10.0.0.7";
  places[2].command = {"/nowhere/ssh", "10.0.0.7"};
  EXPECT_EQ(refusal(), "cannot start player-2 at 10.0.0.7: cannot run /nowhere/ssh: No such file or directory");
  // given a command that runs, but what it is to run is not there
  places[2].command = {"/bin/sh", "-c", R"(exec "$0" "$@")"};
  places[2].program = "/nowhere/slipstream";
  const std::string text = refusal();
  EXPECT_TRUE(
      text.starts_with("cannot start player-2 at 10.0.0.7: it was lost: /bin/sh ended with status 127; its "
                       "last words: "))
      << text;
  EXPECT_NE(text.find("; see what `/bin/sh -c 'exec \"$0\" \"$@\"' /nowhere/slipstream agent` says there"),
            std::string::npos)
      << text;
  // expect the place's own remedy instead when it has one
  places[2].remedy = [](int status, const std::string& words) {
    return status == 127 && words.find("/nowhere") != std::string::npos ? "copy it there" : "";
  };
  EXPECT_TRUE(refusal().ends_with("; copy it there"));
}

TEST_F(Agents, NeedANetwork) {
  options.fabric = FabricKind::kShm;
  EXPECT_NE(refusal().find("choose the fabric tcp or verbs"), std::string::npos);
}

TEST(ShellWords, AreTakenApartIntoTheSameByAShell) {
  const std::vector<std::string> words = {"printf", "%s|", "plain/word-1", "",   "it's", "a b", "$HOME `id` \\ \"x\"",
                                          "*?[a]",  "~",   "a=b",          "\n", "#x",   "ä"};
  std::string expected;
  for (std::size_t i = 2; i < words.size(); ++i) expected += words[i] + "|";
  std::FILE* const shell = popen(shell_line(words).c_str(), "r");
  ASSERT_NE(shell, nullptr);
  std::string said(1000, '\0');
  said.resize(std::fread(said.data(), 1, said.size(), shell));
  pclose(shell);
  EXPECT_EQ(said, expected);
}

TEST(ShellWords, OfALineAreThoseThatWerePutOnIt) {
  const std::vector<std::string> words = {"ssh", "-F", "it's", "", "a b", "\\ \"x\"", "a=b", "\n", "ä"};
  EXPECT_EQ(shell_split(shell_line(words)), words);
  EXPECT_EQ(shell_split(R"(  a\ b "c \"d\" \e"'f'  )"), (std::vector<std::string>{"a b", R"(c "d" \ef)"}));
  EXPECT_TRUE(shell_split("").empty());
  EXPECT_THROW(shell_split("ssh -F 'x"), std::runtime_error);
}

}  // namespace
}  // namespace slipstream::emulate

int main(int argc, char** argv) {
  using namespace slipstream::emulate;
  if (argc == 2 && std::string(argv[1]) == "agent") return run_agent(toy_agent);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
