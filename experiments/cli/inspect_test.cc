// `slipstream inspect` on what a real cluster leaves behind, whole, cut, damaged, mixed up; and on what is none of it.
#include "experiments/cli/inspect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "experiments/cli/command_line.h"
#include "experiments/cli/experiment.h"
#include "experiments/cli/json.h"
#include "experiments/cli/test_folder.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;

struct Ran {
  int status = 0;
  std::string out, err;
};

Ran inspect(std::vector<std::string> arguments) {
  std::vector<const char*> argv = {"slipstream", "inspect"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  ran.status = command_line(static_cast<int>(argv.size()), argv.data());
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What a cluster of three servers left, made once: segments closed and open, in memory and stored.
class Inspect : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = new TestFolder;
    emulate::EmulateOptions options;
    options.run_directory = (*made_ / "run").string();
    options.keep_run_directory = true;
    ClusterOptions cluster;
    cluster.servers = 3;
    cluster.log = {.segment_bytes = 64 * kKiB, .memory_bytes = 4 * kMiB};
    cluster.replication.factor = 2;
    cluster.replication.buffers = 8;
    cluster.workload.records = 2000;
    cluster.warmup_ns = kMillisecond;
    cluster.duration_ns = 50 * kMillisecond;
    cluster.workload.reads = 1000;
    cluster.workload.updates = 0;
    cluster.membership.recoverable = true;
    const emulate::RunResult result = emulate::run_emulated(cluster, options);
    ASSERT_EQ(result.trouble, "");
  }
  static void TearDownTestSuite() { delete std::exchange(made_, nullptr); }

  Inspect() { fs::copy(*made_ / "run", run(), fs::copy_options::recursive); }

  fs::path run() const { return folder_ / "run"; }
  fs::path stored() const {
    for (const auto& entry : fs::recursive_directory_iterator(run() / "storage")) {
      const bool is_replica = entry.path().extension() == ".frame" && !has(entry.path().string(), "node-0");
      if (is_replica) return entry.path();
    }
    return {};
  }
  fs::path written(const std::string& name, const std::string& bytes) const { return folder_.write(name, bytes); }

  TestFolder folder_;

 private:
  static inline TestFolder* made_ = nullptr;
};

TEST_F(Inspect, AWholeRunVerifies) {
  const Ran ran = inspect({run().string()});
  EXPECT_EQ(ran.status, kExitOk) << ran.out << ran.err;
  for (const char* told : {"Replicas by master and segment", "node 2", "stored", "coordinator's state",
                           "all here to the length that is known", "All verifies."}) {
    EXPECT_TRUE(has(ran.out, told)) << told << "\n" << ran.out;
  }
  // The same for machines: every digest's segments are all here, on as many nodes as the run asked for
  const Json json = Json::parse(inspect({"--json", run().string()}).out).at("inspected").at(0);
  ASSERT_GE(json.at("digests").size(), 3u);
  for (const Json& digest : json.at("digests")) EXPECT_TRUE(digest.at("missing").empty());
  for (const Json& segment : json.at("segments")) EXPECT_EQ(segment.at("replicas").size(), 2u) << segment;
}

TEST_F(Inspect, AFileTellsItsEntries) {
  const std::string frame = stored().string();
  ASSERT_FALSE(frame.empty());
  const Ran ran = inspect({frame, "--entries"});
  EXPECT_EQ(ran.status, kExitOk) << ran.out << ran.err;
  for (const char* told :
       {"stored replica of segment", "all verifies", "its digest names", "segment-header", "covers", "table 1 key"}) {
    EXPECT_TRUE(has(ran.out, told)) << told << "\n" << ran.out.substr(0, 2000);
  }
  const Json json = Json::parse(inspect({frame, "--entries", "--json"}).out);
  const Json& replica = json.at("inspected").at(0).at("replicas").at(0);
  std::size_t counted = 0;
  for (const auto& [type, count] : replica.at("entries_by_type").items()) counted += count.get<std::size_t>();
  EXPECT_EQ(replica.at("entries").size(), counted);
  EXPECT_EQ(replica.at("valid_bytes"), replica.at("closed_bytes"));
}

TEST_F(Inspect, ACutFrameTellsWhichBytesAreLost) {
  const std::string bytes = TestFolder::read(stored());
  for (const std::size_t size : {std::size_t{20}, std::size_t{4096}, std::size_t{4100}, std::size_t{9000},
                                 bytes.size() - 48, bytes.size() - 1}) {
    const Ran ran = inspect({written("cut.frame", bytes.substr(0, size)).string()});
    EXPECT_EQ(ran.status, kExitRunFailed) << size << ran.err;
    EXPECT_TRUE(has(ran.out, "cut")) << size << "\n" << ran.out;
    if (size == 9000) {
      EXPECT_TRUE(has(ran.out, "are lost here")) << ran.out;
    }
  }
}

TEST_F(Inspect, AFlippedBitIsNamed) {
  std::string bytes = TestFolder::read(stored());
  bytes[4096 + 5000] = static_cast<char>(bytes[4096 + 5000] ^ 8);
  const Ran ran = inspect({written("flipped.frame", bytes).string()});
  EXPECT_EQ(ran.status, kExitRunFailed);
  EXPECT_TRUE(has(ran.out, "bit 3 of byte 5000 is flipped")) << ran.out;
  // and what is left to be read, with the one entry that is not what it was
  const Ran entries = inspect({"--entries", (folder_ / "flipped.frame").string()});
  EXPECT_TRUE(has(entries.out, "not certified"));
  EXPECT_TRUE(has(entries.out, "WRONG     table 1 key") || has(entries.out, "WRONG     client")) << entries.out;
  EXPECT_TRUE(has(ran.out, "are lost here")) << ran.out;
}

TEST_F(Inspect, WhatADigestNamesAndIsNowhereIsLost) {
  // given a run whose segment is gone from every node
  const std::string name = stored().filename().string();
  int removed = 0;
  for (int node = 1; node <= 3; ++node) removed += fs::remove(run() / fmt::format("storage/node-{}/{}", node, name));
  ASSERT_EQ(removed, 2);
  const Ran ran = inspect({run().string()});
  EXPECT_EQ(ran.status, kExitRunFailed);
  EXPECT_TRUE(has(ran.out, "LOST: all bytes of segment")) << ran.out;
  // given only one node's files, expect no loss to be claimed
  for (int node : {0, 2, 3}) fs::remove_all(run() / fmt::format("storage/node-{}", node));
  const Ran part = inspect({(run() / "storage").string()});
  EXPECT_FALSE(has(part.out, "LOST")) << part.out;
  EXPECT_TRUE(has(part.out, "may be elsewhere")) << part.out;
}

TEST_F(Inspect, AFolderOfTwoClustersIsToldApart) {
  folder_.write("run/storage/node-2/owner", "slipstream storage 1\ncluster 1234\nnode 2\n");
  const Ran ran = inspect({run().string()});
  EXPECT_EQ(ran.status, kExitRunFailed);
  EXPECT_TRUE(has(ran.out, "belongs to cluster 1234")) << ran.out;
}

TEST_F(Inspect, OtherFilesAreStatusTwo) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {written("empty", "").string(), "is empty"},
      {written("text", "hello, world, this is a text").string(), "does not begin as"},
      {written("zeroes", std::string(10000, '\0')).string(), "does not begin as"},
      {(folder_ / "absent").string(), "cannot be read (No such file or directory)"},
      {(run() / "storage/nothing").string(), "holds no replica memory"}};
  fs::create_directories(run() / "storage/nothing");
  for (const auto& [file, told] : cases) {
    const Ran ran = inspect({file});
    EXPECT_EQ(ran.status, kExitUsage) << file;
    EXPECT_TRUE(has(ran.err, told)) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
  EXPECT_EQ(inspect({}).status, kExitUsage);
}

}  // namespace
}  // namespace slipstream::cli
