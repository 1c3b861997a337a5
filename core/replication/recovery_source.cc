#include "core/replication/recovery_source.h"

#include <algorithm>
#include <cstring>

#include "core/log/key_hash.h"
#include "core/replication/replica_file.h"

namespace slipstream {
namespace {

constexpr std::size_t kHeldBytes = 640 * kMiB;  // those who come later find what was read for the first
constexpr std::size_t kWorkPerTurn = 128 * kKiB;
constexpr std::size_t kAnswerBytes = 512 * kKiB;

// Table and hash of the key that an entry is about.
bool key_of(EntryType type, ConstBytes contents, std::uint64_t& table, KeyHash& hash, bool& in_all) {
  in_all = false;
  switch (type) {
    case EntryType::kObject: {
      if (contents.size() < sizeof(ObjectHeader)) return false;
      const auto header = load<ObjectHeader>(contents.data());
      if (contents.size() < sizeof(header) + header.key_bytes) return false;
      table = header.table;
      hash = key_hash(table, contents.subspan(sizeof(header), header.key_bytes));
      return true;
    }
    case EntryType::kTombstone: {
      if (contents.size() < sizeof(TombstoneHeader)) return false;
      const auto header = load<TombstoneHeader>(contents.data());
      if (contents.size() < sizeof(header) + header.key_bytes) return false;
      table = header.table;
      hash = key_hash(table, contents.subspan(sizeof(header), header.key_bytes));
      return true;
    }
    case EntryType::kCompletion: {
      if (contents.size() != sizeof(CompletionRecord)) return false;
      const auto record = load<CompletionRecord>(contents.data());
      table = record.table;
      hash = record.key_hash;
      return true;
    }
    case EntryType::kSegmentHeader: in_all = true; return true;
    default: return false;
  }
}

}  // namespace

RecoverySource::Held* RecoverySource::held(const RecoveryData& body) {
  for (Held& held : held_) {
    if (is_of(held, body)) return &held;
  }
  return nullptr;
}

void RecoverySource::on_request(Channel channel, std::uint64_t tag, const RpcMessage& message,
                                const SegmentIdentity& identity, const Place& place, Outbox& out) {
  RecoveryData body;
  Waiting waiting{channel, tag, message.header, {}, {}};
  if (!read_body(message.body, body) || body.range >= body.ranges ||
      message.body.size() != sizeof(body) + body.ranges * sizeof(KeyRange) || body.bytes > segment_bytes_ ||
      (place.memory.size() < body.bytes && place.stored_bytes < body.bytes)) {
    return refuse(waiting, out);
  }
  waiting.body = body;
  waiting.ranges.resize(body.ranges);
  std::memcpy(waiting.ranges.data(), message.body.data() + sizeof(body), body.ranges * sizeof(KeyRange));
  Held* at = held(body);
  if (at == nullptr) at = &hold(body, identity, place, out);
  at->used = ++uses_;
  if (at->ranges.empty()) sort_for(*at, waiting.ranges);
  waiting_.push_back(std::move(waiting));
  if (at->phase == Phase::kReady || at->phase == Phase::kBad) serve(*at, out);
}

void RecoverySource::sort_for(Held& held, const std::vector<KeyRange>& ranges) {
  held.ranges = ranges;
  held.entries.assign(ranges.size(), {});
  held.sorted = 0;
  if (held.phase != Phase::kReady) return;
  held.phase = Phase::kSorting;
  ++working_;
}

RecoverySource::Held& RecoverySource::hold(const RecoveryData& body, const SegmentIdentity& identity,
                                           const Place& place, Outbox& out) {
  if (held_.size() >= (out.rare(Rare::kSmallCache) ? 1 : std::max<std::size_t>(8, kHeldBytes / segment_bytes_))) {
    // The one used least recently that nobody waits for gives way.
    auto oldest = held_.end();
    for (auto it = held_.begin(); it != held_.end(); ++it) {
      if (it->phase != Phase::kReady && (it->phase != Phase::kBad || it->ticket != 0)) continue;
      if (oldest == held_.end() || it->used < oldest->used) oldest = it;
    }
    if (oldest != held_.end()) held_.erase(oldest);
  }
  Held& held = held_.emplace_back();
  held.master = body.master;
  held.segment = body.segment;
  held.walk = CertificateWalk(identity);
  if (!place.memory.empty()) {
    held.bytes = place.memory.first(body.bytes);
    held.phase = Phase::kVerifying;
    ++working_;
    return held;
  }
  held.own = std::make_unique_for_overwrite<std::byte[]>(body.bytes);
  held.bytes = {held.own.get(), body.bytes};
  held.ticket = next_ticket_++;
  StorageOp op;
  op.kind = StorageOpKind::kRead;
  op.frame = frame_of(body.master, body.segment);
  op.destination = {held.own.get(), body.bytes};
  op.ticket = held.ticket;
  out.store(op);
  return held;
}

void RecoverySource::on_read(Ticket ticket, bool is_done) {
  for (Held& held : held_) {
    if (held.phase != Phase::kReading || held.ticket != ticket) continue;
    held.phase = is_done ? Phase::kVerifying : Phase::kBad;
    ++working_;
  }
}

void RecoverySource::forget(std::uint16_t master, std::uint64_t segment, Outbox& out) {
  std::erase_if(held_, [&](const Held& held) {
    if (held.master != master || held.segment != segment || held.own != nullptr) return false;
    if (held.phase == Phase::kVerifying || held.phase == Phase::kSorting) --working_;
    std::erase_if(waiting_, [&](const Waiting& w) {
      if (!is_of(held, w.body)) return false;
      out.dismiss(w.tag);
      return true;
    });
    return true;
  });
}

void RecoverySource::advance(Outbox& out) {
  for (std::size_t i = 0; working_ > 0 && i < held_.size();) {
    Held& held = held_[i];
    if (held.phase == Phase::kVerifying || held.phase == Phase::kSorting) return work_on(held, out);
    if (held.phase == Phase::kBad && held.ticket != 0) {  // could not be read; who asks again has it read again
      --working_;
      serve(held, out);
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

void RecoverySource::work_on(Held& held, Outbox& out) {
  if (held.phase == Phase::kVerifying && trusts_) {
    held.phase = Phase::kSorting;
    return;
  }
  if (held.phase == Phase::kVerifying) {
    const std::size_t before = held.walk.valid_bytes();
    const bool more = held.walk.advance(held.bytes, kWorkPerTurn);
    out.work(Work::kCrcBytes, held.walk.valid_bytes() - before);
    if (held.walk.valid_bytes() == held.bytes.size()) {
      held.phase = Phase::kSorting;
    } else if (!more) {
      held.phase = Phase::kBad;
      held.ticket = 0;
      --working_;
      serve(held, out);
    }
    return;
  }
  sort(held, out);
  if (held.sorted < held.bytes.size()) return;
  // The newest first, as the recovery master takes the segments: what was overwritten need not be replayed.
  for (std::vector<std::uint32_t>& entries : held.entries) std::reverse(entries.begin(), entries.end());
  held.phase = Phase::kReady;
  --working_;
  serve(held, out);
}

void RecoverySource::sort(Held& held, Outbox& out) {
  const std::size_t stop_at = held.sorted + kWorkPerTurn;
  std::uint64_t looked_at = 0;
  while (held.sorted < held.bytes.size() && held.sorted < stop_at) {
    const std::size_t left = held.bytes.size() - held.sorted;
    const auto header = left < kEntryHeaderBytes ? EntryHeader() : load<EntryHeader>(held.bytes.data() + held.sorted);
    if (left < kEntryHeaderBytes || header.length() > left - kEntryHeaderBytes) {  // only where bytes are trusted
      held.sorted = static_cast<std::uint32_t>(held.bytes.size());
      break;
    }
    const ConstBytes contents = held.bytes.subspan(held.sorted + kEntryHeaderBytes, header.length());
    std::uint64_t table = 0;
    KeyHash hash = 0;
    bool in_all = false;
    if (key_of(header.type(), contents, table, hash, in_all)) {
      ++looked_at;
      for (std::size_t r = 0; r < held.ranges.size(); ++r) {
        if (in_all || held.ranges[r].holds(table, hash)) held.entries[r].push_back(held.sorted);
      }
    }
    held.sorted += static_cast<std::uint32_t>(kEntryHeaderBytes + header.length());
  }
  out.work(Work::kHashProbe, looked_at);
}

void RecoverySource::serve(Held& held, Outbox& out) {
  const auto is_for = [&](const Waiting& w) { return is_of(held, w.body); };
  const auto is_served = [&](const Waiting& w) {
    return is_for(w) && (held.phase == Phase::kBad || w.ranges == held.ranges);
  };
  for (const Waiting& waiting : waiting_) {
    if (!is_served(waiting)) continue;
    if (held.phase == Phase::kBad) {
      refuse(waiting, out);
    } else {
      answer(waiting, held, out);
    }
  }
  std::erase_if(waiting_, is_served);
  const auto next = std::find_if(waiting_.begin(), waiting_.end(), is_for);
  if (next != waiting_.end()) sort_for(held, next->ranges);
}

void RecoverySource::answer(const Waiting& waiting, const Held& held, Outbox& out) {
  const std::vector<std::uint32_t>& entries = held.entries[waiting.body.range];
  std::size_t end = waiting.body.cursor;
  std::size_t bytes = 0;
  for (; end < entries.size(); ++end) {
    const auto header = load<EntryHeader>(held.bytes.data() + entries[end]);
    const std::size_t size = kEntryHeaderBytes + header.length();
    if (bytes > 0 && (bytes + size > kAnswerBytes || out.rare(Rare::kSmallAnswer))) break;
    bytes += size;
  }
  RpcHeader header = waiting.header;
  header.is_answer = 1;
  header.status = Status::kOk;
  RecoveryDataAnswer body;
  body.next = end < entries.size() ? static_cast<std::uint32_t>(end) : 0;
  body.bytes = static_cast<std::uint32_t>(bytes);
  std::byte* at = answer_room(waiting, sizeof(header) + sizeof(body) + bytes, out);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), &body, sizeof(body));
  at += sizeof(header) + sizeof(body);
  for (std::size_t i = waiting.body.cursor; i < end; ++i) {
    const std::byte* const entry = held.bytes.data() + entries[i];
    const std::size_t size = kEntryHeaderBytes + load<EntryHeader>(entry).length();
    std::memcpy(at, entry, size);
    at += size;
  }
  out.work(Work::kCopyBytes, bytes);
}

void RecoverySource::refuse(const Waiting& waiting, Outbox& out) {
  RpcHeader header = waiting.header;
  header.is_answer = 1;
  header.status = Status::kLost;
  const RecoveryDataAnswer body;
  std::byte* const at = answer_room(waiting, sizeof(header) + sizeof(body), out);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), &body, sizeof(body));
}

std::byte* RecoverySource::answer_room(const Waiting& waiting, std::size_t bytes, Outbox& out) {
  if (waiting.channel != kOwnNode) return out.send(waiting.channel, bytes, waiting.tag, Work::kControlMessageOut);
  return own_answers_.emplace_back(bytes).data();
}

}  // namespace slipstream
