#include "core/node/client_node.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"

namespace slipstream {
namespace {

constexpr Channel kCoordinatorChannel = 1;
constexpr Channel kFirstServerChannel = 2;
constexpr NodeId kCoordinatorNode{0};
constexpr std::uint64_t kTable = 1;
constexpr std::uint32_t kLoadOperations = 8;
constexpr std::size_t kLoadItems = 32;         // of one multi-write
constexpr std::size_t kLoadBytes = 64 * kKiB;  // values of one multi-write, roughly
constexpr std::uint64_t kLoadCookie = ~std::uint64_t{0};

KvClientOptions client_options(const ClusterOptions& options, NodeId self) {
  KvClientOptions kv;
  kv.client_id = index(self);
  kv.max_operations = std::max(options.workload.outstanding, kLoadOperations);
  kv.timeout_ns = options.rpc_timeout_ns;
  return kv;
}

}  // namespace

ClientNode::ClientNode(const ClusterOptions& options, NodeId self)
    : options_(options),
      self_(self),
      number_(static_cast<std::uint32_t>(index(self) - 1 - options.servers)),
      coordinator_(options.membership, self, kCoordinatorNode, static_cast<std::uint16_t>(NodeKind::kClient),
                   kCoordinatorChannel),
      kv_(client_options(options, self), kFirstServerChannel),
      operations_(options.workload, options.seed, number_, options.clients),
      arrivals_(options.workload, options.seed, number_, options.clients),
      next_load_(number_),
      slots_(options.workload.outstanding),
      scratch_((options.workload.key_bytes + options.workload.value_bytes) * kLoadItems) {
  for (std::uint32_t i = options.workload.outstanding; i > 0; --i) free_slots_.push_back(i - 1);
}

void ClientNode::step(TimeNs now, std::span<const Event> events, Outbox& out) {
  out.enter(Role::kClient);
  if (!events.empty()) out.work(Work::kTurn);
  for (const Event& event : events) {
    switch (event.kind) {
      case EventKind::kMessage: on_message(now, event, out); break;
      case EventKind::kConnected:
        if (coordinator_.owns(event.channel)) coordinator_.on_connected();
        if (kv_.owns(event.channel)) kv_.on_connected(event.channel, now, out);
        break;
      case EventKind::kDown:
        if (coordinator_.owns(event.channel)) coordinator_.on_down(now);
        if (kv_.owns(event.channel)) kv_.on_down(event.channel, now);
        break;
      default: break;
    }
  }
  if (kv_.is_refused() || coordinator_.is_dead()) begin_anew(now);
  kv_.advance(now, out);
  advance(now, out);
  if (kv_.needs_tablets(now)) {
    coordinator_.ask(now, out);
    kv_.asked_for_tablets(now);
  }
  coordinator_.advance(now, out);
}

// Our lease has ended: what was open may have happened or not, and we are somebody else from now on.
void ClientNode::begin_anew(TimeNs now) {
  is_known_ = false;
  while (kv_.take_refused()) on_completed(now);
  kv_.set_client(0);
  coordinator_.begin_anew();
}

void ClientNode::on_message(TimeNs now, const Event& event, Outbox& out) {
  RpcMessage message;
  if (!parse(event.bytes, message)) return;
  if (message.header.opcode == Opcode::kPing && message.header.is_answer == 0) return;
  if (coordinator_.owns(event.channel)) return on_coordinator_answer(now, message, out);
  if (kv_.owns(event.channel) && kv_.on_answer(event.channel, message, now, out)) on_completed(now);
}

void ClientNode::on_coordinator_answer(TimeNs now, const RpcMessage& message, Outbox& out) {
  const bool is_new = coordinator_.on_message(message, out);
  if (is_new || coordinator_.last_answer() == Opcode::kHeartbeat) {
    kv_.set_tablets(coordinator_.view().tablet_map(), now, out);
  }
  if (!is_known_ && coordinator_.client() != 0) {
    is_known_ = true;
    kv_.set_client(coordinator_.client());
    if (phase_ == Phase::kEnlisting) phase_ = Phase::kLoading;
  }
  if (is_new) return;
  if (coordinator_.last_answer() == Opcode::kReady && phase_ == Phase::kWaiting) {
    phase_ = Phase::kWarmup;
    window_start_ns_ = now + options_.warmup_ns;
    window_end_ns_ = window_start_ns_ + options_.duration_ns;
    arrivals_.start(now);
  } else if (coordinator_.last_answer() == Opcode::kFinished) {
    phase_ = Phase::kDone;
  }
}

void ClientNode::on_completed(TimeNs now) {
  if (kv_.cookie() == kLoadCookie) {
    for (const KvResult& result : kv_.results()) {
      if (result.status != Status::kOk) trouble_ = fmt::format("loading failed: {}", name(result.status));
    }
    return;
  }
  const auto s = static_cast<std::uint32_t>(kv_.cookie());
  Slot& slot = slots_[s];
  const KvResult& result = kv_.results()[0];
  const bool was_read = slot.operation.type == OperationType::kRead ||
                        (slot.operation.type == OperationType::kReadModifyWrite && !slot.modifying);
  const bool in_window = phase_ == Phase::kWindow && now < window_end_ns_;
  if (was_read) check(slot.operation, result);
  if (slot.operation.type == OperationType::kReadModifyWrite && !slot.modifying && result.status == Status::kOk) {
    slot.modifying = true;
    parked_.push_back(s);  // offer() goes on with it when there is room for a mutation
    return;
  }
  free_slots_.push_back(s);
  if (result.status != Status::kOk) {
    ++stats_.failed;
    return;
  }
  if (in_window) ++stats_.completed;
  stats_.timeline.add(window_start_ns_, window_end_ns_, now, now - slot.start_ns, kv_.was_moved());
  if (slot.start_ns >= window_start_ns_ && slot.start_ns < window_end_ns_) {
    stats_.latency[static_cast<std::size_t>(slot.operation.type)].add(now - slot.start_ns);
  }
}

void ClientNode::check(const Operation& operation, const KvResult& result) {
  if (result.status == Status::kOk && !is_value_of(operation.key, result.value)) ++stats_.wrong;
}

void ClientNode::advance(TimeNs now, Outbox& out) {
  if (phase_ == Phase::kLoading && is_known_ && kv_.all_connected()) load(now, out);
  if (phase_ == Phase::kWarmup && now >= window_start_ns_) {
    phase_ = Phase::kWindow;
    stats_.window_start_ns = now;
    retries_before_ = kv_.retries();
    out.mark(Mark::kWindowStart);
  }
  if (phase_ == Phase::kWindow && now >= window_end_ns_) {
    phase_ = Phase::kDraining;
    stats_.window_end_ns = now;
    stats_.retries = kv_.retries() - retries_before_;
    out.mark(Mark::kWindowEnd);
  }
  if (phase_ >= Phase::kWarmup && phase_ <= Phase::kDraining && is_known_) offer(now, out);
  if (phase_ == Phase::kDraining && free_slots_.size() == slots_.size()) {
    phase_ = Phase::kFinishing;
    coordinator_.report(Opcode::kFinished);
  }
}

void ClientNode::load(TimeNs now, Outbox& out) {
  const WorkloadOptions& w = options_.workload;
  const std::size_t most = std::clamp<std::size_t>(kLoadBytes / (w.key_bytes + w.value_bytes), 1, kLoadItems);
  std::array<KvItem, kLoadItems> items;
  while (next_load_ < w.records && kv_.open_operations() < kLoadOperations && kv_.can_submit(most)) {
    std::size_t n = 0;
    for (Bytes rest = scratch_; n < most && next_load_ < w.records; ++n, next_load_ += options_.clients) {
      const Bytes key = rest.first(w.key_bytes);
      const Bytes value = rest.subspan(w.key_bytes, w.value_bytes);
      rest = rest.subspan(w.key_bytes + w.value_bytes);
      write_key(next_load_, key);
      write_value(next_load_, 0, value);
      items[n] = {KvKind::kWrite, kTable, key, value, kAnyVersion};
    }
    kv_.submit(kLoadCookie, std::span(items).first(n), now, out);
  }
  if (next_load_ >= w.records && kv_.open_operations() == 0) {
    phase_ = Phase::kWaiting;
    coordinator_.report(Opcode::kReady);
  }
}

void ClientNode::offer(TimeNs now, Outbox& out) {
  const bool open_loop = options_.workload.arrivals != Arrivals::kClosed;
  for (; !parked_.empty() && kv_.can_submit(); parked_.pop_back()) issue(parked_.back(), now, out);
  while (!free_slots_.empty() && kv_.can_submit()) {
    TimeNs start = now;
    if (open_loop) {
      start = arrivals_.next();
      // Every arrival of the window is served, however late.
      if (start > now || start >= window_end_ns_) break;
      arrivals_.take();
    } else if (phase_ == Phase::kDraining) {
      break;
    }
    const std::uint32_t s = free_slots_.back();
    free_slots_.pop_back();
    slots_[s] = {operations_.next(), start, false};
    issue(s, now, out);
  }
}

void ClientNode::issue(std::uint32_t s, TimeNs now, Outbox& out) {
  const Slot& slot = slots_[s];
  const WorkloadOptions& w = options_.workload;
  const Bytes key = Bytes(scratch_).first(w.key_bytes);
  write_key(slot.operation.key, key);
  KvItem item{KvKind::kRead, kTable, key, {}, kAnyVersion};
  const bool reads = slot.operation.type == OperationType::kRead ||
                     (slot.operation.type == OperationType::kReadModifyWrite && !slot.modifying);
  if (!reads) {
    const Bytes value = Bytes(scratch_).subspan(w.key_bytes, w.value_bytes);
    write_value(slot.operation.key, ++versions_, value);
    item.kind = KvKind::kWrite;
    item.value = value;
  }
  out.work(Work::kIssue);
  kv_.submit(s, std::span(&item, 1), now, out);
}

TimeNs ClientNode::deadline() const {
  TimeNs at = std::min(kv_.deadline(), coordinator_.deadline());
  if (phase_ == Phase::kWarmup) at = std::min(at, window_start_ns_);
  if (phase_ == Phase::kWindow) at = std::min(at, window_end_ns_);
  const bool waits_for_arrival = options_.workload.arrivals != Arrivals::kClosed && phase_ >= Phase::kWarmup &&
                                 phase_ <= Phase::kDraining && !free_slots_.empty() && kv_.can_submit() &&
                                 arrivals_.next() < window_end_ns_;
  return waits_for_arrival ? std::min(at, arrivals_.next()) : at;
}

std::string ClientNode::describe() const {
  return fmt::format("client {} phase {} slots {}/{} completed {} failed {} | {}", index(self_),
                     static_cast<int>(phase_), slots_.size() - free_slots_.size(), slots_.size(), stats_.completed,
                     stats_.failed, kv_.describe());
}

}  // namespace slipstream
