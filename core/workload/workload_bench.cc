// What drawing an operation and making its key and value cost a client.
#include <array>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/workload/workload.h"

namespace slipstream {
namespace {

void next_operation(benchmark::State& state, const char* workload, Distribution distribution) {
  WorkloadOptions options;
  apply_workload_name(workload, options);
  options.distribution = distribution;
  OperationSource source(options, 1, 0, 1);
  for (auto _ : state) benchmark::DoNotOptimize(source.next());
}
BENCHMARK_CAPTURE(next_operation, a_zipfian, "ycsb-a", Distribution::kZipfian);
BENCHMARK_CAPTURE(next_operation, a_uniform, "ycsb-a", Distribution::kUniform);
BENCHMARK_CAPTURE(next_operation, d_latest, "ycsb-d", Distribution::kLatest);
BENCHMARK_CAPTURE(next_operation, write_only_zipfian, "write-only", Distribution::kZipfian);

void next_arrival(benchmark::State& state) {
  WorkloadOptions options;
  options.arrivals = Arrivals::kPoisson;
  options.rate_ops_per_s = 1e6;
  ArrivalSource source(options, 1, 0, 1);
  source.start(0);
  for (auto _ : state) {
    benchmark::DoNotOptimize(source.next());
    source.take();
  }
}
BENCHMARK(next_arrival);

void write_a_key(benchmark::State& state) {
  std::vector<std::byte> key(static_cast<std::size_t>(state.range(0)));
  std::uint64_t number = 0;
  for (auto _ : state) {
    write_key(number++ & 0xfffff, key);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(write_a_key)->Arg(16)->Arg(30);

void write_a_value(benchmark::State& state) {
  std::vector<std::byte> value(static_cast<std::size_t>(state.range(0)));
  std::uint64_t version = 0;
  for (auto _ : state) {
    write_value(7, version++, value);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(write_a_value)->Arg(100)->Arg(1024)->Arg(65536);

void verify_a_value(benchmark::State& state) {
  std::vector<std::byte> value(static_cast<std::size_t>(state.range(0)));
  write_value(7, 3, value);
  for (auto _ : state) {
    benchmark::DoNotOptimize(value.data());
    benchmark::DoNotOptimize(is_value_of(7, value));
  }
}
BENCHMARK(verify_a_value)->Arg(100)->Arg(1024)->Arg(65536);

}  // namespace
}  // namespace slipstream
