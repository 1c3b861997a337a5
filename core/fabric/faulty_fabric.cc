#include "core/fabric/faulty_fabric.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/check.h"

namespace slipstream {

namespace {

constexpr std::uint64_t kMillion = 1'000'000;
// Marks the tag of a message's second copy, so that it is another tag.
constexpr std::uint64_t kSecondCopy = std::uint64_t{1} << 63;
// A torn write takes its place among the ops of a channel, of which there may be kWindowOps.
constexpr std::size_t kMostPieces = 64;
// How often memory is searched for something that a flip would change.
constexpr TimeNs kLookForBits = kMillisecond;

bool is_data(OpKind kind) { return kind == OpKind::kSend || kind == OpKind::kWrite || kind == OpKind::kRead; }
bool is_of_messages(FabricFault fault) {
  return fault == FabricFault::kMessageLoss || fault == FabricFault::kMessageTwice;
}

bool any_timed(const FaultyOptions& options, bool of_messages) {
  return std::any_of(options.timed.begin(), options.timed.end(),
                     [&](const FaultyOptions::Timed& t) { return is_of_messages(t.fault) == of_messages; });
}

std::size_t bytes_of(std::span<const Slice> body) {
  std::size_t size = 0;
  for (const Slice& slice : body) size += slice.size;
  return size;
}

}  // namespace

FaultyFabric::FaultyFabric(Fabric& inner, const FaultyOptions& options, NodeId node)
    : inner_(inner),
      options_(options),
      posts_fail_(!options.schedule.empty() || options.channel_loss_ppm != 0 || options.torn_write_ppm != 0 ||
                  any_timed(options, false)),
      messages_fail_(options.message_loss_ppm != 0 || options.message_twice_ppm != 0 || options.message_late_ppm != 0 ||
                     any_timed(options, true)),
      node_(node),
      rng_(options.seed, "faulty-fabric", index(node)) {
  SLIP_CHECK(options.longest_delay_polls > 0, "a late message comes with a later poll");
  const auto late = std::count_if(options.timed.begin(), options.timed.end(),
                                  [](const Timed& t) { return t.fault == FabricFault::kLateWrite; });
  if (late == 0) return;
  late_memory_ = inner.create_region("late-writes", static_cast<std::size_t>(late) * kLateBytes, Access::kLocal);
}

Region FaultyFabric::create_region(std::string_view name, std::size_t bytes, Access access) {
  const Region region = inner_.create_region(name, bytes, access);
  if (access == Access::kDurable) durable_.push_back(region.memory);
  return region;
}

// --- time ---

void FaultyFabric::advance(TimeNs now) {
  now_ns_ = now;
  for (; timed_ < options_.timed.size() && options_.timed[timed_].at_ns <= now; ++timed_) {
    const Timed& timed = options_.timed[timed_];
    if (timed.fault == FabricFault::kBitFlip) {
      flips_.push_back(timed);
    } else if (timed.fault == FabricFault::kChannelLoss) {
      for (auto& [channel, line] : lines_) {
        if (!line.alive || line.doomed || (timed.peer != kNoNode && timed.peer != line.peer)) continue;
        ++faults_;
        line.doomed = true;
        revoke_underneath(channel, line);
      }
    } else if (timed.fault == FabricFault::kCutOut || timed.fault == FabricFault::kCutIn) {
      begin_cut(timed);
    } else {
      (is_of_messages(timed.fault) ? armed_messages_ : armed_writes_).push_back(timed);
    }
  }
  if (!flips_.empty() && now >= look_for_bits_at_ns_) {
    look_for_bits_at_ns_ = now + kLookForBits;
    std::erase_if(flips_, [this](const Timed& timed) { return flip_bit(timed); });
  }
  std::erase_if(cuts_, [now](const Cut& cut) { return cut.until_ns <= now; });
  if (next_end_ns_ <= now) end_silent();
  std::erase_if(late_writes_, [&](const LateWrite& write) {
    if (write.due_ns > now) return false;
    land(write);
    return true;
  });
  post_passing();
}

TimeNs FaultyFabric::next_due() const {
  TimeNs due = timed_ < options_.timed.size() ? options_.timed[timed_].at_ns : kNever;
  if (!flips_.empty()) due = std::min(due, look_for_bits_at_ns_);
  due = std::min(due, next_end_ns_);
  for (const LateWrite& write : late_writes_) due = std::min(due, write.due_ns);
  return due;
}

bool FaultyFabric::flip_bit(const Timed& timed) {
  std::size_t size = 0;
  for (const Bytes memory : durable_) size += memory.size();
  if (size == 0) return false;
  Rng rng(options_.seed ^ timed.salt, "bit-flip", index(node_));
  std::uint64_t at = rng.below(size);
  for (std::size_t tried = 0; tried < size; ++tried, ++at) {
    std::uint64_t place = at % size;
    auto memory = durable_.begin();
    for (; place >= memory->size(); ++memory) place -= memory->size();
    std::byte& byte = (*memory)[place];
    if (byte == std::byte{0}) continue;
    byte ^= std::byte{1} << static_cast<int>(rng.below(8));
    ++faults_;
    return true;
  }
  return false;
}

// --- cuts ---

void FaultyFabric::begin_cut(const Timed& timed) {
  const TimeNs until = timed.lasts_ns >= kNever - timed.at_ns ? kNever : timed.at_ns + timed.lasts_ns;
  cuts_.push_back({timed.fault == FabricFault::kCutOut, timed.peer, until});
  ++faults_;
}

bool FaultyFabric::is_cut(bool out, NodeId peer) const {
  return std::any_of(cuts_.begin(), cuts_.end(),
                     [&](const Cut& cut) { return cut.out == out && (cut.peer == kNoNode || cut.peer == peer); });
}

bool FaultyFabric::cut_off(Line& line, bool out) {
  if (line.silent[out]) return true;
  if (!is_cut(out, line.peer)) return false;
  line.silent[out] = true;
  line.dies_ns = std::min(line.dies_ns, now_ns_ + options_.patience_ns);
  next_end_ns_ = std::min(next_end_ns_, line.dies_ns);
  return true;
}

void FaultyFabric::end_silent() {
  next_end_ns_ = kNever;
  for (auto& [channel, line] : lines_) {
    if (line.dies_ns == kNever || line.told || line.own_revokes > 0) continue;
    if (line.dies_ns > now_ns_) {
      next_end_ns_ = std::min(next_end_ns_, line.dies_ns);
      continue;
    }
    line.doomed = true;
    if (line.undialled) {
      tell_down(line);
    } else if (line.alive) {
      revoke_underneath(channel, line);
    }
  }
}

void FaultyFabric::tell_down(Line& line) {
  if (std::exchange(line.told, true)) return;
  Event down;
  down.kind = EventKind::kDown;
  down.channel = line.number;
  down.peer = line.peer;
  own_events_.push_back(down);
}

// --- posting ---

Channel FaultyFabric::underneath(Channel number) const {
  const auto renamed = renamed_.find(number);
  return renamed == renamed_.end() ? number : renamed->second;
}

// An undead channel keeps its number underneath; the node may use it again.
Channel FaultyFabric::number_for(const Op& connect) {
  renamed_.erase(connect.channel);
  const auto taken = lines_.find(connect.channel);
  if (taken == lines_.end() || !taken->second.undead || !taken->second.alive) return connect.channel;
  SLIP_CHECK(lines_.count(next_name_) == 0, "the numbers of node {}'s channels run out", index(node_));
  return renamed_[connect.channel] = next_name_--;
}

void FaultyFabric::post(std::span<const Op> ops) {
  if (transparent()) {
    inner_.post(ops);
    return;
  }
  for (Op op : ops) {
    const Channel number = op.channel;
    op.channel = op.kind == OpKind::kConnect ? number_for(op) : underneath(op.channel);
    Line& line = lines_[op.channel];
    if (op.kind == OpKind::kConnect) {
      line = {};
      line.peer = op.peer;
      line.undialled = cut_off(line, true) || cut_off(line, false);
      line.alive = !line.undialled;
    }
    line.number = number;
    if (line.undialled && op.kind != OpKind::kRevoke) continue;
    if (op.kind == OpKind::kRevoke) line.told = true;  // by the kRevoked to come
    FabricFault fault = FabricFault::kChannelLoss;
    Timed timed;
    if (!is_data(op.kind)) {
      if (op.kind == OpKind::kRevoke || !line.undead) passing_.push_back(op);
    } else if (line.doomed || cut_off(line, true)) {
      continue;
    } else if (draw(op, fault, timed)) {
      fail(op, fault, timed);
    } else {
      pass(op);
    }
  }
  post_passing();
}

void FaultyFabric::post_passing() {
  if (!passing_.empty()) inner_.post(passing_);
  passing_.clear();
  pieces_.clear();
}

void FaultyFabric::pass(const Op& op) {
  Line& line = lines_[op.channel];
  line.highest = std::max(line.highest, op.ticket);
  passing_.push_back(op);
  passing_.back().answers &= ~kSecondCopy;
}

bool FaultyFabric::take_armed(std::vector<Timed>& armed, NodeId peer, Timed& taken) {
  const auto found =
      std::find_if(armed.begin(), armed.end(), [peer](const Timed& t) { return t.peer == kNoNode || t.peer == peer; });
  if (found == armed.end()) return false;
  taken = *found;
  armed.erase(found);
  return true;
}

bool FaultyFabric::draw(const Op& op, FabricFault& fault, Timed& timed) {
  ++ops_;
  if (!posts_fail_) return false;
  if (op.kind == OpKind::kWrite && take_armed(armed_writes_, lines_[op.channel].peer, timed)) {
    fault = timed.fault;
    return true;
  }
  while (scheduled_ < options_.schedule.size() && options_.schedule[scheduled_].op < ops_) ++scheduled_;
  if (scheduled_ < options_.schedule.size() && options_.schedule[scheduled_].op == ops_) {
    fault = options_.schedule[scheduled_].fault;
    return true;
  }
  if (op.kind == OpKind::kWrite && options_.torn_write_ppm != 0 && rng_.chance(options_.torn_write_ppm, kMillion)) {
    constexpr FabricFault kTears[] = {FabricFault::kTornByte, FabricFault::kTornBlocks64, FabricFault::kTornBlocks128};
    fault = kTears[rng_.below(std::size(kTears))];
    return true;
  }
  fault = FabricFault::kChannelLoss;
  return options_.channel_loss_ppm != 0 && rng_.chance(options_.channel_loss_ppm, kMillion);
}

void FaultyFabric::fail(const Op& op, FabricFault fault, const Timed& timed) {
  ++faults_;
  Line& line = lines_[op.channel];
  line.doomed = true;
  if (op.kind == OpKind::kWrite && fault == FabricFault::kLateWrite) {
    hold_write(line, op, timed);
    return;
  }
  if (op.kind == OpKind::kWrite && fault != FabricFault::kChannelLoss) {
    if (timed.salt == 0) {
      tear(line, op, fault, rng_);
    } else {
      Rng own(options_.seed ^ timed.salt, "torn-write", index(node_));
      tear(line, op, fault, own);
    }
  }
  if (line.last_words == 0) revoke_underneath(op.channel, line);
}

// Posts the bytes that land. The last piece carries a ticket: the channel must not die before they are there.
void FaultyFabric::tear(Line& line, const Op& op, FabricFault fault, Rng& rng) {
  const std::size_t size = bytes_of(op.body);
  if (fault == FabricFault::kTornByte) {
    write_piece(line, op, 0, size == 0 ? 0 : rng.below(size));
  } else {
    std::uint64_t block = fault == FabricFault::kTornBlocks64 ? 64 : 128;
    if (fault == FabricFault::kTornAnywhere) block = 1;
    // Of a long write what lands is drawn for several blocks at once; anywhere: from one drawn byte to the next.
    const std::uint64_t step = block * std::max<std::uint64_t>(1, (size / block + kMostPieces - 1) / kMostPieces);
    for (std::size_t from = 0; from < size;) {
      std::uint64_t length = step - (op.offset + from) % step;
      if (fault == FabricFault::kTornAnywhere) length = 1 + rng.below(2 * step);
      const std::size_t to = std::min<std::size_t>(size, from + length);
      if (rng.chance(1, 2)) write_piece(line, op, from, to);
      from = to;
    }
  }
  if (line.last_words != 0) passing_.back().ticket = line.last_words;
}

void FaultyFabric::write_piece(Line& line, const Op& op, std::size_t from, std::size_t to) {
  if (from == to) return;
  auto body = std::make_unique<Slice[]>(op.body.size());
  std::size_t slices = 0;
  std::size_t begin = 0;
  for (const Slice& slice : op.body) {
    const std::size_t first = std::max(begin, from);
    const std::size_t last = std::min(begin + slice.size, to);
    if (first < last) body[slices++] = {slice.data + (first - begin), last - first};
    begin += slice.size;
  }
  Op piece = op;
  piece.body = {body.get(), slices};
  piece.offset = op.offset + from;
  piece.ticket = 0;
  passing_.push_back(piece);
  pieces_.push_back(std::move(body));
  line.last_words = std::max(line.highest, op.ticket) + 1;
}

// Its source may change from now on: the node believes it lost.
void FaultyFabric::hold_write(Line& line, const Op& op, const Timed& timed) {
  LateWrite late;
  late.due_ns = timed.lasts_ns >= kNever - now_ns_ ? kNever : now_ns_ + timed.lasts_ns;
  late.channel = op.channel;
  late.key = op.key;
  late.offset = op.offset;
  const Bytes room = late_memory_.memory.subspan(late_used_, kLateBytes);
  late_used_ += kLateBytes;
  late.bytes.data = room.data();
  for (const Slice& slice : op.body) {
    const std::size_t n = std::min(slice.size, room.size() - late.bytes.size);
    if (n > 0) std::memcpy(room.data() + late.bytes.size, slice.data, n);
    late.bytes.size += n;
  }
  late_writes_.push_back(late);
  line.undead = true;
  tell_down(line);
  forget(op.channel);
}

void FaultyFabric::land(const LateWrite& write) {
  Line& line = lines_[write.channel];
  if (!line.alive) return;
  if (is_cut(true, line.peer)) return revoke_underneath(write.channel, line);
  auto body = std::make_unique<Slice[]>(1);
  body[0] = write.bytes;
  Op op;
  op.kind = OpKind::kWrite;
  op.channel = write.channel;
  op.body = {body.get(), 1};
  op.key = write.key;
  op.offset = write.offset;
  op.ticket = line.last_words = line.highest + 1;
  passing_.push_back(op);
  pieces_.push_back(std::move(body));
}

void FaultyFabric::revoke_underneath(Channel channel, Line& line) {
  ++line.own_revokes;
  Op op;
  op.kind = OpKind::kRevoke;
  op.channel = channel;
  passing_.push_back(op);
}

// --- polling ---

std::size_t FaultyFabric::poll(std::span<Event> events) {
  if (transparent()) return inner_.poll(events);
  ++polls_;
  in_view_.clear();
  std::size_t n = own_events_.empty() ? 0 : take_own(events);
  if (!late_.empty()) n += take_late(events.subspan(n));
  const std::size_t end = n + inner_.poll(events.subspan(n));
  for (std::size_t i = n; i < end; ++i) {
    if (keep(events[i])) events[n++] = events[i];
  }
  post_passing();
  return n;
}

std::size_t FaultyFabric::take_own(std::span<Event> events) {
  const std::size_t n = std::min(events.size(), own_events_.size());
  std::copy_n(own_events_.begin(), n, events.begin());
  own_events_.erase(own_events_.begin(), own_events_.begin() + static_cast<std::ptrdiff_t>(n));
  return n;
}

std::size_t FaultyFabric::take_late(std::span<Event> events) {
  std::size_t n = 0;
  std::erase_if(late_, [&](Late& late) {
    if (late.due > polls_ || n == events.size()) return false;
    in_view_.push_back(std::move(late.bytes));
    events[n] = late.event;
    events[n].channel = lines_[late.event.channel].number;
    events[n++].bytes = in_view_.back();
    return true;
  });
  return n;
}

bool FaultyFabric::keep(Event& event) {
  if (event.kind >= EventKind::kStored) return true;
  const Channel channel = event.channel;
  Line& line = lines_[channel];
  if (event.kind == EventKind::kConnected) {
    const Channel number = channel < kFirstAccepted ? line.number : channel;
    line = {};
    line.number = number;
    line.peer = event.peer;
    line.alive = true;
    if (is_cut(true, line.peer) || is_cut(false, line.peer)) {
      line.doomed = true;
      line.told = channel >= kFirstAccepted;  // or was never told that there is one
      line.silent = {true, true};
      revoke_underneath(channel, line);
      return false;
    }
  }
  event.channel = line.number;
  const bool from_peer =
      event.kind == EventKind::kMessage || event.kind == EventKind::kAcked || event.kind == EventKind::kReadDone;
  if (from_peer && !line.undead && cut_off(line, false)) return false;
  switch (event.kind) {
    case EventKind::kMessage: {
      Event underneath = event;
      underneath.channel = channel;
      return !line.undead && keep_message(underneath);
    }
    case EventKind::kAcked:
      if (line.last_words == 0 || event.ticket < line.last_words) return !line.undead;
      if (line.own_revokes == 0) revoke_underneath(channel, line);
      return false;
    case EventKind::kDown:
      line.doomed = true;
      line.alive = false;
      forget(channel);
      return !std::exchange(line.told, true);
    case EventKind::kRevoked:
      line.alive = false;
      forget(channel);
      if (line.own_revokes == 0) return true;
      --line.own_revokes;
      event.kind = EventKind::kDown;
      event.peer = line.peer;
      return !std::exchange(line.told, true);
    default: return !line.undead;
  }
}

bool FaultyFabric::keep_message(const Event& event) {
  if (!messages_fail_) return true;
  if (Timed timed; !armed_messages_.empty() && take_armed(armed_messages_, lines_[event.channel].peer, timed)) {
    if (timed.fault == FabricFault::kMessageTwice) hold(event, true);
    if (timed.fault == FabricFault::kMessageTwice) return true;
    ++faults_;
    return false;
  }
  if (rng_.chance(options_.message_loss_ppm, kMillion)) {
    ++faults_;
    return false;
  }
  if (rng_.chance(options_.message_twice_ppm, kMillion)) hold(event, true);
  if (!rng_.chance(options_.message_late_ppm, kMillion)) return true;
  hold(event, false);
  return false;
}

void FaultyFabric::hold(const Event& event, bool second) {
  ++faults_;
  Late late;
  late.due = polls_ + 1 + rng_.below(options_.longest_delay_polls);
  late.event = event;
  if (second) late.event.tag |= kSecondCopy;
  late.bytes.assign(event.bytes.begin(), event.bytes.end());
  late_.push_back(std::move(late));
}

void FaultyFabric::forget(Channel channel) {
  std::erase_if(late_, [&](const Late& late) { return late.event.channel == channel; });
}

}  // namespace slipstream
