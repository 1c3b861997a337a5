// What travels to agents, and a real cluster of them: this very program, started once more, is the agent (see main).
#include "experiments/cli/agent_job.h"

#include <gtest/gtest.h>

#include "experiments/cli/fields.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/spec.h"

namespace slipstream::cli {
namespace {

void expect_alike(const Experiment& a, const Experiment& b) {
  for (const Field& field : fields()) EXPECT_EQ(field.get(a), field.get(b)) << field.path;
}

TEST(AgentJob, HoldsEveryOptionOfEveryPoint) {
  const auto folder = repository_root() / "experiments" / "specs";
  for (const std::string& name : json_names(folder)) {
    for (Point& point : points_of(read_spec(folder / (name + ".json"), {}))) {
      point.experiment.cluster.seed += 3;
      expect_alike(point.experiment, experiment_of_job(job_text(point.experiment)));
    }
  }
}

TEST(AgentJob, HoldsWhatIsNotTheDefault) {
  // given an experiment in which every number, switch and choice that can differ from its default does
  Experiment experiment;
  std::size_t changed = 0;
  for (const Field& field : fields()) {
    const Json before = field.get(experiment);
    for (const Json& other : {Json(true), Json(false), Json(field.low + 1), Json("somewhere")}) {
      if (!check_value(field, other).problem.empty() || other == before) continue;
      field.set(experiment, check_value(field, other).value);
      break;
    }
    for (const std::string& other : field.choices) {
      if (check_value(field, other).problem.empty() && Json(other) != before) field.set(experiment, Json(other));
    }
    for (const char* quantity : {"4093 B", "1234567 ns", "333.25 ops/s"}) {
      if (check_value(field, quantity).problem.empty()) field.set(experiment, check_value(field, quantity).value);
    }
    const Json inventory = Json::parse(R"([{"address": "10.0.0.7", "ssh": "ada@node7", "cores": [1, 0]}])");
    if (check_value(field, inventory).problem.empty()) field.set(experiment, inventory);
    if (field.get(experiment) != before) ++changed;
  }
  EXPECT_GT(changed, fields().size() / 2);
  expect_alike(experiment, experiment_of_job(job_text(experiment)));
}

TEST(AgentJob, IsRefusedWhenItIsNone) {
  EXPECT_ANY_THROW(experiment_of_job(""));
  EXPECT_ANY_THROW(experiment_of_job("[]"));
  EXPECT_ANY_THROW(experiment_of_job("{}"));
}

TEST(AgentCluster, RunsItsPointWithANodeInEachAgent) {
  for (const Policy policy : {Policy::kRpc, Policy::kTailwind}) {
    Experiment experiment;
    ClusterOptions& cluster = experiment.cluster;
    cluster.replication.policy = policy;
    cluster.log.segment_bytes = 256 * kKiB;
    cluster.log.memory_bytes = 64 * kMiB;
    cluster.workload.records = 1000;
    cluster.workload.reads = 500;
    cluster.workload.updates = 500;
    cluster.warmup_ns = 20 * kMillisecond;
    cluster.duration_ns = 100 * kMillisecond;
    experiment.emulate.fabric = emulate::FabricKind::kTcp;
    experiment.emulate.job = job_text(experiment);
    emulate::Place here;
    here.address = "127.0.0.1";
    const std::vector<emulate::Place> places(node_count(cluster), here);
    const emulate::RunResult result = emulate::run_agents(emulate::plan_of(cluster), experiment.emulate, places);
    ASSERT_EQ(result.trouble, "");
    // expect operations, all of them right, and the backups' part as the policy has it
    const ClientStats& client = result.reports.back().client;
    EXPECT_GT(client.completed, 0u);
    EXPECT_EQ(client.failed + client.wrong, 0u);
    Ledger all;
    for (const NodeReport& report : result.reports) all += report.ledger;
    EXPECT_EQ(all.get(Role::kBackup, Work::kMessageIn) > 0, policy == Policy::kRpc);
    EXPECT_EQ(all.get(Role::kPrimary, Work::kPostWrite) > 0, policy == Policy::kTailwind);
  }
}

}  // namespace
}  // namespace slipstream::cli

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "agent") return slipstream::emulate::run_agent(slipstream::cli::agent_job);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
