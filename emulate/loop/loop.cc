#include "emulate/loop/loop.h"

#include <sched.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

namespace slipstream::emulate {
namespace {

// A sleep takes the system tens of microseconds; a nearer deadline is waited for by yielding.
constexpr TimeNs kShortestSleep = 100 * kMicrosecond;
// A yield that comes back later than this gave the core to somebody who computes, for a slice of the scheduler's; for
// so long after it the loop sleeps where it would yield: who wakes up is let in before who has had his slice.
constexpr TimeNs kLateYield = kMillisecond;
constexpr TimeNs kSharedFor = 20 * kMillisecond;
// Events of the storage always find room behind those of the fabric.
constexpr std::size_t kStorageEvents = 16;

void pause_core() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// What two readings next to each other differ by: a sampled wait is that much too long.
TimeNs thread_cpu_reading_ns() {
  constexpr int kTries = 8;
  TimeNs least = kNever;
  for (int i = 0; i < kTries; ++i) {
    const TimeNs before = thread_cpu_ns();
    least = std::min(least, thread_cpu_ns() - before);
  }
  return least;
}

std::string describe_node(const void* node) { return static_cast<const Node*>(node)->describe(); }

}  // namespace

IdleOptions idle_for(std::uint32_t pollers, std::uint32_t cores) {
  IdleOptions idle;
  if (pollers > cores) {
    idle.spin_ns = 0;
    idle.shared_spin_ns = 0;
    idle.yield_ns = 50 * kMicrosecond;
  }
  return idle;
}

struct Loop::Place {
  explicit Place(const Seat& s) : seat(s), outbox(CostTable{}, &meter) {}

  Seat seat;
  CpuMeter meter;
  Outbox outbox;
  CheckContext context;
  TimeNs deadline = kNever;
  TimeNs busy_until_ns = 0;  // by slowness
  bool is_dead = false;
  std::optional<Snapshot> window_start;
  std::optional<Snapshot> window_end;
};

Loop::Loop(const Clock& clock, const IdleOptions& idle, std::uint64_t seed, std::atomic<bool>& stop)
    : clock_(clock), idle_(idle), seed_(seed), stop_(stop), events_(kEventsPerTurn) {}

Loop::~Loop() = default;

void Loop::seat(const Seat& seat) {
  SLIP_CHECK(seat.node != nullptr && seat.fabric != nullptr);
  places_.push_back(std::make_unique<Place>(seat));
  places_.back()->context = {seed_, 0, seat.node, describe_node};
  sources_.push_back(seat.fabric);
  if (seat.storage_wake != nullptr) sources_.push_back(seat.storage_wake);
  next_death_ns_ = std::min(next_death_ns_, seat.dies_ns);
}

void Loop::take_the_dead(TimeNs now) {
  next_death_ns_ = kNever;
  for (const auto& place : places_) {
    if (place->is_dead) continue;
    const Seat& seat = place->seat;
    if (seat.dies_ns > now) {
      next_death_ns_ = std::min(next_death_ns_, seat.dies_ns);
      continue;
    }
    place->is_dead = true;
    place->deadline = kNever;
    place->window_start.reset();
    std::erase(sources_, seat.fabric);
    std::erase(sources_, seat.storage_wake);
    if (seat.on_death) seat.on_death();
  }
}

Snapshot Loop::snapshot(const Place& place, Ticks now) const {
  Snapshot s;
  s.now_ns = now_ns_;
  s.ledger = place.outbox.ledger();
  s.cpu = place.meter.spent();
  s.network_bytes = place.seat.fabric->network_bytes();
  s.loop_at = now;
  s.loop_waited = waited_;
  s.loop_waited_cpu_ns = yields_.cpu_ns() + sleeps_.cpu_ns();
  s.loop_cpu_ns = thread_cpu_ns();
  return s;
}

// What follows from a turn besides its ops.
void Loop::settle(Place& place, Ticks now) {
  for (const Mark mark : place.outbox.marks()) {
    (mark == Mark::kWindowStart ? place.window_start : place.window_end) = snapshot(place, now);
  }
  place.outbox.clear();
  place.deadline = place.seat.node->deadline();
}

bool Loop::turn(Place& place) {
  const Seat& seat = place.seat;
  const Ticks start = ticks();
  if (place.busy_until_ns != 0 && clock_.at(start) < place.busy_until_ns) return false;
  const std::span<Event> room(events_);
  std::size_t count = seat.fabric->poll(room.first(room.size() - kStorageEvents));
  if (seat.storage != nullptr) count += seat.storage->poll(room.subspan(count));
  if (count == 0 && clock_.at(start) < place.deadline) return false;

  const Ticks polled = ticks();
  now_ns_ = std::max(now_ns_, clock_.at(polled));
  place.context.now_ns = now_ns_;
  CheckContext::current = &place.context;
  place.meter.start_step(polled);
  seat.node->step(now_ns_, room.first(count), place.outbox);
  const Ticks stepped = ticks();
  place.meter.end_step(stepped);
  if (!place.outbox.ops().empty()) seat.fabric->post(place.outbox.ops());
  if (!place.outbox.storage_ops().empty()) {
    SLIP_CHECK(seat.storage != nullptr, "a node without storage stores");
    seat.storage->post(place.outbox.storage_ops());
  }
  const Ticks posted = ticks();
  place.meter.add_fabric((count == 0 ? 0 : polled - start) + (posted - stepped));
  if (seat.observer != nullptr) {
    seat.observer->saw({now_ns_, clock_.at(stepped), clock_.at(posted), room.first(count), place.outbox.ops()});
  }
  if (!seat.slow.empty()) slow_down(place, clock_.at(posted));
  settle(place, posted);
  CheckContext::current = nullptr;
  return true;
}

void Loop::slow_down(Place& place, TimeNs now) {
  std::uint32_t factor = 1;
  for (const Slowness& slow : place.seat.slow) {
    if (slow.at_ns <= now && now < slow.until_ns) factor = std::max(factor, slow.factor);
  }
  place.busy_until_ns = factor == 1 ? 0 : now + (factor - 1) * (now - now_ns_);
}

bool Loop::is_over(Place& place) {
  std::string trouble = place.seat.node->trouble();
  if (!trouble.empty()) {
    end_ = {LoopEnd::Why::kTrouble, place.seat.id, std::move(trouble)};
    return true;
  }
  if (place.seat.ends_run && place.seat.node->done()) {
    end_ = {LoopEnd::Why::kDone, place.seat.id, {}};
    return true;
  }
  if (place.seat.ends_retired && place.seat.node->retired()) {
    end_ = {LoopEnd::Why::kRetired, place.seat.id, {}};
    return true;
  }
  return false;
}

template <typename Wait>
Ticks Loop::measured(WaitMeter& meter, Wait&& wait) {
  const bool sampled = meter.is_sampled();
  const TimeNs cpu_before = sampled ? thread_cpu_ns() : 0;
  const Ticks before = ticks();
  wait();
  const Ticks after = ticks();
  waited_ += after - before;
  if (sampled) meter.add_sample(std::max<TimeNs>(0, thread_cpu_ns() - cpu_before - reading_ns_));
  return after;
}

void Loop::wait(Ticks idle_since) {
  const TimeNs now = clock_.now();
  const TimeNs idle_ns = now - clock_.at(idle_since);
  const bool shared = now < shared_until_ns_;
  const TimeNs spin_ns = shared ? idle_.shared_spin_ns : idle_.spin_ns;
  if (idle_ns < spin_ns) {
    pause_core();
    return;
  }
  TimeNs deadline = next_death_ns_;
  TimeNs busy_until = 0;
  for (const auto& place : places_) {
    deadline = std::min(deadline, std::max(place->deadline, place->busy_until_ns));
    busy_until = std::max(busy_until, place->busy_until_ns);
  }
  // What has arrived for a node that is kept busy must not wake it.
  if (busy_until > now) {
    const TimeNs rest = std::min(busy_until - now, idle_.longest_sleep_ns);
    if (places_.size() == 1 && rest >= kShortestSleep) {
      const timespec pause{0, rest};
      measured(sleeps_, [&] { nanosleep(&pause, nullptr); });
    } else {
      measured(yields_, [] { sched_yield(); });
    }
    return;
  }
  const TimeNs left = deadline == kNever ? kNever : deadline - now;
  if (left < kShortestSleep || (!shared && idle_ns < spin_ns + idle_.yield_ns)) {
    const TimeNs back = clock_.at(measured(yields_, [] { sched_yield(); }));
    if (back - now > kLateYield) shared_until_ns_ = back + kSharedFor;
    return;
  }
  measured(sleeps_, [&] { sleep_until_any(sources_, std::min(left, idle_.longest_sleep_ns)); });
}

LoopEnd Loop::run(TimeNs time_limit_ns) {
  end_ = {};
  reading_ns_ = thread_cpu_reading_ns();
  for (const auto& place : places_) place->deadline = place->seat.node->deadline();
  Ticks idle_since = ticks();
  try {
    while (!stop_.load(std::memory_order_acquire) && end_.why == LoopEnd::Why::kStopped) {
      bool busy = false;
      if (next_death_ns_ != kNever && clock_.now() >= next_death_ns_) take_the_dead(clock_.now());
      for (const auto& place : places_) {
        if (place->is_dead || !turn(*place)) continue;
        busy = true;
        if (is_over(*place)) break;
      }
      if (busy) {
        idle_since = ticks();
      } else {
        wait(idle_since);
      }
      if (now_ns_ > time_limit_ns || (!busy && clock_.now() > time_limit_ns)) end_.why = LoopEnd::Why::kTimeLimit;
    }
  } catch (const std::exception& e) {
    end_ = {LoopEnd::Why::kTrouble, kNoNode, e.what()};
  }
  if (end_.why != LoopEnd::Why::kRetired) stop_.store(true, std::memory_order_release);
  CheckContext::current = nullptr;
  const Ticks now = ticks();
  now_ns_ = std::max(now_ns_, clock_.at(now));
  for (const auto& place : places_) {
    if (place->window_start && !place->window_end) place->window_end = snapshot(*place, now);
  }
  return end_;
}

Usage Loop::usage(std::size_t i) const {
  const Place& place = *places_.at(i);
  if (!place.window_start || !place.window_end) return {};
  return between(*place.window_start, *place.window_end, clock_.ns_per_tick());
}

}  // namespace slipstream::emulate
