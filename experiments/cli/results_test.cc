#include "experiments/cli/results.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "experiments/cli/commands.h"
#include "experiments/cli/runner.h"
#include "experiments/cli/test_folder.h"

namespace slipstream::cli {
namespace {

Json document() {
  return {{"name", "trial"}, {"cluster", {{"servers", 4}}}, {"description", "x"}, {"sweep", Json::object()}};
}
Json environment() { return {{"commit", "abc"}, {"machine", {{"cpu", "some"}}}}; }
void ignore(const std::string&) {}

PointRecord record(const std::string& id, int repeat) {
  return {{{"point", id}, {"repeat", repeat}, {"metrics", {{"throughput_ops_per_s", 1.5}}}},
          {{"point", id}, {"repeat", repeat}, {"wall_s", 0.1}},
          {{id + "-" + std::to_string(repeat) + "-read.json", {{"count", 1}}}}};
}

std::string refusal(const TestFolder& folder, const Json& spec, int status) {
  try {
    ResultsFolder opened(folder / "r", spec, environment(), ignore);
  } catch (const UserError& error) {
    EXPECT_EQ(error.exit_status(), status) << error.what();
    return error.what();
  }
  return "opened";
}

TEST(Results, ASecondRunKnowsWhatIsFinished) {
  TestFolder folder;
  {
    ResultsFolder results(folder / "r", document(), environment(), ignore);
    EXPECT_FALSE(results.has("aa", 0));
    results.add(record("aa", 0));
  }
  // Given a folder with one finished run, opened again
  ResultsFolder results(folder / "r", document(), environment(), ignore);
  // Expect that run and no other, and all its files
  EXPECT_TRUE(results.has("aa", 0));
  EXPECT_FALSE(results.has("aa", 1));
  EXPECT_EQ(results.lines().size(), 1u);
  for (const char* file :
       {"spec.json", "environment.json", "points.jsonl", "timing.jsonl", "histograms/aa-0-read.json"}) {
    EXPECT_TRUE(std::filesystem::exists(folder / "r" / file)) << file;
  }
}

TEST(Results, WhatAGuestAddedIsTakenIn) {
  TestFolder folder;
  ResultsFolder results(folder / "r", document(), environment(), ignore);
  results.add(record("aa", 0));
  // Given a line that somebody else added, and one of its timings without a line
  const auto append = [&](const char* file, const Json& line) {
    std::ofstream(folder / "r" / file, std::ios::app) << line.dump() << "\n";
  };
  append("points.jsonl", record("bb", 0).line);
  append("timing.jsonl", record("bb", 0).timing);
  append("timing.jsonl", record("cc", 0).timing);
  results.reload(ignore);
  // Expect it beside what was there, and all that is added later in the same files
  EXPECT_TRUE(results.has("aa", 0));
  EXPECT_TRUE(results.has("bb", 0));
  results.add(record("dd", 0));
  EXPECT_EQ(read_json_lines(folder / "r" / "points.jsonl").lines.size(), 3u);
  EXPECT_EQ(read_json_lines(folder / "r" / "timing.jsonl").lines.size(), 3u);
}

TEST(Results, ALineCutShortIsDroppedAndSaid) {
  const std::string whole = R"({"point":"aa","repeat":0})"
                            "\n"
                            R"({"point":"bb","repeat":0,"metrics":{}})"
                            "\n";
  // Given points.jsonl cut at every byte of its second line
  for (std::size_t cut = whole.find('\n') + 1; cut < whole.size(); ++cut) {
    TestFolder folder;
    { ResultsFolder results(folder / "r", document(), environment(), ignore); }
    folder.write("r/points.jsonl", whole.substr(0, cut));
    folder.write("r/timing.jsonl", whole);
    std::string said;
    ResultsFolder results(folder / "r", document(), environment(), [&](const std::string& text) { said += text; });
    // Expect the first run whole, the second to be made again, nothing of it left, and a word about it
    EXPECT_TRUE(results.has("aa", 0));
    EXPECT_FALSE(results.has("bb", 0));
    EXPECT_EQ(TestFolder::read(folder / "r/points.jsonl"), whole.substr(0, whole.find('\n') + 1));
    EXPECT_EQ(read_json_lines(folder / "r/timing.jsonl").lines.size(), 1u);
    EXPECT_EQ(said.empty(), cut == whole.find('\n') + 1) << said;
  }
}

TEST(Results, FoldersThatAreNotOursAreRefused) {
  TestFolder folder;
  { ResultsFolder results(folder / "r", document(), environment(), ignore); }
  // Given results of another spec: expect where they differ, and the remedy
  Json other = document();
  other["cluster"]["servers"] = 8;
  const std::string message = refusal(folder, other, kExitUsage);
  EXPECT_NE(message.find("/cluster/servers is 4 there and 8 here"), std::string::npos) << message;
  EXPECT_NE(message.find("--out"), std::string::npos);
  // Given a spec that only describes itself otherwise: expect it to carry on
  Json told = document();
  told["description"] = "y";
  EXPECT_EQ(refusal(folder, told, 0), "opened");
  // Given a damaged line in the middle: expect its number
  folder.write("r/points.jsonl", "{\"point\":\"aa\",\"repeat\":0}\nrubbish\n{\"point\":\"bb\",\"repeat\":0}\n");
  EXPECT_NE(refusal(folder, document(), kExitRunFailed).find("points.jsonl:2:"), std::string::npos);
  // Given a folder of other things: expect it untouched
  TestFolder foreign;
  std::filesystem::create_directory(foreign / "r");
  foreign.write("r/thesis.tex", "precious");
  EXPECT_NE(refusal(foreign, document(), kExitUsage).find("thesis.tex"), std::string::npos);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(foreign / "r"), {}), 1);
  // Given a file where the folder should be
  TestFolder file;
  file.write("r", "");
  EXPECT_NE(refusal(file, document(), kExitRunFailed).find("--out"), std::string::npos);
}

TEST(Results, TwoRunsDoNotShareAFolder) {
  TestFolder folder;
  ResultsFolder first(folder / "r", document(), environment(), ignore);
  // Given a folder that is being written to, expect a second run to be refused
  EXPECT_NE(refusal(folder, document(), kExitRunFailed).find("another run"), std::string::npos);
}

// A world without nodes: its figures follow from the spec. What it does in odd cases depends on the number of servers.
RunOutcome fake_world(const Experiment& experiment, World) {
  RunOutcome outcome;
  const double servers = experiment.cluster.servers;
  outcome.metrics = {{"throughput_ops_per_s", 1000 * servers + static_cast<double>(experiment.cluster.seed)},
                     {"wrong_reads", servers == 9 ? 1.0 : 0.0}};
  // Lines longer than any other file, for the full disk.
  for (int i = 0; i < 200; ++i) outcome.metrics.push_back({"metric_" + std::to_string(i), 0.5});
  outcome.latency[0].add(100);
  outcome.events = 1;
  outcome.judged = servers >= 9 && servers <= 10;
  if (servers == 10) outcome.findings = {{FindingKind::kLost, "key 7 is gone\nits story"}};
  if (servers == 10) outcome.metrics.push_back({"violations", 1});
  if (servers == 11) outcome.trouble = "the log is full";
  if (servers == 12) std::abort();
  if (servers == 13) throw std::runtime_error("port 7000 is in use; choose another");
  if (servers == 14) ::kill(::getppid(), SIGINT);
  while (servers == 14) ::pause();
  return outcome;
}

std::string spec_text(const std::string& servers, const std::string& more = "") {
  return R"({"name": "trial", "description": "a trial", "worlds": ["sim"], "workload": {"name": "ycsb-c"}, "repeats": 2,
    "replication": {"policy": "rpc", "factor": 1}, "sweep": {"cluster.servers": )" +
         servers + "}" + more + "}";
}

struct Ran {
  int status = 0;
  std::string out, err;
};

Ran run_fake(const TestFolder& folder, const std::string& text, std::size_t jobs = 1) {
  RunRequest request;
  request.spec = folder.write("spec.json", text).string();
  request.out = (folder / "r").string();
  request.json = true;
  request.jobs = jobs;
  Ran ran;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  try {
    ran.status = run_command(request, fake_world);
  } catch (const UserError& error) {
    ran.status = error.exit_status();
    ran.err = error.what();
  }
  ran.out = testing::internal::GetCapturedStdout();
  ran.err += testing::internal::GetCapturedStderr();
  return ran;
}

TEST(Run, LinesAreTheSameBytesHoweverManyProcessesMakeThem) {
  TestFolder one, many;
  // Given the same simulated points made by one process at a time and by five
  EXPECT_EQ(run_fake(one, spec_text("[2, 3, 4, 5, 6, 7, 8]"), 1).status, kExitOk);
  EXPECT_EQ(run_fake(many, spec_text("[2, 3, 4, 5, 6, 7, 8]"), 5).status, kExitOk);
  // Expect the same file, with a line for each point and repeat, in the order of the spec
  EXPECT_EQ(TestFolder::read(one / "r/points.jsonl"), TestFolder::read(many / "r/points.jsonl"));
  const auto lines = read_json_lines(one / "r/points.jsonl").lines;
  ASSERT_EQ(lines.size(), 14u);
  EXPECT_EQ(lines[0].at("params").at("cluster.servers"), 2);
  EXPECT_EQ(lines[6].at("params").at("cluster.servers"), 8);
  EXPECT_EQ(lines[7].at("repeat"), 1);
  EXPECT_EQ(lines[7].at("seed"), 2);
  EXPECT_EQ(lines[0].at("timing"), "virtual");
  EXPECT_FALSE(lines[0].contains("wall_s"));
}

TEST(Run, AnInterruptedRunCarriesOnWhereItEnded) {
  TestFolder whole, cut;
  run_fake(whole, spec_text("[2, 3, 4]"));
  const std::string lines = TestFolder::read(whole / "r/points.jsonl");
  // Given a folder whose points end in the middle of the fourth line
  run_fake(cut, spec_text("[2, 3, 4]"));
  std::size_t fourth = 0;
  for (int i = 0; i < 3; ++i) fourth = lines.find('\n', fourth) + 1;
  cut.write("r/points.jsonl", lines.substr(0, fourth + 9));
  // Expect a second run to tell so, to make the rest, and to end with the same bytes
  const Ran ran = run_fake(cut, spec_text("[2, 3, 4]"));
  EXPECT_EQ(ran.status, kExitOk);
  EXPECT_NE(ran.err.find("cut short"), std::string::npos);
  EXPECT_NE(ran.err.find("3 of 6 runs"), std::string::npos) << ran.err;
  EXPECT_EQ(TestFolder::read(cut / "r/points.jsonl"), lines);
  EXPECT_EQ(read_json_lines(cut / "r/timing.jsonl").lines.size(), 6u);
}

TEST(Run, FailuresOfOnePointAreToldAndTheOthersKept) {
  for (const auto& [servers, told] :
       std::vector<std::pair<std::string, std::string>>{{"11", "the log is full"}, {"12", "signal 6"}}) {
    TestFolder folder;
    // Given a point that fails, by its own word or by its process ending, between two that do not
    const Ran ran = run_fake(folder, spec_text("[2, " + servers + ", 3]"));
    // Expect exit 1, the reason once, and the other points in the folder
    EXPECT_EQ(ran.status, kExitRunFailed);
    EXPECT_NE(ran.err.find(told), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("cluster.servers=" + servers), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("2 of 6 runs failed"), std::string::npos) << ran.err;
    EXPECT_EQ(read_json_lines(folder / "r/points.jsonl").lines.size(), 4u);
  }
}

TEST(Run, AWorldThatCannotBeSetUpEndsTheRun) {
  TestFolder folder;
  const Ran ran = run_fake(folder, spec_text("[2, 13, 3]"));
  EXPECT_EQ(ran.status, kExitRunFailed);
  EXPECT_NE(ran.err.find("port 7000 is in use"), std::string::npos) << ran.err;
  EXPECT_EQ(read_json_lines(folder / "r/points.jsonl").lines.size(), 1u);
}

TEST(Run, AnInterruptKeepsWhatIsFinishedAndLeavesNothingRunning) {
  TestFolder folder;
  // Given a point during which the user presses Ctrl-C, and which by itself would never end
  const Ran ran = run_fake(folder, spec_text("[2, 14, 3]"));
  // Expect status 130, how to carry on, the point before, and no child
  EXPECT_EQ(ran.status, kExitInterrupted);
  EXPECT_NE(ran.err.find("interrupted after 1 of 6 runs"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("carries on"), std::string::npos);
  EXPECT_EQ(read_json_lines(folder / "r/points.jsonl").lines.size(), 1u);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST(Run, ExitStatusTellsClaimsAndSafety) {
  TestFolder holds, fails, unsafe;
  // Given a claim that holds, one that does not, and a read that was wrong
  EXPECT_EQ(run_fake(holds, spec_text("[2]", R"(, "expect": ["throughput >= 2000"])")).status, kExitOk);
  const Ran failed = run_fake(fails, spec_text("[2]", R"(, "expect": ["throughput >= 9000"])"));
  // Expect 0, 3 and 4
  EXPECT_EQ(failed.status, kExitClaimFailed);
  EXPECT_EQ(Json::parse(failed.out).at("expect").at(0).at("outcome"), "fails");
  EXPECT_EQ(run_fake(unsafe, spec_text("[9]", R"(, "expect": ["throughput >= 99000"])")).status, kExitUnsafe);
}

TEST(Run, WhatTheJudgesFindIsToldWithTheFileToLookAt) {
  TestFolder folder;
  // Given a run in which a key was lost, expect status 4, the first line of the finding, and the history
  const Ran ran = run_fake(folder, spec_text("[10]"));
  EXPECT_EQ(ran.status, kExitUnsafe);
  const Json line = read_json_lines(folder / "r/points.jsonl").lines.at(0);
  const std::string told = Json::parse(ran.out).at("violations").at(0);
  EXPECT_TRUE(told.starts_with("lost: key 7 is gone; see ")) << told;
  EXPECT_NE(told.find("/r/" + line.at("history").get<std::string>()), std::string::npos) << told;
  EXPECT_TRUE(std::filesystem::exists(folder / "r" / line.at("history").get<std::string>()));
}

TEST(Run, AFullDiskIsToldAndHarmsNothing) {
  TestFolder folder;
  run_fake(folder, spec_text("[2]"));
  const std::string before = TestFolder::read(folder / "r/points.jsonl");
  // Given results of one repeat, and a disk that has no room for one more line
  const std::string half = before.substr(0, before.find('\n') + 1);
  folder.write("r/points.jsonl", half);
  rlimit room{};
  ::getrlimit(RLIMIT_FSIZE, &room);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  // As many bytes as spec.json takes, so that points.jsonl is the first file that is too long.
  const rlimit little{std::max<rlim_t>(half.size() + 20, std::filesystem::file_size(folder / "r/spec.json")),
                      room.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &little);
  const Ran ran = run_fake(folder, spec_text("[2]"));
  ::setrlimit(RLIMIT_FSIZE, &room);
  std::signal(SIGXFSZ, old_handler);
  // Expect status 1, one line that tells the cause, and only whole lines
  EXPECT_EQ(ran.status, kExitRunFailed) << ran.err;
  EXPECT_NE(ran.err.find("cannot be written"), std::string::npos) << ran.err;
  EXPECT_FALSE(read_json_lines(folder / "r/points.jsonl").cut_short);
  // Given room again, expect the same bytes as if nothing had been
  EXPECT_EQ(run_fake(folder, spec_text("[2]")).status, kExitOk);
  EXPECT_EQ(TestFolder::read(folder / "r/points.jsonl"), before);
}

}  // namespace
}  // namespace slipstream::cli
