#include "sim/host.h"

#include <algorithm>

namespace slipstream::sim {

CoreUse& CoreUse::operator-=(const CoreUse& other) {
  dispatch -= other.dispatch;
  workers -= other.workers;
  waiting -= other.waiting;
  turns -= other.turns;
  queued -= other.queued;
  return *this;
}

Host::Host(Network& network, EventQueue& queue, const HardwareProfile& hardware, NodeKind kind, const CostTable& costs,
           bool keeps_stored)
    : network_(network),
      queue_(queue),
      kind_(kind),
      fabric_(network, queue),
      medium_{keeps_stored, {}},
      storage_(queue, medium_, hardware, index(fabric_.node())),
      costs_(costs),
      outbox_(std::in_place, costs) {}

void Host::renew_outbox(const CostTable& costs) {
  earlier_ += outbox_->ledger();
  costs_ = costs;
  outbox_.emplace(costs, nullptr, rare_ ? &*rare_ : nullptr);
}

void Host::draw_rare_choices(std::uint64_t seed, std::uint32_t one_in) {
  rare_.emplace(seed, index(id()), one_in);
  renew_outbox(costs_);
}

void Host::set_costs(const CostTable& costs) {
  const Role role = outbox_->role();
  renew_outbox(costs);
  outbox_->enter(role);
}

void Host::end_life(bool keeps_memory, bool keeps_storage, Rng& draws) {
  storage_.crash(draws);  // what is under way lies in the node's memory
  node_.reset();
  renew_outbox(costs_);
  alarm_ = kPsNever;
  if (!keeps_storage) medium_.frames.clear();
  fabric_.end_life(keeps_memory);
}

void Host::step(std::span<const Event> events, CheckContext& context) {
  context.now_ns = queue_.now() / kPsPerNs;
  context.node = node_.get();
  ++use.turns;
  node_->step(context.now_ns, events, *outbox_);
  for (const Mark mark : outbox_->marks()) (mark == Mark::kWindowStart ? start_ : end_) = now();
  if (node_->retired()) [[unlikely]]
    queue_.push(queue_.now(), static_cast<std::uint32_t>(Happening::kRetired), index(id()));
}

void Host::tell(TraceKind kind, const Event& event, std::uint64_t bytes) const {
  if (observer_ == nullptr) return;
  TraceEvent told;
  told.kind = kind;
  told.time = told.now = queue_.now();
  told.node = id();
  told.event = event;
  told.bytes = bytes;
  observer_->saw(told);
}

void Host::tell_turn(std::uint32_t core, TimePs start, TimePs lasts, std::size_t events) const {
  TraceEvent told;
  told.now = queue_.now();
  told.time = start;
  told.lasts = lasts;
  told.node = id();
  told.core = core;
  told.events = static_cast<std::uint32_t>(events);
  observer_->saw(told);
}

void Host::finish(TimePs storage_time) {
  if (!outbox_->storage_ops().empty()) storage_.post_at(outbox_->storage_ops(), storage_time);
  outbox_->clear();
}

TimePs Host::deadline() const {
  const TimeNs at = node_->deadline();
  return at >= kPsNever / kPsPerNs ? kPsNever : std::max<TimeNs>(at, 0) * kPsPerNs;
}

void Host::arm(TimePs time) {
  if (time >= alarm_) return;
  alarm_ = time;
  queue_.push(time, static_cast<std::uint32_t>(Happening::kAlarm), index(id()));
}

Host::Snapshot Host::now() const {
  Snapshot now{queue_.now(), outbox_->ledger(), use, network_.bytes_sent(id())};
  now.ledger += earlier_;
  return now;
}

Host::Snapshot Host::start() const {
  if (start_.time >= 0) return start_;
  Snapshot beginning;
  beginning.time = 0;
  return beginning;
}

Host::Snapshot Host::end() const { return end_.time >= 0 && end_.time >= start_.time ? end_ : now(); }

NodeReport Host::report(const CostTable& prices) const {
  const Snapshot first = start();
  const Snapshot last = end();
  NodeReport report;
  report.node = id();
  report.kind = kind_;
  report.ledger = last.ledger;
  report.ledger -= first.ledger;
  for (std::size_t role = 0; role < kRoles; ++role) {
    std::uint64_t ps = 0;
    for (std::size_t work = 0; work < kWorkKinds; ++work) {
      ps += report.ledger.counts[role][work] * static_cast<std::uint64_t>(prices[work]);
    }
    report.cpu_ns[role] = ps / kPsPerNs;
  }
  report.network_bytes = last.bytes_sent - first.bytes_sent;
  report.window_ns = window_ns();
  return report;
}

CoreUse Host::window_use() const {
  CoreUse used = end().use;
  used -= start().use;
  return used;
}

TimeNs Host::window_ns() const { return (end().time - start().time) / kPsPerNs; }

}  // namespace slipstream::sim
