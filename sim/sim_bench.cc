// How fast the simulator is: requests per wall second through toy nodes (network and cores alone), and PUTs per wall
// second through whole clusters (core's code included). Goal: 400 k PUTs per second with 4 servers and factor 3.
#include <benchmark/benchmark.h>

#include "sim/cluster_run.h"
#include "sim/test_hardware.h"
#include "sim/toy_nodes.h"
#include "sim/world.h"

namespace slipstream::sim {
namespace {

constexpr std::uint16_t kServers = 4;
constexpr std::uint16_t kClients = 16;

SimOptions options_of(const benchmark::State& state) {
  SimOptions options;
  options.threading = state.range(0) == 0 ? Threading::kRunToCompletion : Threading::kDispatchWorkers;
  return options;
}

// Requests of 160 B; each is first written to `replicas` other servers when there are any.
void toy_requests(benchmark::State& state) {
  const std::uint64_t requests = 20'000;
  std::uint64_t events = 0;
  for (auto _ : state) {
    World world(plain_hardware(), options_of(state), 1);
    for (std::uint16_t i = 0; i < kServers; ++i) {
      AnswerOptions answer;
      answer.write_bytes = 240;
      for (std::int64_t r = 1; r <= state.range(1); ++r) {
        answer.replicas.push_back(NodeId{static_cast<std::uint16_t>((i + r) % kServers)});
      }
      Fabric& fabric = world.add(NodeKind::kServer);
      world.place(NodeId{i}, std::make_unique<Answerer>(answer, fabric));
    }
    for (std::uint16_t i = 0; i < kClients; ++i) {
      world.add(NodeKind::kClient);
      const AskOptions ask{NodeId{static_cast<std::uint16_t>(i % kServers)}, 8, requests, 160};
      world.place(NodeId{static_cast<std::uint16_t>(kServers + i)}, std::make_unique<Asker>(ask));
    }
    world.run();
    events += world.events();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * requests * kClients));
  state.counters["events_per_item"] =
      static_cast<double>(events) / static_cast<double>(state.iterations() * requests * kClients);
  state.SetLabel(std::string(name(options_of(state).threading)));
}
BENCHMARK(toy_requests)->ArgsProduct({{0, 1}, {0, 3}})->Unit(benchmark::kMillisecond);

// PUTs through whole clusters: 4 servers, factor 3, 30 B keys, 100 B values; loading and warm-up count too.
void puts(benchmark::State& state) {
  ClusterOptions cluster;
  cluster.clients = kClients;
  cluster.replication.policy = state.range(1) == 0 ? Policy::kRpc : Policy::kTailwind;
  cluster.workload.distribution = Distribution::kUniform;
  cluster.workload.records = 10'000;
  cluster.workload.outstanding = 8;
  cluster.warmup_ns = 1 * kMillisecond;
  cluster.duration_ns = 100 * kMillisecond;
  std::uint64_t puts_done = 0;
  std::uint64_t events = 0;
  for (auto _ : state) {
    const RunResult result = run_cluster(cluster, plain_hardware(), options_of(state));
    if (!result.trouble.empty()) state.SkipWithError(result.trouble.c_str());
    puts_done += cluster.workload.records;
    for (const NodeReport& report : result.reports) puts_done += report.client.completed;
    events += result.timing.events;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(puts_done));
  state.counters["events_per_item"] = static_cast<double>(events) / static_cast<double>(puts_done);
  state.SetLabel(std::string(name(cluster.replication.policy)) + ", " + std::string(name(options_of(state).threading)) +
                 ", goal 400 k/s");
}
BENCHMARK(puts)->ArgsProduct({{0, 1}, {0, 1}})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace slipstream::sim
