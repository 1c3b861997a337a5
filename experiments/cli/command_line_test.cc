#include "experiments/cli/command_line.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "experiments/cli/experiment.h"
#include "experiments/cli/json.h"
#include "experiments/cli/test_folder.h"

namespace slipstream::cli {
namespace {

struct Ran {
  int status = 0;
  std::string out, err;
};

Ran slipstream(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"slipstream"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  ran.status = command_line(static_cast<int>(argv.size()), argv.data());
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

// A small cluster that is done in a moment, in both worlds. For real it must have been on a core, each node several
// times, before its window is over: on a machine with ten others per core that takes a tenth of a second.
constexpr const char* kSmall = R"({
  "name": "small", "description": "a small cluster", "worlds": ["emulate", "sim"],
  "cluster": {"servers": 2, "segment": "64 KiB", "log_memory": "64 MiB"},
  "replication": {"factor": 1}, "workload": {"name": "ycsb-a", "records": 100},
  "sweep": {"replication.policy": ["rpc", "tailwind"]},
  "warmup": "1 ms", "duration": "500 ms", "sim": {"warmup": "1 ms", "duration": "2 ms"},
  "expect": ["backup_messages_per_op == 0 where replication.policy=tailwind", "wrong_reads == 0"]})";

TEST(CommandLine, HelpIsNoError) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--help"}, {"run", "--help"}, {"bench", "--help"}}) {
    const Ran ran = slipstream(arguments);
    EXPECT_EQ(ran.status, kExitOk);
    EXPECT_FALSE(ran.out.empty());
  }
  EXPECT_NE(slipstream({"--help"}).out.find("Exit status"), std::string::npos);
}

TEST(CommandLine, WhatCannotBeUnderstoodIsStatusTwo) {
  TestFolder folder;
  const std::string small = folder.write("small.json", kSmall).string();
  const std::string broken = folder.write("broken.json", "{\n\"name\": }").string();
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "run, describe, list"},
      {{"lst"}, "did you mean \"list\"?"},
      {{"run"}, "SPEC"},
      {{"run", "quickstrat"}, "did you mean \"quickstart\"?"},
      {{"run", (folder / "absent.json").string()}, "cannot be read (No such file or directory)"},
      {{"run", (folder / "").string()}, "is a folder"},
      {{"run", broken}, "broken.json:2:9: not valid JSON"},
      {{"run", small, "--on", "moon"}, "--on"},
      {{"run", small, "--hosts", "attic"}, "--hosts"},
      {{"run", small, "--jobs", "0"}, "--jobs"},
      {{"run", small, "--seed", "x"}, "--seed"},
      {{"run", small, "--fast"}, "--fast"},
      {{"run", small, "--set", "cluster.servers"}, "expected PATH=VALUE"},
      {{"run", small, "--set", "cluster.servers=1"}, "/replication/factor"},
      {{"run", small, "--set", "cluster.serverz=1"}, "did you mean cluster.servers?"},
      {{"run", small, "--repeats", "0"}, "--repeats"},
      {{"describe", "quickstrat"}, "did you mean"},
      {{"report", (folder / "").string()}, "is not a results folder"}};
  for (const auto& [arguments, told] : cases) {
    const Ran ran = slipstream(arguments);
    EXPECT_EQ(ran.status, kExitUsage) << told;
    EXPECT_NE(ran.err.find(told), std::string::npos) << "no \"" << told << "\" in: " << ran.err;
  }
}

TEST(CommandLine, SchemaAndListAreMachineReadable) {
  EXPECT_EQ(Json::parse(slipstream({"schema"}).out).at("type"), "object");
  const Json list = Json::parse(slipstream({"list", "--json"}).out);
  EXPECT_GE(list.size(), 1u);
  for (const Json& spec : list) EXPECT_FALSE(spec.at("description").get<std::string>().empty());
  const std::string text = slipstream({"list"}).out;
  for (const Json& spec : list) EXPECT_NE(text.find(spec.at("spec").get<std::string>()), std::string::npos);
}

TEST(CommandLine, DescribeTellsEveryOption) {
  TestFolder folder;
  const Ran ran =
      slipstream({"describe", folder.write("small.json", kSmall).string(), "--set", "workload.value=1 KiB"});
  EXPECT_EQ(ran.status, kExitOk);
  for (const char* told :
       {"1 KiB", "sweep: rpc, tailwind", "cluster.servers", "sim.hardware", "wrong_reads == 0", "acknowledged"}) {
    EXPECT_NE(ran.out.find(told), std::string::npos) << told;
  }
  // What --json prints is a spec again
  const Ran json = slipstream({"describe", (folder / "small.json").string(), "--json"});
  const std::string resolved = folder.write("resolved.json", json.out).string();
  EXPECT_EQ(slipstream({"describe", resolved, "--json"}).out, json.out);
}

TEST(CommandLine, RunsTheSameSpecInBothWorlds) {
  TestFolder folder;
  const std::string small = folder.write("small.json", kSmall).string();
  const std::string out = (folder / "r").string();
  const Ran ran = slipstream({"run", small, "--json", "--out", out});
  ASSERT_EQ(ran.status, kExitOk) << ran.err;
  const Json told = Json::parse(ran.out);
  // Expect two points in each world, with the claims kept
  ASSERT_EQ(told.at("points").size(), 4u);
  for (const Json& point : told.at("points")) {
    EXPECT_GE(point.at("metrics").at("throughput_ops_per_s").at("median"), point.at("world") == "sim" ? 1 : 0);
  }
  for (const Json& claim : told.at("expect")) EXPECT_EQ(claim.at("outcome"), "holds") << claim;
  // Expect nothing to be done again by a second run
  const std::string points = TestFolder::read(folder / "r/points.jsonl");
  const Ran again = slipstream({"run", small, "--json", "--out", out});
  EXPECT_EQ(again.status, kExitOk);
  EXPECT_NE(again.err.find("4 of 4 runs are in"), std::string::npos) << again.err;
  EXPECT_EQ(TestFolder::read(folder / "r/points.jsonl"), points);
  // Expect another spec to be refused there
  const Ran other = slipstream({"run", small, "--json", "--out", out, "--seed", "99"});
  EXPECT_EQ(other.status, kExitUsage);
  EXPECT_NE(other.err.find("/seed is 1 there and 99 here"), std::string::npos) << other.err;
}

TEST(CommandLine, WhatWasPrintedBeforeARunIsPrintedOnce) {
  TestFolder folder;
  const std::string small = folder.write("small.json", kSmall).string();
  const std::string out = (folder / "r").string();
  // Given words still in a buffer when a run starts a process for each node
  testing::internal::CaptureStdout();
  std::printf("once");
  const std::vector<const char*> argv = {"slipstream", "run",  small.c_str(), "--json",  "--out",
                                         out.c_str(),  "--on", "tcp",         "--hosts", "processes"};
  const int status = command_line(static_cast<int>(argv.size()), argv.data());
  const std::string printed = testing::internal::GetCapturedStdout();
  // Expect them once, and nothing but JSON after them
  EXPECT_EQ(status, kExitOk);
  EXPECT_EQ(printed.rfind("once"), 0u);
  EXPECT_FALSE(Json::parse(printed.substr(4), nullptr, false).is_discarded());
}

TEST(CommandLine, APortInUseIsToldAndNothingIsKept) {
  TestFolder folder;
  const std::string small = folder.write("small.json", kSmall).string();
  // Given a port that another program listens on
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  if (ntohs(address.sin_port) > 65000) GTEST_SKIP() << "the kernel picked a port too high for a cluster";
  const Ran ran = slipstream(
      {"run", small, "--json", "--on", "tcp", "--set", "emulate.base_port=" + port, "--out", (folder / "r").string()});
  ::close(listener);
  // Expect status 1, the port in the message, and no result
  EXPECT_EQ(ran.status, kExitRunFailed);
  EXPECT_NE(ran.err.find(port), std::string::npos) << ran.err;
  EXPECT_EQ(TestFolder::read(folder / "r/points.jsonl"), "");
}

TEST(CommandLine, SimulatedLinesAreTheSameBytesEachTime) {
  TestFolder folder;
  const std::string small = folder.write("small.json", kSmall).string();
  for (const char* name : {"a", "b"}) {
    const Ran ran =
        slipstream({"run", small, "--json", "--on", "sim", "--repeats", "2", "--out", (folder / name).string()});
    ASSERT_EQ(ran.status, kExitOk) << ran.err;
  }
  EXPECT_EQ(TestFolder::read(folder / "a/points.jsonl"), TestFolder::read(folder / "b/points.jsonl"));
}

}  // namespace
}  // namespace slipstream::cli
