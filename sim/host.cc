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
      outbox_(costs) {}

void Host::step(std::span<const Event> events, CheckContext& context) {
  context.now_ns = queue_.now() / kPsPerNs;
  context.node = node_.get();
  ++use.turns;
  node_->step(context.now_ns, events, outbox_);
  for (const Mark mark : outbox_.marks()) (mark == Mark::kWindowStart ? start_ : end_) = now();
}

void Host::finish(TimePs storage_time) {
  if (!outbox_.storage_ops().empty()) storage_.post_at(outbox_.storage_ops(), storage_time);
  outbox_.clear();
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

Host::Snapshot Host::now() const { return {queue_.now(), outbox_.ledger(), use, network_.bytes_sent(id())}; }

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
