// Faults of a spec, from their text to the nodes that they kill: what is refused, which plan it makes, and runs of real
// processes that are killed under load and judged.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "experiments/cli/commands.h"
#include "experiments/cli/fault_entries.h"
#include "experiments/cli/results.h"
#include "experiments/cli/spec.h"
#include "experiments/cli/test_folder.h"

namespace slipstream::cli {
namespace {

std::string spec_text(const std::string& faults, const std::string& more = "") {
  return R"({"name": "trial", "description": "a trial", "worlds": ["emulate"], "workload": {"name": "ycsb-a",
    "checked": true, "records": 50}, "cluster": {"servers": 3, "clients": 2, "segment": "256 KiB", "log_memory":
    "32 MiB", "rpc_timeout": "100 ms"}, "replication": {"policy": "tailwind", "factor": 1}, "emulate": {"hosts":
    "processes", "pin": false}, "warmup": "0 ns", "duration": "1 s", "faults": )" +
         faults + more + "}";
}

std::string refusal(const std::string& faults, const Overrides& overrides = {}) {
  try {
    parse_spec("trial.json", spec_text(faults), overrides);
  } catch (const UserError& error) {
    EXPECT_EQ(error.exit_status(), kExitUsage);
    return error.what();
  }
  return "accepted";
}

TEST(Faults, AreReadStrictly) {
  struct Case {
    std::string faults;
    std::vector<std::string> told;
  };
  const std::vector<Case> cases = {
      {R"({"at": "1 s"})", {"/faults: ", "found an object", "a list of faults"}},
      {R"([7])", {"/faults/0: ", "the number 7", "expected a fault"}},
      {R"([{"at": "1 s", "fault": "crush", "node": "server-1"}])",
       {"/faults/0/fault: ", "\"crush\"", "did you mean \"crash\"?", "torn-write"}},
      {R"([{"at": "1 s", "fault": "crash", "nodes": "server-1"}])",
       {"/faults/0/nodes: ", "unknown key", "did you mean node?"}},
      {R"([{"at": "1 s", "fault": "crash"}])", {"/faults/0/node: ", "is missing", "any-server"}},
      {R"([{"at": 5, "fault": "crash", "node": "server-1"}])", {"/faults/0/at: ", "the number 5", "\"200 ms\""}},
      {R"([{"at": "1 s", "fault": "crash", "node": "server1"}])", {"/faults/0/node: ", "\"server1\"", "\"server-0\""}},
      {R"([{"at": "1 s", "fault": "crash", "node": "server-1"}, {"at": "1 s", "fault": "crash", "node": "server-3"}])",
       {"/faults/1/node: ", "there is no server-3", "server-0 to server-2"}},
      {R"([{"at": "1 s", "fault": "channel-loss", "node": "server-1", "peer": "client-7"}])",
       {"/faults/0/peer: ", "there is no client-7", "client-0 to client-1"}},
      {R"([{"at": "1 s", "fault": "crash", "node": "server-1", "factor": 3}])",
       {"/faults/0/factor: ", "means nothing for \"crash\"", "remove it"}},
      {R"([{"at": "1 s", "fault": "pause", "node": "server-1"}])", {"/faults/0/lasts: ", "is missing for \"pause\""}},
      {R"([{"at": "1 s", "fault": "crash", "node": "server-1", "lasts": "50"}])",
       {"/faults/0/lasts: ", "\"50\"", "\"for good\""}},
      {R"([{"at": "1 s", "fault": "crash", "node": "server-1", "times": 3}])", {"/faults/0/every: ", "is missing"}},
      {R"([{"at": "1 s", "fault": "crash", "node": "server-1", "every": "0 s", "times": 3}])", {"/faults/0/every: "}},
      {R"([{"at": "1 s", "fault": "crash", "node": "client-0"}])",
       {"/faults/0/node: ", "keeps the history", "/workload/checked"}},
  };
  for (const Case& bad : cases) {
    // Given one thing that is wrong, expect the place, what was found and what would be right, on one line
    const std::string message = refusal(bad.faults);
    EXPECT_TRUE(message.starts_with("trial.json: ")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (const std::string& part : bad.told)
      EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
  }
}

TEST(Faults, AreRefusedWhereNobodyCanCarryThemOut) {
  const std::string crash = R"([{"at": "1 s", "fault": "crash", "node": "server-1", "lasts": "50 ms"}])";
  const std::string slow = R"([{"at": "1 s", "fault": "slow", "node": "server-1", "factor": 3, "lasts": "1 s"}])";
  Overrides overrides;
  // Given a crash with a later life where all nodes share a process, and judged runs where nodes do not share a clock
  overrides.hosts = "packed";
  EXPECT_NE(refusal(crash, overrides).find("/faults: hosts \"packed\""), std::string::npos);
  overrides.on = "tcp";
  overrides.hosts = "containers";
  EXPECT_NE(refusal("[]", overrides).find("/workload/checked: "), std::string::npos) << refusal("[]", overrides);
  // Expect the simulator to take all, and a host what it can do
  overrides = {};
  EXPECT_EQ(refusal(slow, overrides), "accepted");
  overrides.on = "sim";
  EXPECT_EQ(refusal(slow, overrides), "accepted");
  EXPECT_EQ(refusal(crash, overrides), "accepted");
}

TEST(Faults, ReadBackAsTheyWereUnderstood) {
  const Spec spec = parse_spec("trial.json", spec_text(R"([{"at": "1500 us", "fault": "crash", "node": "any-server",
    "lasts": "40 ms", "every": "0.25 s", "times": 3}, {"at": "1 s", "fault": "torn-write", "node": "server-0"}])"),
                               {});
  // Given a resolved spec that is read again, expect the same
  EXPECT_EQ(spec.document.at("faults").at(0).at("every"), "250 ms");
  EXPECT_EQ(spec.document.at("faults").at(0).at("keeps_memory"), true);
  EXPECT_EQ(spec.document.at("cluster").at("recovery"), true);
  EXPECT_EQ(parse_spec("again.json", spec.document.dump(), {}).document, spec.document);
  // Expect times of membership that suit the world, unless the spec has its own
  const Point real = points_of(spec).at(0);
  EXPECT_TRUE(real.experiment.cluster.membership.recoverable);
  EXPECT_EQ(real.settings.at("membership.lease"), "500 ms");
  Overrides simulated;
  simulated.on = "sim";
  simulated.sets = {{"membership.probe_timeout", "7 ms"}};
  const Point point = points_of(parse_spec("trial.json", spec_text("[]"), simulated)).at(0);
  EXPECT_FALSE(point.experiment.cluster.membership.recoverable);
  EXPECT_EQ(point.settings.at("membership.lease"), "150 ms");
  EXPECT_EQ(point.settings.at("membership.probe_timeout"), "7 ms");
}

TEST(Faults, ASeriesIsSpreadOverServersThatAreThere) {
  ClusterOptions cluster;
  cluster.servers = 5;
  const std::vector<FaultEntry> entries = faults_of(check_faults(Json::parse(R"([
    {"at": "1 s", "fault": "crash", "node": "any-server", "lasts": "100 ms", "every": "50 ms", "times": 200},
    {"at": "1020 ms", "fault": "pause", "node": "coordinator", "lasts": "1 ms"}])"))
                                                        .value);
  const FaultPlan plan = fault_plan(entries, cluster);
  // Expect all of them in the order of time, over all servers, none while it is away, and others for another seed
  ASSERT_EQ(plan.faults.size(), 201u);
  EXPECT_EQ(plan.faults[1].kind, FaultKind::kPause);
  EXPECT_EQ(plan.faults[1].node, NodeId{0});
  std::map<NodeId, TimeNs> back;
  for (std::size_t i = 0; i < plan.faults.size(); ++i) {
    const Fault& fault = plan.faults[i];
    EXPECT_GE(fault.at_ns, plan.faults[i == 0 ? 0 : i - 1].at_ns);
    if (fault.kind != FaultKind::kCrash) continue;
    EXPECT_GE(fault.at_ns, back[fault.node]);
    back[fault.node] = fault.at_ns + fault.lasts_ns;
  }
  EXPECT_EQ(back.size(), 5u);
  EXPECT_EQ(fault_plan(entries, cluster).faults, plan.faults);
  cluster.seed = 2;
  EXPECT_NE(fault_plan(entries, cluster).faults, plan.faults);
}

struct Ran {
  int status = 0;
  std::string err;
  std::vector<Json> lines;
};

Ran run(const TestFolder& folder, const std::string& text, const Overrides& overrides) {
  RunRequest request;
  request.spec = folder.write("spec.json", text).string();
  request.overrides = overrides;
  request.out = (folder / "r").string();
  request.json = true;
  Ran ran;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    ran.status = run_command(request);
  } catch (const UserError& error) {
    ran.status = error.exit_status();
  }
  testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  ran.lines = read_json_lines(folder / "r/points.jsonl").lines;
  return ran;
}

class Kills : public testing::TestWithParam<std::string> {};

TEST_P(Kills, UnderLoadViolateNothing) {
  // Given servers that are killed with SIGKILL one after the other, and the coordinator once, while clients work
  TestFolder folder;
  const std::string faults = R"([
    {"at": "300 ms", "fault": "crash", "node": "any-server", "lasts": "30 ms", "every": "200 ms", "times": 12},
    {"at": "1400 ms", "fault": "crash", "node": "coordinator", "lasts": "30 ms"}])";
  Overrides overrides;
  overrides.on = GetParam();
  overrides.sets = {
      {"duration", "3 s"}, {"cluster.servers", "4"}, {"replication.factor", "2"}, {"workload.outstanding", "2"}};
  const Ran ran = run(folder, spec_text(faults), overrides);
  // Expect a run that ends, in which kills happened and nothing is violated, with its history to show for it
  ASSERT_EQ(ran.status, kExitOk) << ran.err;
  ASSERT_EQ(ran.lines.size(), 1u);
  const Json& metrics = ran.lines[0].at("metrics");
  EXPECT_EQ(metrics.at("violations"), 0) << ran.lines[0].at("findings").dump(1);
  EXPECT_GE(metrics.at("crashes"), GetParam() == "sim" ? 13 : 7);  // those of a node that is still away do nothing
  EXPECT_GE(metrics.at("deaths_declared"), 5);
  EXPECT_GT(metrics.at("checked_operations"), 100);
  const std::string history = TestFolder::read(folder / "r" / ran.lines[0].at("history").get<std::string>());
  EXPECT_GE(std::count(history.begin(), history.end(), '\n'), metrics.at("checked_operations").get<std::int64_t>());
}

TEST_P(Kills, OfServersThatLiveOnViolateNothing) {
  // Given servers that are cut off for so long that they are declared dead, though they work on, one of them slow, and
  // one that is not heard but hears
  TestFolder folder;
  const std::string faults = R"([
    {"at": "300 ms", "fault": "slow", "node": "server-2", "factor": 8, "lasts": "1 s"},
    {"at": "400 ms", "fault": "partition", "node": "server-2", "lasts": "1500 ms"},
    {"at": "2200 ms", "fault": "partition-out", "node": "server-1", "lasts": "1500 ms"},
    {"at": "2300 ms", "fault": "partition", "node": "server-0", "peer": "server-3", "lasts": "300 ms"}])";
  Overrides overrides;
  overrides.on = GetParam();
  overrides.sets = {
      {"duration", "4 s"}, {"cluster.servers", "5"}, {"replication.factor", "2"}, {"workload.outstanding", "2"}};
  const Ran ran = run(folder, spec_text(faults), overrides);
  // Expect others to have taken over from them, and nothing to be violated
  ASSERT_EQ(ran.status, kExitOk) << ran.err;
  ASSERT_EQ(ran.lines.size(), 1u);
  const Json& metrics = ran.lines[0].at("metrics");
  EXPECT_EQ(metrics.at("violations"), 0) << ran.lines[0].at("findings").dump(1);
  EXPECT_GE(metrics.at("deaths_declared"), 1);
  EXPECT_GT(metrics.at("checked_operations"), 100);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Kills, testing::Values("sim", "shm", "tcp"),
                         [](const auto& it) { return it.param; });

TEST(Kills, OfAllReplicasAreToldAsLoss) {
  // Given that every server dies at once, with memory and storage
  TestFolder folder;
  std::string faults;
  for (int i = 0; i < 3; ++i) {
    faults += fmt::format(R"({}{{"at": "600 ms", "fault": "crash", "node": "server-{}", "lasts": "30 ms",
                             "keeps_memory": false, "keeps_storage": false}})",
                          i == 0 ? "[" : ", ", i);
  }
  const Ran ran = run(folder, spec_text(faults + "]", R"(, "membership": {"recovery_patience": "500 ms"})"), {});
  // Expect the run to fail, to say what is lost, and where to look at what is left
  EXPECT_EQ(ran.status, kExitRunFailed);
  EXPECT_NE(ran.err.find("lost: "), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("replica memory and storage are kept in "), std::string::npos) << ran.err;
  const auto start = ran.err.find("/dev/shm/slipstream-run-");
  ASSERT_NE(start, std::string::npos) << ran.err;
  const std::filesystem::path kept = ran.err.substr(start, ran.err.find(',', start) - start);
  EXPECT_TRUE(std::filesystem::exists(kept / "node-1.replicas")) << kept;
  std::filesystem::remove_all(kept);
}

}  // namespace
}  // namespace slipstream::cli
