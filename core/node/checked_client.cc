#include "core/node/checked_client.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/base/check.h"

namespace slipstream {
namespace {

constexpr Channel kCoordinatorChannel = 1;
constexpr Channel kFirstServerChannel = 2;
constexpr NodeId kCoordinatorNode{0};
constexpr std::uint64_t kTable = 1;

KvClientOptions client_options(const ClusterOptions& options) {
  KvClientOptions kv;
  kv.client_id = 0;
  kv.max_operations = options.workload.outstanding;
  kv.timeout_ns = options.rpc_timeout_ns;
  return kv;
}

KvKind kind_of(Action action) {
  if (action == Action::kRead) return KvKind::kRead;
  if (action == Action::kIncrement) return KvKind::kIncrement;
  return is_remove(action) ? KvKind::kRemove : KvKind::kWrite;
}

}  // namespace

CheckedClient::CheckedClient(const ClusterOptions& options, NodeId self, std::uint32_t life)
    : options_(options),
      records_(options.workload.records),
      number_(index(self) - 1u - options.servers + life * options.clients),
      coordinator_(options.membership, self, kCoordinatorNode, static_cast<std::uint16_t>(NodeKind::kClient),
                   kCoordinatorChannel),
      kv_(client_options(options), kFirstServerChannel),
      rng_(options.seed, "checked-client", number_),
      is_busy_(rng_.chance(1, 2)),
      slots_(options.workload.outstanding),
      seen_versions_(records_),
      history_(number_, options.clients * kMostCheckedLives),
      finals_(records_),
      scratch_(kMostItems * (options.workload.key_bytes + options.workload.value_bytes)) {
  SLIP_CHECK(life < kMostCheckedLives, "a client that crashed {} times", life);
  for (std::uint32_t i = options.workload.outstanding; i > 0; --i) free_slots_.push_back(i - 1);
  for (std::uint64_t key = 0; key < records_; ++key) finals_[key].key = key;
}

void CheckedClient::step(TimeNs now, std::span<const Event> events, Outbox& out) {
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

void CheckedClient::on_message(TimeNs now, const Event& event, Outbox& out) {
  RpcMessage message;
  if (!parse(event.bytes, message) || message.header.is_answer == 0) return;
  if (kv_.owns(event.channel)) {
    if (kv_.on_answer(event.channel, message, now, out)) on_completed(now);
    return;
  }
  if (!coordinator_.owns(event.channel)) return;
  const bool is_new = coordinator_.on_message(message, out);
  if (is_new || message.header.opcode == Opcode::kHeartbeat) {
    kv_.set_tablets(coordinator_.view().tablet_map(), now, out);
  }
  if (!is_known_ && coordinator_.client() != 0) {
    is_known_ = true;
    kv_.set_client(coordinator_.client());
    if (phase_ == Phase::kEnlisting) {
      phase_ = Phase::kWaiting;
      coordinator_.report(Opcode::kReady);
    }
  }
  if (message.header.opcode == Opcode::kReady && phase_ == Phase::kWaiting) {
    phase_ = Phase::kRunning;
    start_ns_ = now;
    end_ns_ = now + options_.warmup_ns + options_.duration_ns;
  }
  if (message.header.opcode == Opcode::kFinished && phase_ == Phase::kFinishing) phase_ = Phase::kDone;
}

// Our lease has ended: what was open may have happened or not, and we are somebody else from now on.
void CheckedClient::begin_anew(TimeNs now) {
  is_known_ = false;
  while (kv_.take_refused()) on_completed(now);
  kv_.set_client(0);
  coordinator_.begin_anew();
}

void CheckedClient::on_completed(TimeNs now) {
  const auto s = static_cast<std::uint32_t>(kv_.cookie());
  Slot& slot = slots_[s];
  free_slots_.push_back(s);
  const std::span<const KvResult> results = kv_.results();
  for (std::size_t i = 0; i < slot.items.size(); ++i) take(slot.items[i], results[i], now);
  if (slot.final == kNoFinal) return;
  const HistoryOperation& read = history_.operations()[slot.items[0].operation];
  finals_[slot.final] = {read.key, read.outcome, read.version, read.seen, read.invoked_ns};
}

void CheckedClient::take(const Item& item, const KvResult& result, TimeNs now) {
  std::uint64_t& seen = seen_versions_[item.key];
  switch (result.status) {
    case Status::kOk: {
      seen = result.version;
      HistoryValue value;
      if (item.action == Action::kRead) value = value_of(item.key, result.value);
      if (item.action == Action::kIncrement) value = counter_value(load<std::uint64_t>(result.value.data()));
      history_.complete(item.operation, now, Outcome::kOk, result.version, value);
      count(item, now);
      return;
    }
    case Status::kNotFound:
      seen = 0;
      history_.complete(item.operation, now, Outcome::kNotFound);
      count(item, now);
      return;
    case Status::kVersionMismatch:
      seen = result.version;
      history_.complete(item.operation, now, Outcome::kMismatch, result.version);
      count(item, now);
      return;
    case Status::kNotANumber: history_.complete(item.operation, now, Outcome::kNotANumber, result.version); return;
    case Status::kDead: history_.unknown(item.operation, now); return;
    default: history_.complete(item.operation, now, Outcome::kFailed); ++stats_.failed;
  }
}

// Final reads, too, come here; they are asked for when the window is over.
void CheckedClient::count(const Item& item, TimeNs now) {
  const TimeNs start = history_.operations()[item.operation].invoked_ns;
  ++stats_.completed;
  const auto type = item.action == Action::kRead ? OperationType::kRead : OperationType::kUpdate;
  stats_.latency[static_cast<std::size_t>(type)].add(now - start);
}

// ---- What is asked for.

void CheckedClient::advance(TimeNs now, Outbox& out) {
  if (!is_known_) return;
  if (phase_ == Phase::kRunning && now >= end_ns_) phase_ = Phase::kDraining;
  if (phase_ == Phase::kRunning) {
    while (!free_slots_.empty() && kv_.can_submit(kMostItems) && now >= next_issue_ns_) issue(now, out);
  }
  if (phase_ == Phase::kDraining && free_slots_.size() == slots_.size()) phase_ = Phase::kReading;
  if (phase_ != Phase::kReading) return;
  // One whose read was cut short by the end of a lease is read again.
  for (std::size_t i = 0; next_final_ == finals_.size() && i < finals_.size(); ++i) {
    if (finals_[i].outcome == Outcome::kUnknown && !free_slots_.empty()) read_final(i, now, out);
  }
  while (next_final_ < finals_.size() && !free_slots_.empty()) read_final(next_final_++, now, out);
  if (next_final_ < finals_.size() || free_slots_.size() < slots_.size()) return;
  phase_ = Phase::kFinishing;
  stats_.window_start_ns = start_ns_;
  stats_.window_end_ns = now;
  coordinator_.report(Opcode::kFinished);
}

CheckedClient::Item CheckedClient::draw() {
  Item item;
  // Half of them go to an eighth of the keys: what is seldom written lives on among much that is dead.
  item.key = rng_.below(rng_.chance(1, 2) ? std::max<std::uint64_t>(1, records_ / 8) : records_);
  const std::uint64_t what = rng_.below(1000);
  if (what < options_.workload.reads) return item;
  if (is_counter(item.key)) {
    item.action = Action::kIncrement;
    item.argument = 1 + rng_.below(9);
    return item;
  }
  const std::uint64_t which = rng_.below(10);
  item.action = which < 6   ? Action::kWrite
                : which < 8 ? Action::kConditionalWrite
                : which < 9 ? Action::kRemove
                            : Action::kConditionalRemove;
  if (is_write(item.action)) item.stamp = stamp_of(number_, ++stamps_);
  if (is_conditional(item.action)) item.argument = seen_versions_[item.key];
  return item;
}

void CheckedClient::issue(TimeNs now, Outbox& out) {
  const std::uint32_t s = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[s];
  slot.final = kNoFinal;
  slot.items.clear();
  const std::size_t count = rng_.chance(1, 8) ? 2 + rng_.below(kMostItems - 1) : 1;
  // A key once: the order of items of one operation is not promised.
  for (std::size_t i = 0; i < count; ++i) {
    const Item item = draw();
    const auto same = [&](const Item& other) { return other.key == item.key; };
    if (std::none_of(slot.items.begin(), slot.items.end(), same)) slot.items.push_back(item);
  }
  submit(s, now, out);
  // Idle times come up as well as bursts. Clients that are busy most of the time find what happens to open operations,
  // idle ones what is answered when all that was open had its answer long ago.
  const std::uint64_t most = is_busy_ ? std::uint64_t{2} << rng_.below(21) : 2 * kMillisecond;
  next_issue_ns_ = rng_.chance(1, 50) ? now + static_cast<TimeNs>(rng_.below(most)) : now;
}

void CheckedClient::read_final(std::size_t i, TimeNs now, Outbox& out) {
  const std::uint32_t s = free_slots_.back();
  free_slots_.pop_back();
  finals_[i].outcome = Outcome::kOpen;
  slots_[s].final = i;
  slots_[s].items.assign(1, Item{});
  slots_[s].items[0].key = finals_[i].key;
  submit(s, now, out);
}

void CheckedClient::submit(std::uint32_t s, TimeNs now, Outbox& out) {
  std::array<KvItem, kMostItems> items;
  const std::size_t key_bytes = options_.workload.key_bytes;
  const std::size_t value_bytes = options_.workload.value_bytes;
  std::vector<Item>& asked = slots_[s].items;
  const std::uint32_t multi = asked.size() > 1 ? ++multis_ : 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    Item& item = asked[i];
    const Bytes room = Bytes(scratch_).subspan(i * (key_bytes + value_bytes));
    const Bytes key = room.first(key_bytes);
    write_key(item.key, key);
    KvItem& kv = items[i];
    kv.kind = kind_of(item.action);
    kv.table = kTable;
    kv.key = key;
    HistoryValue written;
    if (is_write(item.action)) {
      const Bytes value = room.subspan(key_bytes, value_bytes);
      write_value(item.key, item.stamp, value);
      kv.value = value;
      written = value_of(item.key, value);
    }
    kv.argument = item.action == Action::kIncrement || is_conditional(item.action) ? item.argument : kAnyVersion;
    item.operation = history_.invoke(now, item.action, item.key, item.argument, written, multi);
    out.work(Work::kIssue);
  }
  kv_.submit(s, std::span(items).first(asked.size()), now, out);
}

TimeNs CheckedClient::deadline() const {
  TimeNs at = std::min(kv_.deadline(), coordinator_.deadline());
  if (phase_ != Phase::kRunning) return at;
  at = std::min(at, end_ns_);
  return is_known_ && !free_slots_.empty() && kv_.can_submit(kMostItems) ? std::min(at, next_issue_ns_) : at;
}

std::string CheckedClient::describe() const {
  return fmt::format("checked client {} phase {} open {} operations {} finals {}/{} | {}", number_,
                     static_cast<int>(phase_), open_operations(), history_.operations().size(), next_final_,
                     finals_.size(), kv_.describe());
}

}  // namespace slipstream
