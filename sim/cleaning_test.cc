// Clusters whose logs are cleaned while they work: nearly full ones, and ones in which servers die in the midst of it.
#include <algorithm>

#include <gtest/gtest.h>

#include "core/check/judge.h"
#include "core/node/server_node.h"
#include "sim/cluster_run.h"
#include "sim/scenario.h"
#include "sim/test_hardware.h"

namespace slipstream::sim {
namespace {

double metric(const std::vector<Metric>& metrics, std::string_view name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& m) { return m.name == name; });
  return found == metrics.end() ? -1 : found->value;
}

class Cleaning : public testing::TestWithParam<Policy> {};
INSTANTIATE_TEST_SUITE_P(Policies, Cleaning, testing::Values(Policy::kRpc, Policy::kTailwind),
                         [](const auto& param) { return std::string(name(param.param)); });

TEST_P(Cleaning, UniformOverwritesOfANearlyFullLogGoOnToTheEnd) {
  // Given logs of which live objects take nine tenths, and writes of several times the memory. Expect a run that comes
  // to its end, every read right, and the use of memory that was asked for.
  ClusterOptions cluster;
  cluster.servers = 4;
  cluster.clients = 2;
  cluster.replication.policy = GetParam();
  cluster.replication.factor = 2;
  cluster.log.segment_bytes = 32 * kKiB;
  cluster.log.memory_bytes = 128 * cluster.log.segment_bytes;
  cluster.workload.value_bytes = 1000;
  cluster.workload.updates = 900;
  cluster.workload.reads = 100;
  cluster.workload.distribution = Distribution::kUniform;
  cluster.workload.records = cluster.servers * cluster.log.memory_bytes * 9 / 10 / (cluster.workload.value_bytes + 58);
  cluster.warmup_ns = kMillisecond;
  cluster.duration_ns = 120 * kMillisecond;
  SimOptions options;
  options.limit_ns = 20 * kSecond;
  const RunResult result = run_cluster(cluster, plain_hardware(), options);
  ASSERT_EQ(result.trouble, "");
  const std::vector<Metric> metrics = summarize(cluster, result.reports);
  EXPECT_EQ(metric(metrics, "wrong_reads"), 0);
  EXPECT_EQ(metric(metrics, "failed_ops"), 0);
  EXPECT_NEAR(metric(metrics, "log_utilization_ratio"), 0.9, 0.01);
  const auto memory = static_cast<double>(cluster.servers * cluster.log.memory_bytes);
  EXPECT_GT(metric(metrics, "writes") * 1058, 2.5 * memory);
  EXPECT_GT(metric(metrics, "cleaner_copied_bytes_per_op"), 1000);
}

ClusterOptions checked_cluster(Policy policy, std::uint64_t seed) {
  ClusterOptions o;
  o.seed = seed;
  o.checked = true;
  o.servers = 5;
  o.clients = 3;
  o.replication.policy = policy;
  o.replication.factor = 2;
  o.replication.answer_timeout_ns = 5 * kMillisecond;
  o.log.segment_bytes = 8 * kKiB;
  o.log.memory_bytes = 18 * o.log.segment_bytes;
  o.log.disk_expansion = seed % 2 == 0 ? 150 : 100;
  o.workload.records = 200;
  o.workload.key_bytes = 20;
  o.workload.value_bytes = 300;
  o.workload.reads = 100;
  o.workload.outstanding = 16;
  o.warmup_ns = 0;
  o.duration_ns = 80 * kMillisecond;
  o.rpc_timeout_ns = 8 * kMillisecond;
  MembershipOptions& m = o.membership;
  m.recoverable = true;
  m.probe_interval_ns = kMillisecond;
  m.probe_timeout_ns = 500 * kMicrosecond;
  m.lease_ns = 2 * kMillisecond;
  m.client_lease_ns = 20 * kMillisecond;
  m.recovery_patience_ns = 300 * kMillisecond;
  m.partition_bytes = 128 * kKiB;
  return o;
}

TEST_P(Cleaning, NothingIsLostWhenAServerDiesInTheMidstOfIt) {
  for (std::uint64_t seed = 0; seed < 15; ++seed) {
    // Given small logs under load, and a server that dies when its cleaner is in one of its phases; now and then it
    // comes back, with its replicas or without. Expect that every acknowledged operation stands, once.
    const ClusterOptions o = checked_cluster(GetParam(), seed);
    SimOptions options;
    options.keep_stored_bytes = true;
    options.limit_ns = 2 * kSecond;
    World world(plain_hardware(), options, seed);
    for (std::uint16_t i = 0; i < node_count(o); ++i) {
      world.add(kind_of(o, NodeId{i}));
      world.place(NodeId{i}, [&o](NodeId id, Fabric& fabric, const Storage& storage) {
        return make_node(o, id, fabric, storage);
      });
    }
    const NodeId victim{static_cast<std::uint16_t>(1 + seed % o.servers)};
    const auto phase = static_cast<Cleaner::Phase>(seed % 5);
    const auto cleaner = [&]() -> const Cleaner& {
      return dynamic_cast<const ServerNode&>(world.node(victim)).master().cleaner();
    };
    SCOPED_TRACE(testing::Message() << "seed " << seed << " dies in phase " << static_cast<int>(phase));
    const Ending first = world.run([&] {
      return cleaner().phase() == phase && cleaner().compactions() >= 1 &&
             (phase != Cleaner::Phase::kIdle || cleaner().needs_turn());
    });
    ASSERT_EQ(first, Ending::kStopped) << world.trouble() << cleaner().describe();
    world.crash(victim, {.keeps_memory = seed % 4 != 3, .salt = seed});
    if (seed % 3 != 0) world.at(world.now_ps() + 4 * kMillisecond * kPsPerNs, [&] { world.restart(victim); });
    const Ending ending = world.run();
    ASSERT_EQ(ending, Ending::kDone) << world.trouble();
    std::vector<NodeRecord> records;
    std::uint64_t cleanings = 0;
    for (std::uint16_t i = 0; i < node_count(o); ++i) {
      if (!world.alive(NodeId{i})) continue;
      records.push_back(record_of(world.node(NodeId{i})));
      const auto* const server = dynamic_cast<const ServerNode*>(&world.node(NodeId{i}));
      if (server != nullptr) cleanings += server->master().cleaner().cleanings();
    }
    const Judgement judgement = judge(records);
    EXPECT_EQ(describe(judgement.findings), "");
    EXPECT_GE(judgement.deaths, 1u);
    EXPECT_GT(judgement.history.size(), 500u);
    EXPECT_GT(cleanings, 5u);
  }
}

}  // namespace
}  // namespace slipstream::sim
