// The real nodes, for real: every fabric, every kind of host, both policies that replicate.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "core/log/certificate_walk.h"
#include "core/replication/backup.h"
#include "emulate/hosts/child.h"
#include "emulate/hosts/fabrics_here.h"
#include "emulate/hosts/options.h"

namespace slipstream::emulate {
namespace {

struct Case {
  FabricKind fabric = FabricKind::kShm;
  HostKind hosts = HostKind::kPacked;
  Policy policy = Policy::kTailwind;
};

struct Cluster : testing::TestWithParam<Case> {
  ClusterOptions cluster;
  EmulateOptions options;

  Cluster() {
    cluster.log.segment_bytes = 256 * kKiB;  // so that segments are rolled, closed and stored
    cluster.log.memory_bytes = 64 * kMiB;
    cluster.replication.policy = GetParam().policy;
    cluster.workload.records = 1000;
    cluster.workload.reads = 500;
    cluster.workload.updates = 500;
    cluster.warmup_ns = 20 * kMillisecond;
    cluster.duration_ns = 100 * kMillisecond;
    options.fabric = GetParam().fabric;
    options.hosts = GetParam().hosts;
    options.loops = 2;
  }
};

double value_of(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& metric : metrics) {
    if (metric.name == name) return metric.value;
  }
  ADD_FAILURE() << "no metric " << name;
  return -1;
}

TEST_P(Cluster, AnswersItsClientsAndReportsWhatItDid) {
  const RunResult result = run_emulated(cluster, options);
  ASSERT_EQ(result.trouble, "");
  ASSERT_EQ(result.reports.size(), node_count(cluster));
  // expect operations, all of them right
  const ClientStats& client = result.reports.back().client;
  EXPECT_GT(client.completed, 0u);
  EXPECT_EQ(client.failed, 0u);
  EXPECT_EQ(client.wrong, 0u);
  // expect that a write of tailwind costs the backups no message, no copy and no turn, and one of rpc all of these
  Ledger all;
  for (const NodeReport& report : result.reports) all += report.ledger;
  EXPECT_GT(all.get(Role::kPrimary, Work::kMutation), 0u);
  const bool is_rpc = GetParam().policy == Policy::kRpc;
  for (const Work work : {Work::kMessageIn, Work::kMessageOut, Work::kCopyBytes, Work::kTurn}) {
    EXPECT_EQ(all.get(Role::kBackup, work) > 0, is_rpc) << name(work);
  }
  EXPECT_EQ(all.get(Role::kPrimary, Work::kPostWrite) > 0, !is_rpc);
  EXPECT_GT(value_of(summarize(cluster, result.reports), "throughput_ops_per_s"), 0);
  EXPECT_GT(value_of(summarize(cluster, result.reports), "primary_cpu_ns_per_op"), 0);
}

// Certified bytes in the replicas that a server's memory file holds.
std::size_t certified_bytes(const std::string& file, std::size_t segment_bytes) {
  std::size_t certified = 0;
  for (const FoundReplica& found : replicas_in(std::as_bytes(std::span(file)), segment_bytes)) {
    const SegmentIdentity identity{NodeId{found.record.master}, SegmentId{found.record.segment}, found.record.epoch};
    certified += walk_certificates(found.buffer, identity).valid_bytes();
  }
  return certified;
}

class ClusterOfProcesses : public testing::TestWithParam<FabricKind> {};

TEST_P(ClusterOfProcesses, KilledServerLeavesItsReplicasAndFailsTheRun) {
  ClusterOptions cluster;
  cluster.log.segment_bytes = 1 * kMiB;
  cluster.log.memory_bytes = 64 * kMiB;
  cluster.replication.buffers = 8;
  cluster.workload.records = 1000;
  cluster.workload.outstanding = 2;
  cluster.duration_ns = 600 * kSecond;
  EmulateOptions options;
  options.fabric = GetParam();
  options.hosts = HostKind::kProcesses;
  options.keep_run_directory = true;
  options.run_directory = fmt::format("/dev/shm/slipstream-cluster-test-{}", getpid());
  std::filesystem::remove_all(options.run_directory);
  constexpr NodeId kVictim{2};
  const std::string memory = fmt::format("{}/node-{}.replicas", options.run_directory, index(kVictim));
  // given somebody who kills a server as soon as replicas of some length have arrived there
  const pid_t killer = fork();
  if (killer == 0) {
    while (certified_bytes(read_file(memory), cluster.log.segment_bytes) < 10'000) std::this_thread::yield();
    kill(std::stoi(read_file(child_files(options.run_directory, kVictim).pid)), SIGKILL);
    _exit(0);
  }
  const RunResult result = run_emulated(cluster, options);
  kill(killer, SIGKILL);
  waitpid(killer, nullptr, 0);
  // expect the run to fail for that reason, and the certified bytes still to be there
  EXPECT_NE(result.trouble.find("server-1 (process "), std::string::npos) << result.trouble;
  EXPECT_NE(result.trouble.find("was killed by SIGKILL"), std::string::npos) << result.trouble;
  EXPECT_GE(certified_bytes(read_file(memory), cluster.log.segment_bytes), 10'000u);
  std::filesystem::remove_all(options.run_directory);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, ClusterOfProcesses, testing::ValuesIn(fabrics_here()),
                         [](const auto& it) { return std::string(name(it.param)); });

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const FabricKind fabric : fabrics_here()) {
    for (const HostKind hosts : {HostKind::kPacked, HostKind::kProcesses}) {
      for (const Policy policy : {Policy::kRpc, Policy::kTailwind}) cases.push_back({fabric, hosts, policy});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Cluster, testing::ValuesIn(all_cases()), [](const auto& it) {
  return fmt::format("{}_{}_{}", name(it.param.fabric), name(it.param.hosts), name(it.param.policy));
});

}  // namespace
}  // namespace slipstream::emulate
