#include "core/storage/faulty_storage.h"

#include <algorithm>

namespace slipstream {

FaultyStorage::FaultyStorage(Storage& inner, const FaultyStorageOptions& options, NodeId node)
    : inner_(inner), options_(options), node_(node), rng_(options.seed, "faulty-storage", index(node)) {
  if (transparent()) return;
  for (const StoredFrame& found : inner.frames()) frames_[found.id] = {found.bytes, found.bytes, found.bytes, false};
}

// --- time ---

void FaultyStorage::advance(TimeNs now) {
  for (; timed_ < options_.timed.size() && options_.timed[timed_].at_ns <= now; ++timed_) {
    const FaultyStorageOptions::Timed& timed = options_.timed[timed_];
    (timed.fault == StorageFault::kBitFlip ? flips_due_ : armed_).push_back(timed);
  }
  std::erase_if(flips_due_, [this](const FaultyStorageOptions::Timed& timed) { return flip_bit(timed); });
}

TimeNs FaultyStorage::next_due() const {
  return timed_ < options_.timed.size() ? options_.timed[timed_].at_ns : kNever;
}

bool FaultyStorage::flip_bit(const FaultyStorageOptions::Timed& timed) {
  Rng rng(options_.seed ^ timed.salt, "bit-flip-stored", index(node_));
  std::uint64_t bytes = 0;
  for (const auto& [id, frame] : frames_) bytes += frame.freed ? 0 : std::min(frame.stored, frame.kept);
  if (bytes == 0) return false;
  std::uint64_t at = rng.below(bytes);
  for (const auto& [id, frame] : frames_) {
    const std::uint64_t here = frame.freed ? 0 : std::min(frame.stored, frame.kept);
    if (at < here) {
      flips_.push_back({id, at, std::byte{1} << static_cast<int>(rng.below(8))});
      ++faults_;
      return true;
    }
    at -= here;
  }
  return false;
}

// --- posting ---

void FaultyStorage::post(std::span<const StorageOp> ops) {
  if (transparent()) {
    inner_.post(ops);
    return;
  }
  for (const StorageOp& op : ops) {
    switch (op.kind) {
      case StorageOpKind::kAppend: append(op); break;
      case StorageOpKind::kRead:
        reading_.push_back(op);
        passing_.push_back(op);
        break;
      case StorageOpKind::kFree: free(op); break;
    }
  }
  if (!passing_.empty()) inner_.post(passing_);
  passing_.clear();
}

bool FaultyStorage::draw(StorageFault& fault, Rng& rng) {
  ++appends_;
  if (!armed_.empty()) {
    fault = armed_.front().fault;
    if (armed_.front().salt != 0) rng = Rng(options_.seed ^ armed_.front().salt, "cut", index(node_));
    armed_.erase(armed_.begin());
    return true;
  }
  while (scheduled_ < options_.schedule.size() && options_.schedule[scheduled_].append < appends_) ++scheduled_;
  if (scheduled_ == options_.schedule.size() || options_.schedule[scheduled_].append != appends_) return false;
  fault = options_.schedule[scheduled_].fault;
  return true;
}

void FaultyStorage::append(const StorageOp& op) {
  Frame& frame = frames_[op.frame];
  if (frame.freed) frame = {};
  StorageFault fault = StorageFault::kLost;
  Rng rng(rng_.next(), "cut");
  const bool fails = draw(fault, rng);
  if (fails) ++faults_;
  if (fails && fault == StorageFault::kFailed) {
    tell(EventKind::kStorageFailed, op.frame, static_cast<std::uint64_t>(options_.error));
    return;
  }
  frame.told += op.source.size();
  StorageOp kept = op;
  if (frame.lies || (fails && fault == StorageFault::kLost)) kept.source = {};
  if (!frame.lies && fails && fault == StorageFault::kShort && !op.source.empty()) {
    kept.source = op.source.first(rng.below(op.source.size()));
  }
  frame.lies = frame.lies || fails;
  frame.kept += kept.source.size();
  if (!kept.source.empty() || !frame.lies) {
    passing_.push_back(kept);
  } else if (frame.stored == frame.kept) {
    tell(EventKind::kStored, op.frame, frame.told);  // else when the last of what is kept is stored
  }
}

void FaultyStorage::free(const StorageOp& op) {
  std::erase_if(flips_, [&](const Flip& flip) { return flip.frame == op.frame; });
  const auto known = frames_.find(op.frame);
  if (known != frames_.end() && known->second.lies && known->second.kept == 0) {
    frames_.erase(known);  // there is nothing of it on the medium
    tell(EventKind::kFreed, op.frame, 0);
    return;
  }
  if (known != frames_.end()) known->second.freed = true;
  passing_.push_back(op);
}

void FaultyStorage::tell(EventKind kind, FrameId id, std::uint64_t amount) {
  Event event;
  event.kind = kind;
  event.tag = id;
  event.amount = amount;
  own_events_.push(event);
}

// --- polling ---

std::size_t FaultyStorage::poll(std::span<Event> events) {
  if (transparent()) return inner_.poll(events);
  std::size_t n = 0;
  for (; n < events.size() && !own_events_.empty(); ++n) {
    events[n] = own_events_.front();
    own_events_.pop();
  }
  const std::size_t end = n + inner_.poll(events.subspan(n));
  for (; n < end; ++n) falsify(events[n]);
  return n;
}

void FaultyStorage::falsify(Event& event) {
  const auto known = frames_.find(event.tag);
  switch (event.kind) {
    case EventKind::kStored:
      if (known == frames_.end()) return;
      known->second.stored = event.amount;
      if (known->second.lies && event.amount == known->second.kept) event.amount = known->second.told;
      return;
    case EventKind::kStorageRead:
    case EventKind::kStorageFailed: end_read(event); return;
    case EventKind::kFreed:
      if (known != frames_.end() && known->second.freed) frames_.erase(known);
      return;
    default: return;
  }
}

void FaultyStorage::end_read(const Event& event) {
  const auto read = std::find_if(reading_.begin(), reading_.end(), [&](const StorageOp& op) {
    return op.frame == event.tag && op.ticket == event.ticket;
  });
  if (read == reading_.end()) return;
  for (const Flip& flip : flips_) {
    if (event.kind != EventKind::kStorageRead || flip.frame != read->frame || flip.at < read->offset) continue;
    if (const std::uint64_t at = flip.at - read->offset; at < read->destination.size()) {
      read->destination[at] ^= flip.bit;
    }
  }
  reading_.erase(read);
}

}  // namespace slipstream
