// Operations that the checkers judge per second.
#include <span>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/check/durability.h"
#include "core/check/exactly_once.h"
#include "core/check/linearizability.h"
#include "core/check/register_search.h"
#include "core/check/story.h"

namespace slipstream {
namespace {

std::vector<HistoryOperation> make(std::size_t operations, std::uint64_t keys, std::uint32_t unknown_per_mille,
                                   bool counters) {
  story::RandomHistoryOptions options;
  options.operations = operations;
  options.keys = keys;
  options.clients = 8;
  options.outstanding = 8;
  options.unknown_per_mille = unknown_per_mille;
  options.counters = counters;
  return merge(story::random_history(options));
}

void judge(benchmark::State& state, std::vector<HistoryOperation> operations, std::size_t findings) {
  std::uint64_t steps = 0;
  for (auto _ : state) {
    const LinearizabilityResult result = check_linearizability(operations);
    if (result.findings.size() != findings) state.SkipWithError("another verdict");
    steps = result.steps;
  }
  state.counters["operations_per_s"] =
      benchmark::Counter(static_cast<double>(operations.size()), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["steps_per_operation"] = static_cast<double>(steps) / static_cast<double>(operations.size());
}

// 64 operations at a time. unknown: per mille of the mutations.
void linearizable(benchmark::State& state, std::size_t operations, std::uint64_t keys, std::uint32_t unknown,
                  bool counters) {
  judge(state, make(operations, keys, unknown, counters), 0);
}
BENCHMARK_CAPTURE(linearizable, hot_key, 100'000, 1, 0, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearizable, hot_key_unknown_1_percent, 100'000, 1, 10, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearizable, hot_counter, 100'000, 1, 0, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearizable, hot_counter_unknown_1_percent, 100'000, 1, 10, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(linearizable, thousand_keys, 1'000'000, 1000, 1, false)->Unit(benchmark::kMillisecond);

// A stale read at the end.
std::vector<HistoryOperation> make_violation(std::uint32_t unknown_per_mille, bool counters) {
  std::vector<HistoryOperation> operations = make(100'000, 1, unknown_per_mille, counters);
  std::size_t last = operations.size() - 1;
  while (operations[last].action != Action::kRead || operations[last].outcome != Outcome::kOk) --last;
  --operations[last].version;
  return operations;
}

void violation(benchmark::State& state, std::uint32_t unknown, bool counters) {
  judge(state, make_violation(unknown, counters), 1);
}
BENCHMARK_CAPTURE(violation, hot_key, 0, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(violation, hot_counter_unknown_1_percent, 10, true)->Unit(benchmark::kMillisecond);

// The same by the search alone: all other orders have to be ruled out, or it gives up.
void violation_by_search(benchmark::State& state, std::uint32_t unknown, bool counters) {
  const std::vector<HistoryOperation> operations = make_violation(unknown, counters);
  std::vector<const HistoryOperation*> pointers;
  for (const HistoryOperation& op : operations) pointers.push_back(&op);
  std::uint64_t steps = 0;
  bool decided = true;
  for (auto _ : state) {
    RegisterSearch search(pointers);
    decided = search.run(LinearizabilityOptions{}.max_steps) == RegisterSearch::Verdict::kViolation;
    steps = search.steps();
  }
  state.counters["decided"] = decided;
  state.counters["steps_per_operation"] = static_cast<double>(steps) / static_cast<double>(operations.size());
}
BENCHMARK_CAPTURE(violation_by_search, hot_key, 0, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(violation_by_search, hot_key_unknown_1_per_mille, 1, false)->Unit(benchmark::kMillisecond);

template <Findings (*Check)(std::span<const HistoryOperation>, std::span<const FinalRead>)>
void judge_finals(benchmark::State& state) {
  const std::vector<HistoryOperation> operations = make(1'000'000, 1000, 1, false);
  std::vector<FinalRead> finals;
  for (std::uint64_t key = 0; key < 1000; ++key) finals.push_back({key, false, 0, {}});
  for (auto _ : state) {
    if (!Check(operations, finals).empty()) state.SkipWithError("another verdict");
  }
  state.counters["operations_per_s"] =
      benchmark::Counter(static_cast<double>(operations.size()), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(judge_finals<check_exactly_once>)->Name("exactly_once/thousand_keys")->Unit(benchmark::kMillisecond);
BENCHMARK(judge_finals<check_durability>)->Name("durability/thousand_keys")->Unit(benchmark::kMillisecond);

void record(benchmark::State& state) {
  History history(0, 1);
  TimeNs now = 0;
  for (auto _ : state) {
    const std::uint32_t op = history.invoke(now, Action::kWrite, 7, 0, stamp_value(1));
    history.complete(op, now + 1, Outcome::kOk, 1);
    now += 2;
    if (op == 1'000'000) history = History(0, 1);
  }
}
BENCHMARK(record);

}  // namespace
}  // namespace slipstream
