#include "sim/sim_storage.h"

#include <algorithm>
#include <cerrno>

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
  inbox_.push(carry_out(op));
}

Event SimStorage::carry_out(const StorageOp& op) {
  Event event;
  event.tag = op.frame;
  event.ticket = op.ticket;
  if (op.kind == StorageOpKind::kAppend) {
    Frame& frame = medium_.frames[op.frame];
    frame.size += op.source.size();
    if (medium_.keeps_bytes) frame.bytes.insert(frame.bytes.end(), op.source.begin(), op.source.end());
    event.kind = EventKind::kStored;
    event.amount = frame.size;
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

std::size_t SimStorage::poll(std::span<Event> events) {
  std::size_t n = 0;
  while (n < events.size() && !inbox_.empty()) {
    events[n++] = inbox_.front();
    inbox_.pop();
  }
  return n;
}

std::vector<FrameId> SimStorage::frames() const {
  std::vector<FrameId> ids;
  for (const auto& [id, frame] : medium_.frames) ids.push_back(id);
  return ids;
}

}  // namespace slipstream::sim
