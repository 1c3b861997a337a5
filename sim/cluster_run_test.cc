// Whole clusters of core's nodes in the simulated world: what must hold whatever the hardware costs.
#include "sim/cluster_run.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "core/check/judge.h"
#include "sim/test_hardware.h"

namespace slipstream::sim {
namespace {

ClusterOptions small_cluster(Policy policy) {
  ClusterOptions cluster;
  cluster.servers = 4;
  cluster.clients = 3;
  cluster.log.segment_bytes = 64 * kKiB;
  cluster.log.memory_bytes = 16 * kMiB;
  cluster.replication.policy = policy;
  cluster.replication.factor = policy == Policy::kNone ? 0 : 3;
  cluster.workload.records = 500;
  cluster.workload.outstanding = 4;
  cluster.warmup_ns = 200 * kMicrosecond;
  cluster.duration_ns = 2 * kMillisecond;
  return cluster;
}

SimOptions model(Threading threading, Waiting waiting = Waiting::kSpin, std::uint32_t workers = 7) {
  SimOptions options;
  options.threading = threading;
  options.waiting = waiting;
  options.workers = workers;
  options.limit_ns = 10 * kSecond;
  return options;
}

const SimOptions kModels[] = {model(Threading::kRunToCompletion), model(Threading::kDispatchWorkers),
                              model(Threading::kDispatchWorkers, Waiting::kYield),
                              model(Threading::kDispatchWorkers, Waiting::kSpin, 1)};

double metric(const std::vector<Metric>& metrics, std::string_view name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& m) { return m.name == name; });
  EXPECT_NE(found, metrics.end()) << name;
  return found == metrics.end() ? -1 : found->value;
}

TEST(ClusterRun, EveryPolicyUnderEveryModel) {
  // Given a mix of reads and updates. Expect a run that ends well, with no wrong read and no error; the backups idle
  // under tailwind, exactly; and with one spinning worker no deadlock, though each server's workers wait for the
  // others'.
  for (const Policy policy : {Policy::kNone, Policy::kRpc, Policy::kTailwind}) {
    for (const SimOptions& options : kModels) {
      ClusterOptions cluster = small_cluster(policy);
      ASSERT_TRUE(apply_workload_name("ycsb-a", cluster.workload));
      const RunResult result = run_cluster(cluster, plain_hardware(), options);
      SCOPED_TRACE(std::string(name(policy)) + " " + std::string(name(options.threading)) + " " +
                   std::string(name(options.waiting)) + " " + std::to_string(options.workers));
      ASSERT_EQ(result.trouble, "");
      ASSERT_EQ(result.reports.size(), node_count(cluster));
      const std::vector<Metric> metrics = summarize(cluster, result.reports);
      EXPECT_GT(metric(metrics, "throughput_ops_per_s"), 10'000);
      EXPECT_EQ(metric(metrics, "wrong_reads"), 0);
      EXPECT_EQ(metric(metrics, "failed_ops"), 0);
      EXPECT_EQ(metric(metrics, "backup_messages_per_op") > 0, policy == Policy::kRpc);
      EXPECT_EQ(metric(metrics, "backup_copied_bytes_per_op") > 0, policy == Policy::kRpc);
      EXPECT_EQ(metric(metrics, "backup_turns_per_op") > 0, policy == Policy::kRpc);
      EXPECT_EQ(metric(metrics, "one_sided_writes_per_op") > 0, policy == Policy::kTailwind);
    }
  }
}

TEST(ClusterRun, TheSameSeedGivesTheSameBytes) {
  // Given two runs of one seed, and one of another. Expect the same reports, byte for byte, and the same states; then
  // others.
  for (const SimOptions& options : kModels) {
    std::set<std::uint64_t> hashes;
    std::vector<std::vector<std::byte>> reports;
    for (const std::uint64_t seed : {7, 7, 8}) {
      ClusterOptions cluster = small_cluster(Policy::kTailwind);
      cluster.seed = seed;
      const RunResult result = run_cluster(cluster, plain_hardware(), options);
      ASSERT_EQ(result.trouble, "");
      hashes.insert(result.timing.state_hash);
      std::vector<std::byte>& bytes = reports.emplace_back();
      for (const NodeReport& report : result.reports) {
        const std::vector<std::byte> encoded = encode(report);
        bytes.insert(bytes.end(), encoded.begin(), encoded.end());
      }
    }
    EXPECT_TRUE(reports[0] == reports[1]);
    EXPECT_FALSE(reports[0] == reports[2]);
    EXPECT_EQ(hashes.size(), 2u);
  }
}

TEST(ClusterRun, CoresAreAccountedFor) {
  // Given saturated servers with spinning workers. Expect no core used for more than its time (the extra
  // worker included), and waiting reported.
  ClusterOptions cluster = small_cluster(Policy::kRpc);
  cluster.workload.outstanding = 32;
  const RunResult result = run_cluster(cluster, plain_hardware(), model(Threading::kDispatchWorkers));
  ASSERT_EQ(result.trouble, "");
  std::uint64_t waiting = 0;
  for (const CoreReport& core : result.cores) {
    const auto window = static_cast<std::uint64_t>(core.window_ns);
    EXPECT_LE(core.dispatch_busy_ns, window + window / 50);
    EXPECT_LE(core.workers_busy_ns + core.workers_waiting_ns, (window + window / 50) * (core.workers + 1));
    waiting += core.workers_waiting_ns;
  }
  EXPECT_GT(waiting, 0u);
  for (const Metric& m : core_metrics(result.cores, cluster)) EXPECT_GT(m.value, 0) << m.name;
}

TEST(ClusterRun, EndsThoughTheCoordinatorRestartsNearTheEnd) {
  // Given checked clients, and a coordinator that dies at one moment or another while they come to their end
  ClusterOptions cluster = small_cluster(Policy::kTailwind);
  cluster.checked = true;
  cluster.membership.recoverable = true;
  cluster.workload.records = 50;
  SimOptions options = model(Threading::kRunToCompletion);
  options.keep_stored_bytes = true;
  const RunResult whole = run_cluster(cluster, plain_hardware(), options);
  ASSERT_EQ(whole.trouble, "");
  for (TimeNs before = 10 * kMicrosecond; before < 600 * kMicrosecond; before += 20 * kMicrosecond) {
    FaultPlan plan;
    plan.faults.push_back({FaultKind::kCrash, whole.timing.simulated_ns - before, NodeId{0}, kNoNode, kMillisecond});
    const RunResult result = run_cluster(cluster, plain_hardware(), options, plan);
    // Expect the run to end all the same, and its judges to be content
    EXPECT_EQ(result.trouble, "") << before;
    EXPECT_EQ(result.crashes, 1u);
    const Judgement judgement = judge(result.records);
    EXPECT_GT(judgement.history.size(), 100u);
    EXPECT_TRUE(judgement.findings.empty()) << describe(judgement.findings);
  }
}

TEST(ClusterRun, CarriesOutAPlan) {
  // Given a server that dies in the middle of a run and is back, and a pause and a short partition of others. Expect
  // the run to come to its end, all three faults done, and the same state when made again; another one without the
  // plan.
  for (SimOptions options : kModels) {
    options.keep_stored_bytes = true;
    ClusterOptions cluster = small_cluster(Policy::kTailwind);
    cluster.rpc_timeout_ns = 8 * kMillisecond;
    cluster.membership.probe_interval_ns = kMillisecond;
    cluster.membership.probe_timeout_ns = 500 * kMicrosecond;
    cluster.membership.lease_ns = 2 * kMillisecond;
    cluster.duration_ns = 10 * kMillisecond;
    cluster.membership.recoverable = true;
    FaultPlan plan;
    plan.faults = {
        {.kind = FaultKind::kPause, .at_ns = 2 * kMillisecond, .node = NodeId{3}, .lasts_ns = 100 * kMicrosecond},
        {.kind = FaultKind::kPartition,
         .at_ns = 3 * kMillisecond,
         .node = NodeId{2},
         .peer = NodeId{4},
         .lasts_ns = 100 * kMicrosecond},
        {.kind = FaultKind::kCrash, .at_ns = 4 * kMillisecond, .node = NodeId{1}, .lasts_ns = kMillisecond}};
    const RunResult first = run_cluster(cluster, plain_hardware(), options, plan);
    EXPECT_EQ(first.trouble, "");
    EXPECT_EQ(first.faults, 3u);
    EXPECT_EQ(run_cluster(cluster, plain_hardware(), options, plan).timing.state_hash, first.timing.state_hash);
    EXPECT_NE(run_cluster(cluster, plain_hardware(), options).timing.state_hash, first.timing.state_hash);
  }
}

TEST(ClusterRun, SaysWhyItCannotRun) {
  // Given a factor that the servers cannot hold, and a run that may not take long enough. Expect an error, and trouble.
  ClusterOptions cluster = small_cluster(Policy::kTailwind);
  cluster.replication.factor = 9;
  EXPECT_THROW(run_cluster(cluster, plain_hardware(), {}), std::runtime_error);
  SimOptions hurried;
  hurried.limit_ns = 1 * kMillisecond;
  EXPECT_EQ(run_cluster(small_cluster(Policy::kTailwind), plain_hardware(), hurried).trouble,
            "not done after 0.001 s of simulated time");
}

}  // namespace
}  // namespace slipstream::sim
