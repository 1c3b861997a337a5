// The event queue alone, in the hold model: take the next event, put one a random time later. Goals: 15 M events/s with
// 1 k pending, 3.5 M with 100 k.
#include <benchmark/benchmark.h>

#include "core/base/rng.h"
#include "sim/event_queue.h"

namespace slipstream::sim {
namespace {

void hold(benchmark::State& state) {
  Rng rng(1, "event_queue_bench");
  EventQueue queue;
  constexpr std::uint64_t kSpread = 1 << 20;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    queue.push(static_cast<std::int64_t>(rng.next() % kSpread), 0, static_cast<std::uint32_t>(i));
  }
  for (auto _ : state) {
    const QueuedEvent event = queue.pop();
    queue.push(event.time + static_cast<std::int64_t>(rng.next() % kSpread), 0, event.what);
  }
  state.SetItemsProcessed(state.iterations());
  state.SetLabel(state.range(0) <= 1000 ? "goal 15 M/s" : state.range(0) <= 100'000 ? "goal 3.5 M/s" : "no goal");
}
BENCHMARK(hold)->Arg(100)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace slipstream::sim
