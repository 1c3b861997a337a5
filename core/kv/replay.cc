// The replay of a dead master's entries: the part of KvStore that recovery uses.
#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/mutation.h"
#include "core/kv/store.h"
#include "core/log/certificate_walk.h"

namespace slipstream {
namespace {

// The crc of an entry whose contents start with it.
template <typename Header>
bool is_intact(ConstBytes contents, const Header& header) {
  return header.crc == crc32c(0xffffffff, contents.subspan(sizeof(std::uint32_t)));
}

template <typename Header>
bool has_key(ConstBytes contents, Header& header, bool trusts) {
  if (contents.size() < sizeof(Header)) return false;
  header = load<Header>(contents.data());
  return contents.size() >= sizeof(Header) + header.key_bytes && (trusts || is_intact(contents, header));
}

std::string name_of(std::uint64_t table, ConstBytes key) {
  std::string name(sizeof(table) + key.size(), char{0});
  std::memcpy(name.data(), &table, sizeof(table));
  if (!key.empty()) std::memcpy(name.data() + sizeof(table), key.data(), key.size());
  return name;
}

std::byte* append_entry(SideLog& side, EntryType type, ConstBytes contents, Outbox& out) {
  std::byte* const at = side.append(kEntryHeaderBytes + contents.size(), out);
  if (at == nullptr) return nullptr;
  put_entry(at, type, contents);
  out.work(Work::kLogAppend);
  out.work(Work::kCopyBytes, kEntryHeaderBytes + contents.size());
  return at;
}

}  // namespace

KvStore::Replayed KvStore::replay(EntryType type, ConstBytes contents, Removed& removed, SideLog& side, Outbox& out) {
  out.work(Work::kCrcBytes, contents.size());
  // No master has ever appended what does not fit into a segment.
  if (kEntryHeaderBytes + contents.size() > log_.max_append_bytes()) return Replayed::kCorrupt;
  switch (type) {
    case EntryType::kObject: return replay_object(contents, removed, side, out);
    case EntryType::kTombstone: return replay_tombstone(contents, removed, side, out);
    case EntryType::kCompletion: return replay_completion(contents, side, out);
    case EntryType::kSegmentHeader:
      if (contents.size() != sizeof(SegmentHeader)) return Replayed::kCorrupt;
      if (mutated(Mutant::kNoSafeVersion)) return Replayed::kDone;
      log_.raise_safe_version(load<SegmentHeader>(contents.data()).safe_version);
      return Replayed::kDone;
    default: return Replayed::kDone;
  }
}

KvStore::Replayed KvStore::replay_object(ConstBytes contents, const Removed& removed, SideLog& side, Outbox& out) {
  ObjectHeader header;
  if (!has_key(contents, header, trusts_)) return Replayed::kCorrupt;
  const ConstBytes key = contents.subspan(sizeof(header), header.key_bytes);
  const KeyHash hash = key_hash(header.table, key);
  std::uint64_t* const word = look_up(header.table, key, hash, out);
  if (word != nullptr && object_at(HashIndex::ref(*word)).header.version >= header.version &&
      !mutated(Mutant::kOldVersionWins)) {
    return Replayed::kDone;
  }
  if (!removed.empty() && !mutated(Mutant::kForgetsRemoved)) {
    const auto gone = removed.find(name_of(header.table, key));
    if (gone != removed.end() && gone->second > header.version) return Replayed::kDone;
  }
  const std::byte* const at = append_entry(side, EntryType::kObject, contents, out);
  if (at == nullptr) return Replayed::kLogFull;
  log_.add_live(log_.ref(at), kEntryHeaderBytes + contents.size());
  if (word != nullptr) {
    const Object old = object_at(HashIndex::ref(*word));
    log_.add_dead(old.ref, bytes_of(old));
    index_.update(word, hash, log_.ref(at));
    return Replayed::kDone;
  }
  index_.insert(hash, log_.ref(at), [this](EntryRef ref) {
    const Object object = object_at(ref);
    return key_hash(object.header.table, object.key);
  });
  return Replayed::kDone;
}

KvStore::Replayed KvStore::replay_tombstone(ConstBytes contents, Removed& removed, SideLog& side, Outbox& out) {
  TombstoneHeader header;
  if (!has_key(contents, header, trusts_)) return Replayed::kCorrupt;
  if (mutated(Mutant::kDroppedTombstone)) return Replayed::kDone;
  const ConstBytes key = contents.subspan(sizeof(header), header.key_bytes);
  std::uint64_t& version = removed[name_of(header.table, key)];
  version = std::max(version, header.version);
  if (!mutated(Mutant::kNoSafeVersion)) log_.raise_safe_version(header.version);
  std::uint64_t* const word = look_up(header.table, key, key_hash(header.table, key), out);
  if (word == nullptr) return Replayed::kDone;
  const Object object = object_at(HashIndex::ref(*word));
  if (object.header.version > header.version) return Replayed::kDone;
  // The object is in our log now, so its removal must be, too.
  const std::byte* const at = append_entry(side, EntryType::kTombstone, contents, out);
  if (at == nullptr) return Replayed::kLogFull;
  std::byte* const ours = const_cast<std::byte*>(at) + kEntryHeaderBytes;
  header.segment = log_.last_segment();
  store(ours, header);
  header.crc = crc32c(0xffffffff, ConstBytes(ours, contents.size()).subspan(sizeof(std::uint32_t)));
  store(ours, header);
  log_.add_tombstone(log_.ref(at), kEntryHeaderBytes + contents.size(), header.segment);
  log_.add_dead(object.ref, bytes_of(object));
  index_.erase(word);
  return Replayed::kDone;
}

KvStore::Replayed KvStore::replay_completion(ConstBytes contents, SideLog& side, Outbox& out) {
  if (contents.size() != sizeof(CompletionRecord)) return Replayed::kCorrupt;
  const auto record = load<CompletionRecord>(contents.data());
  if (!trusts_ && !is_intact(contents, record)) return Replayed::kCorrupt;
  // Nothing was executed that its client had the answer to, or that was too far ahead.
  if (record.sequence - record.acked_below >= kMutationWindow) return trusts_ ? Replayed::kDone : Replayed::kCorrupt;
  if (is_refused(record.client) || mutated(Mutant::kLostCompletion)) return Replayed::kDone;
  CompletionTable::Client& client = completions_.client(record.client);
  out.work(Work::kExactlyOnce);
  const MutationResult result{static_cast<Status>(record.status), record.version, record.counter};
  if (!client.replay(record.sequence, record.acked_below, result)) return Replayed::kDone;
  const std::byte* const at = append_entry(side, EntryType::kCompletion, contents, out);
  if (at == nullptr) {
    client.forget(record.sequence);
    return Replayed::kLogFull;
  }
  client.set_place(record.sequence, log_.ref(at));
  return Replayed::kDone;
}

void KvStore::forget(std::span<const std::uint32_t> slots) {
  index_.erase_if([&](EntryRef ref) { return std::find(slots.begin(), slots.end(), slot_of(ref)) != slots.end(); });
  for (const std::uint32_t slot : slots) {
    const Segment& segment = log_.slot(slot);
    for_each_entry(segment.memory.first(segment.appended), [&](EntryType type, ConstBytes contents, std::size_t at) {
      if (type != EntryType::kCompletion) return;
      const auto record = load<CompletionRecord>(contents.data());
      CompletionTable::Client* const client = completions_.find(record.client);
      const EntryRef place = EntryRef{slot} << 24 | at;
      if (client != nullptr && client->counts(record.sequence, place)) client->forget(record.sequence);
    });
  }
}

}  // namespace slipstream
