// What the loop itself costs: a turn with one event and a node that does nothing, and a round of empty polls.
#include <benchmark/benchmark.h>

#include "emulate/loop/loop.h"

namespace slipstream::emulate {
namespace {

// Brings `left` events, one a poll; then nothing.
class Trickle final : public RealFabric {
 public:
  std::int64_t left = 0;

  Region create_region(std::string_view, std::size_t, Access) override { return {}; }
  void post(std::span<const Op>) override {}
  std::size_t poll(std::span<Event> events) override {
    if (left == 0) return 0;
    --left;
    events[0] = Event{};
    return 1;
  }
  std::uint64_t network_bytes() const override { return 0; }
  int wake_descriptor() const override { return -1; }
  bool arm() override { return false; }
  void disarm() override {}
  TimeNs longest_sleep_ns() const override { return kNever; }
};

// Changes its role twice a turn, as a server does; done after so many turns.
class Idler final : public Node {
 public:
  explicit Idler(std::int64_t turns) : left_(turns) {}
  void step(TimeNs, std::span<const Event>, Outbox& out) override {
    --left_;
    out.enter(Role::kBackup);
    out.enter(Role::kPrimary);
  }
  TimeNs deadline() const override { return kNever; }
  bool done() const override { return left_ == 0; }
  std::string describe() const override { return {}; }
  std::uint64_t state_hash() const override { return 0; }

 private:
  std::int64_t left_;
};

void run(benchmark::State& state, std::int64_t turns, int idle_seats) {
  Clock clock = Clock::calibrated();
  std::vector<Trickle> fabrics(static_cast<std::size_t>(idle_seats) + 1);
  for (auto _ : state) {
    std::atomic<bool> stop{false};
    Loop loop(clock, {}, 1, stop);
    fabrics[0].left = turns;
    Idler worker(turns);
    Idler idler(1);
    for (std::size_t i = 0; i < fabrics.size(); ++i) {
      Seat seat;
      seat.node = i == 0 ? &worker : &idler;
      seat.fabric = &fabrics[i];
      seat.ends_run = i == 0;
      loop.seat(seat);
    }
    loop.run();
  }
  state.SetItemsProcessed(state.iterations() * turns);
}

void BM_Turn(benchmark::State& state) { run(state, 100'000, 0); }
// The same with five nodes beside it whose polls bring nothing.
void BM_TurnAmongIdleNodes(benchmark::State& state) { run(state, 100'000, 5); }

BENCHMARK(BM_Turn);
BENCHMARK(BM_TurnAmongIdleNodes);

}  // namespace
}  // namespace slipstream::emulate
