#include "sim/sim_storage.h"

#include <algorithm>
#include <cerrno>
#include <set>

namespace slipstream::sim {

void SimStorage::post_at(std::span<const StorageOp> ops, TimePs time) {
  constexpr std::int64_t kBitPs = 1'000'000'000'000;
  for (const StorageOp& op : ops) {
    const auto bytes = static_cast<std::int64_t>(op.kind == StorageOpKind::kAppend ? op.source.size()
                                                 : op.kind == StorageOpKind::kRead ? op.destination.size()
                                                                                   : 0);
    free_ = std::max(free_, time) + static_cast<TimePs>(static_cast<__int128_t>(bytes) * 8 * kBitPs / rate_);
    if (pending_.empty()) queue_.push(free_ + latency_, static_cast<std::uint32_t>(Happening::kStorageDone), node_);
    pending_.push({op, free_ + latency_});
  }
}

void SimStorage::done() {
  const StorageOp op = pending_.front().op;
  pending_.pop();
  if (!pending_.empty()) {
    queue_.push(pending_.front().time, static_cast<std::uint32_t>(Happening::kStorageDone), node_);
  }
  last_bytes_ = op.kind == StorageOpKind::kRead ? op.destination.size() : op.source.size();
  inbox_.push(carry_out(op));
}

Event SimStorage::carry_out(const StorageOp& op) {
  Event event;
  event.tag = op.frame;
  event.ticket = op.ticket;
  if (op.kind == StorageOpKind::kAppend) {
    append(op, event);
    return event;
  }
  event.kind = EventKind::kStorageFailed;
  const auto found = medium_.frames.find(op.frame);
  if (found == medium_.frames.end()) {
    event.amount = ENOENT;
  } else if (op.kind == StorageOpKind::kFree) {
    medium_.frames.erase(found);
    event.kind = EventKind::kFreed;
  } else if (op.offset > found->second.size || op.destination.size() > found->second.size - op.offset) {
    event.amount = EINVAL;
  } else if (!medium_.keeps_bytes) {
    event.amount = EIO;
  } else {
    std::copy_n(found->second.bytes.begin() + static_cast<std::ptrdiff_t>(op.offset), op.destination.size(),
                op.destination.begin());
    event.kind = EventKind::kStorageRead;
  }
  return event;
}

void SimStorage::append(const StorageOp& op, Event& event) {
  const std::uint64_t size = op.source.size();
  AppendVerdict verdict;
  if (interference_ != nullptr) verdict = interference_->on_append(NodeId{static_cast<std::uint16_t>(node_)}, size);
  if (verdict.kind == AppendVerdict::kFailed) {
    event.kind = EventKind::kStorageFailed;
    event.amount = ENOSPC;
    return;
  }
  Frame& frame = medium_.frames[op.frame];
  const std::uint64_t there = verdict.kind == AppendVerdict::kLost    ? 0
                              : verdict.kind == AppendVerdict::kShort ? std::min(verdict.bytes, size)
                                                                      : size;
  if (there != 0) fill_hole(frame);
  add(frame, op.source.first(there));
  frame.missing += size - there;
  event.kind = EventKind::kStored;
  event.amount = frame.size + frame.missing;
}

// What was acknowledged and is not there is a hole of zeroes when something is written behind it.
void SimStorage::fill_hole(Frame& frame) {
  if (frame.missing == 0) return;
  const std::vector<std::byte> hole(frame.missing);
  frame.missing = 0;
  add(frame, hole);
}

void SimStorage::add(Frame& frame, ConstBytes bytes) {
  frame.size += bytes.size();
  if (medium_.keeps_bytes) frame.bytes.insert(frame.bytes.end(), bytes.begin(), bytes.end());
}

void SimStorage::crash(Rng& draws) {
  std::set<FrameId> stopped;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    const StorageOp& op = pending_[i].op;
    if (op.kind == StorageOpKind::kRead || stopped.contains(op.frame)) continue;
    if (draws.chance(1, 2)) {
      carry_out(op);
      continue;
    }
    stopped.insert(op.frame);
    if (op.kind == StorageOpKind::kAppend && draws.chance(1, 2))
      append_some(medium_.frames[op.frame], op.source, draws);
  }
  for (auto& [id, frame] : medium_.frames) frame.missing = 0;
  pending_.clear();
  inbox_.clear();
  free_ = queue_.now();
}

// Any prefix, and behind it perhaps sectors of which some were not written.
void SimStorage::append_some(Frame& frame, ConstBytes source, Rng& draws) {
  constexpr std::size_t kSector = 512;
  const auto some = [&draws](std::size_t most) { return static_cast<std::size_t>(draws.below(most + 1)); };
  const std::size_t whole = some(source.size());
  fill_hole(frame);
  add(frame, source.first(whole));
  if (draws.chance(1, 2)) return;
  const ConstBytes rest = source.subspan(whole);
  std::vector<std::byte> torn(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(some(rest.size())));
  for (std::size_t at = 0; at < torn.size(); at += kSector) {
    const std::size_t size = std::min(kSector, torn.size() - at);
    if (draws.chance(1, 2)) std::fill_n(torn.begin() + static_cast<std::ptrdiff_t>(at), size, std::byte{0});
  }
  add(frame, torn);
}

std::size_t SimStorage::poll(std::span<Event> events) {
  std::size_t n = 0;
  while (n < events.size() && !inbox_.empty()) {
    events[n++] = inbox_.front();
    inbox_.pop();
  }
  return n;
}

std::vector<StoredFrame> SimStorage::frames() const {
  std::vector<StoredFrame> found;
  for (const auto& [id, frame] : medium_.frames) found.push_back({id, frame.size});
  return found;
}

}  // namespace slipstream::sim
