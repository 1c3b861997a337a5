// The lives of a world's machines: deaths, restarts, and cores that stand still or are slow.
#include "core/base/rng.h"
#include "sim/world.h"

namespace slipstream::sim {

namespace {

// A machine whose cores take `factor` times as long.
HardwareProfile slowed(const HardwareProfile& hardware, std::uint32_t factor) {
  HardwareProfile slow = hardware;
  for (const HardwareField& field : hardware_fields()) {
    if (field.section != "cpu") continue;
    std::int64_t& value = slow.*field.member;
    if (field.unit == Unit::kTime) value *= factor;
    if (field.unit == Unit::kRate) value = std::max<std::int64_t>(value / factor, field.least);
  }
  return slow;
}

}  // namespace

// The events of a machine's cores; what its NIC and its medium do goes on.
std::vector<QueuedEvent> World::take_core_events(NodeId id) {
  return queue_.take_out([this, id](const QueuedEvent& event) {
    switch (static_cast<Happening>(event.kind)) {
      case Happening::kAlarm:
      case Happening::kTurn:
      case Happening::kServed:
      case Happening::kWorkers:
      case Happening::kRetired: return event.what == index(id);
      case Happening::kOpsReady: return network_.sender(event.what) == id;
      default: return false;
    }
  });
}

void World::crash(NodeId id, const Crash& how) {
  Machine& at = machine(id);
  if (!at.host.alive()) return;
  if (on_death_) on_death_(id, at.host.node());
  std::vector<QueuedEvent> under_way = take_core_events(id);
  under_way.insert(under_way.end(), at.held.begin(), at.held.end());
  for (const QueuedEvent& event : under_way) {
    if (static_cast<Happening>(event.kind) != Happening::kOpsReady) continue;
    for (TransferId op = event.what; op != kNone;) {
      const TransferId next = network_.next(op);
      network_.discard(op);
      op = next;
    }
  }
  at.held.clear();
  at.pauses = 0;
  at.still = true;
  if (at.workers) at.workers->end_life();
  network_.kill(id);
  if (context_.node == &at.host.node()) context_.node = nullptr;
  queue_.take_out([id](const QueuedEvent& event) {
    return static_cast<Happening>(event.kind) == Happening::kStorageDone && event.what == index(id);
  });
  Rng draws(how.salt, "crash", index(id));
  at.host.end_life(how.keeps_memory, how.keeps_storage, draws);
  at.host.tell(TraceKind::kDied);
}

void World::restart(NodeId id) {
  if (machine(id).host.alive()) return;
  queue_.push(queue_.now(), static_cast<std::uint32_t>(Happening::kRestart), index(id));
}

void World::begin_life(NodeId id) {
  Machine& at = machine(id);
  if (at.host.alive()) return;
  SLIP_CHECK(at.make != nullptr, "node {} was placed for one life only", index(id));
  network_.revive(id);
  at.host.place(at.make(id, at.host.fabric(), at.host.storage()));
  make_cores(at, at.threaded());
  at.still = false;
  at.host.tell(TraceKind::kRestarted);
  at.loop ? at.loop->turn() : at.workers->start();
}

void World::retire(NodeId id) {
  if (!alive(id) || !node(id).retired()) return;
  crash(id, {});
  if (options_.restart_retired_ns >= kPsNever / kPsPerNs) return;
  const TimePs back = queue_.now() + options_.restart_retired_ns * kPsPerNs;
  queue_.push(back, static_cast<std::uint32_t>(Happening::kRestart), index(id));
}

void World::pause(NodeId id) {
  Machine& at = machine(id);
  if (!at.host.alive() || ++at.pauses > 1) return;
  at.still = true;
  at.paused_at = queue_.now();
  at.held = take_core_events(id);
  at.host.tell(TraceKind::kPaused);
}

void World::resume(NodeId id) {
  Machine& at = machine(id);
  if (at.pauses == 0 || --at.pauses > 0) return;
  const TimePs now = queue_.now();
  const TimePs by = now - at.paused_at;
  at.still = false;
  at.host.tell(TraceKind::kResumed);
  at.loop ? at.loop->stood_still(by) : at.workers->stood_still(by);
  for (const QueuedEvent& event : at.held) {
    // A deadline is a time of the clock, which did not stand still.
    const bool alarm = static_cast<Happening>(event.kind) == Happening::kAlarm;
    const TimePs time = alarm ? std::max(event.time, now) : event.time + by;
    queue_.push(time, event.kind, event.what);
    if (static_cast<Happening>(event.kind) != Happening::kOpsReady) continue;
    for (TransferId op = event.what; op != kNone; op = network_.next(op)) {
      network_.last_ready(op) = std::max(network_.last_ready(op), time);
    }
  }
  at.held.clear();
  queue_.push(now, static_cast<std::uint32_t>(Happening::kTold), index(id));
}

CostTable World::costs(const Machine& machine) const {
  return machine.threaded() ? DispatchWorkers::compute_costs(hardware(machine)) : hardware(machine).costs();
}

void World::slow(NodeId id, std::uint32_t factor) {
  Machine& at = machine(id);
  at.slowed.reset();
  if (factor > 1) at.slowed = slowed(hardware_, factor);
  at.loop ? at.loop->set_hardware(hardware(at)) : at.workers->set_hardware(hardware(at));
  at.host.set_costs(costs(at));
}

void World::set_interference(Interference* interference) {
  network_.set_interference(interference);
  for (Machine& each : machines_) each.host.storage().set_interference(interference);
}

void World::observe(Observer* observer) {
  observer_ = observer;
  network_.observe(observer);
  for (Machine& each : machines_) each.host.observe(observer);
}

void World::at(TimePs time, std::function<void()> call) {
  calls_.push_back(std::move(call));
  queue_.push(std::max(time, queue_.now()), static_cast<std::uint32_t>(Happening::kCall),
              static_cast<std::uint32_t>(calls_.size() - 1));
}

World::Machine* World::carry_out_rare(const QueuedEvent event) {
  const auto kind = static_cast<Happening>(event.kind);
  switch (kind) {
    case Happening::kTold:
    case Happening::kGiveUp:
    case Happening::kRelease:
    case Happening::kSettle: {
      const NodeId told = network_.handle(kind, event.what);
      if (told == kNoNode) return nullptr;
      machine(told).arrived();
      return &machine(told);
    }
    case Happening::kCall: call(event.what); return nullptr;
    case Happening::kStorageDone: {
      Machine& at = machines_[event.what];
      SimStorage& storage = at.host.storage();
      storage.done();
      at.host.tell(TraceKind::kStorage, storage.inbox().back(), storage.last_bytes());
      at.arrived();
      return &at;
    }
    case Happening::kRestart: begin_life(NodeId{static_cast<std::uint16_t>(event.what)}); break;
    case Happening::kRetired: retire(NodeId{static_cast<std::uint16_t>(event.what)}); break;
    default: SLIP_CHECK(false, "event of kind {}", event.kind);
  }
  return &machines_[event.what];
}

void World::call(std::uint32_t call) { std::exchange(calls_[call], nullptr)(); }

}  // namespace slipstream::sim
