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

bool is_data(OpKind kind) { return kind == OpKind::kSend || kind == OpKind::kWrite || kind == OpKind::kRead; }

std::size_t bytes_of(std::span<const Slice> body) {
  std::size_t size = 0;
  for (const Slice& slice : body) size += slice.size;
  return size;
}

}  // namespace

FaultyFabric::FaultyFabric(Fabric& inner, const FaultyOptions& options, NodeId node)
    : inner_(inner),
      options_(options),
      posts_fail_(!options.schedule.empty() || options.channel_loss_ppm != 0 || options.torn_write_ppm != 0),
      messages_fail_(options.message_loss_ppm != 0 || options.message_twice_ppm != 0 || options.message_late_ppm != 0),
      rng_(options.seed, "faulty-fabric", index(node)) {
  SLIP_CHECK(options.longest_delay_polls > 0, "a late message comes with a later poll");
}

Region FaultyFabric::create_region(std::string_view name, std::size_t bytes, Access access) {
  return inner_.create_region(name, bytes, access);
}

// --- posting ---

void FaultyFabric::post(std::span<const Op> ops) {
  if (transparent()) {
    inner_.post(ops);
    return;
  }
  passing_.clear();
  pieces_.clear();
  for (const Op& op : ops) {
    if (op.kind == OpKind::kConnect) {
      lines_[op.channel] = {};
      lines_[op.channel].peer = op.peer;
    }
    Line& line = lines_[op.channel];
    if (op.kind == OpKind::kRevoke) line.told = true;  // by the kRevoked to come
    Fault fault = Fault::kChannelLoss;
    if (!is_data(op.kind)) {
      passing_.push_back(op);
    } else if (line.doomed) {
      continue;
    } else if (draw(op, fault)) {
      fail(op, fault);
    } else {
      pass(op);
    }
  }
  if (!passing_.empty()) inner_.post(passing_);
}

void FaultyFabric::pass(const Op& op) {
  Line& line = lines_[op.channel];
  line.highest = std::max(line.highest, op.ticket);
  passing_.push_back(op);
  passing_.back().answers &= ~kSecondCopy;
}

bool FaultyFabric::draw(const Op& op, Fault& fault) {
  ++ops_;
  if (!posts_fail_) return false;
  while (scheduled_ < options_.schedule.size() && options_.schedule[scheduled_].op < ops_) ++scheduled_;
  if (scheduled_ < options_.schedule.size() && options_.schedule[scheduled_].op == ops_) {
    fault = options_.schedule[scheduled_].fault;
    return true;
  }
  if (op.kind == OpKind::kWrite && options_.torn_write_ppm != 0 && rng_.chance(options_.torn_write_ppm, kMillion)) {
    constexpr Fault kTears[] = {Fault::kTornByte, Fault::kTornBlocks64, Fault::kTornBlocks128};
    fault = kTears[rng_.below(std::size(kTears))];
    return true;
  }
  fault = Fault::kChannelLoss;
  return options_.channel_loss_ppm != 0 && rng_.chance(options_.channel_loss_ppm, kMillion);
}

void FaultyFabric::fail(const Op& op, Fault fault) {
  ++faults_;
  Line& line = lines_[op.channel];
  line.doomed = true;
  if (op.kind == OpKind::kWrite && fault != Fault::kChannelLoss) tear(line, op, fault);
  if (line.last_words == 0) revoke_underneath(op.channel, line);
}

// Posts the bytes that land. The last piece carries a ticket: the channel must not die before they are there.
void FaultyFabric::tear(Line& line, const Op& op, Fault fault) {
  const std::size_t size = bytes_of(op.body);
  std::vector<std::pair<std::size_t, std::size_t>> landing;  // from, to
  if (fault == Fault::kTornByte) {
    landing.emplace_back(0, size == 0 ? 0 : rng_.below(size));
  } else {
    const std::uint64_t block = fault == Fault::kTornBlocks64 ? 64 : 128;
    for (std::size_t from = 0; from < size;) {
      const std::size_t to = std::min<std::size_t>(size, from + block - (op.offset + from) % block);
      if (rng_.chance(1, 2)) landing.emplace_back(from, to);
      from = to;
    }
  }
  for (const auto& [from, to] : landing) {
    if (from == to) continue;
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
  if (line.last_words != 0) passing_.back().ticket = line.last_words;
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
  passing_.clear();
  std::size_t n = late_.empty() ? 0 : take_late(events);
  const std::size_t end = n + inner_.poll(events.subspan(n));
  for (std::size_t i = n; i < end; ++i) {
    if (keep(events[i])) events[n++] = events[i];
  }
  if (!passing_.empty()) inner_.post(passing_);
  return n;
}

std::size_t FaultyFabric::take_late(std::span<Event> events) {
  std::size_t n = 0;
  std::erase_if(late_, [&](Late& late) {
    if (late.due > polls_ || n == events.size()) return false;
    in_view_.push_back(std::move(late.bytes));
    events[n] = late.event;
    events[n++].bytes = in_view_.back();
    return true;
  });
  return n;
}

bool FaultyFabric::keep(Event& event) {
  Line& line = lines_[event.channel];
  switch (event.kind) {
    case EventKind::kMessage: return keep_message(event);
    case EventKind::kConnected:
      line = {};
      line.peer = event.peer;
      return true;
    case EventKind::kAcked:
      if (line.last_words == 0 || event.ticket < line.last_words) return true;
      if (line.own_revokes == 0) revoke_underneath(event.channel, line);
      return false;
    case EventKind::kDown:
      line.doomed = true;
      forget(event.channel);
      return !std::exchange(line.told, true);
    case EventKind::kRevoked:
      forget(event.channel);
      if (line.own_revokes == 0) return true;
      --line.own_revokes;
      event.kind = EventKind::kDown;
      event.peer = line.peer;
      return !std::exchange(line.told, true);
    default: return true;
  }
}

bool FaultyFabric::keep_message(const Event& event) {
  if (!messages_fail_) return true;
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
