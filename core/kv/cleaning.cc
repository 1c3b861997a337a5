// What counts, and what leads to it: the part of KvStore that the cleaner uses.
#include <cstring>

#include "core/base/mutation.h"
#include "core/kv/store.h"

namespace slipstream {

void KvStore::set_tablets(TabletMap tablets) {
  const auto is_kept = [&](const Tablet& old) {
    if (old.server != self_) return true;
    for (const Tablet& t : tablets.tablets()) {
      if (t.server == self_ && t.table == old.table && t.first <= old.first && t.last >= old.last) return true;
    }
    return false;
  };
  bool are_kept = true;
  for (const Tablet& old : tablets_.tablets()) are_kept = are_kept && is_kept(old);
  if (!are_kept) {
    index_.erase_if([&](EntryRef ref) {
      const Object object = object_at(ref);
      const KeyHash hash = key_hash(object.header.table, object.key);
      if (!holds(object.header.table, hash) || tablets.server_of(object.header.table, hash) == self_) return false;
      log_.add_dead(ref, bytes_of(object));
      return true;
    });
  }
  tablets_ = std::move(tablets);
}

KvStore::Entry KvStore::entry_at(EntryRef at) const {
  const std::byte* const from = log_.entry(at);
  const auto header = load<EntryHeader>(from);
  Entry entry;
  entry.at = at;
  entry.type = header.type();
  entry.bytes = static_cast<std::uint32_t>(kEntryHeaderBytes + header.length());
  const std::byte* const contents = from + kEntryHeaderBytes;
  if (entry.type == EntryType::kObject) {
    const auto object = load<ObjectHeader>(contents);
    entry.hash = key_hash(object.table, {contents + sizeof(object), object.key_bytes});
    index_.prefetch(entry.hash);
  } else if (entry.type == EntryType::kTombstone) {
    const auto tombstone = load<TombstoneHeader>(contents);
    entry.hash = key_hash(tombstone.table, {contents + sizeof(tombstone), tombstone.key_bytes});
    index_.prefetch(entry.hash);
  }
  return entry;
}

void KvStore::examine(Entry& entry, std::uint64_t oldest_dead, Outbox& out) {
  const std::byte* const contents = log_.entry(entry.at) + kEntryHeaderBytes;
  if (entry.type == EntryType::kObject) {
    out.work(Work::kHashProbe);
    entry.word = index_.find(entry.hash, [&](EntryRef ref) { return ref == entry.at; });
    entry.counts = entry.word != nullptr;
  } else if (entry.type == EntryType::kTombstone) {
    // All that it removed was dead before it came, in segments up to the one that it names. A younger object of the
    // key stands above the same ones, and so will the tombstone that ends it.
    const auto tombstone = load<TombstoneHeader>(contents);
    entry.counts = tombstone.segment >= oldest_dead;
    if (mutated(Mutant::kCleanedTombstones)) entry.counts = false;
    if (!entry.counts) return;
    const ConstBytes key(contents + sizeof(tombstone), tombstone.key_bytes);
    entry.counts = look_up(tombstone.table, key, entry.hash, out) == nullptr;
  } else if (entry.type == EntryType::kCompletion) {
    const auto record = load<CompletionRecord>(contents);
    const CompletionTable::Client* const client = completions_.find(record.client);
    entry.counts = client != nullptr && client->counts(record.sequence, entry.at);
    if (mutated(Mutant::kCleanedCompletions)) entry.counts = false;
  }
}

void KvStore::moved(const Entry& entry, EntryRef to) {
  const std::byte* const contents = log_.entry(entry.at) + kEntryHeaderBytes;
  switch (entry.type) {
    case EntryType::kObject:
      index_.update(entry.word, entry.hash, to);
      // Into another segment: its own goes on to hold it in its replicas, as if it were dead.
      if (log_.segment_at(entry.at) == log_.segment_at(to)) {
        log_.leave(entry.at, entry.bytes);
      } else {
        log_.add_dead(entry.at, entry.bytes);
      }
      log_.add_live(to, entry.bytes);
      return;
    case EntryType::kTombstone:
      log_.drop_tombstone(entry.at, entry.bytes);
      log_.add_tombstone(to, entry.bytes, load<TombstoneHeader>(contents).segment);
      return;
    case EntryType::kCompletion: {
      const auto record = load<CompletionRecord>(contents);
      completions_.find(record.client)->set_place(record.sequence, to);
      return;
    }
    default: return;
  }
}

void KvStore::dropped(const Entry& entry) {
  if (entry.type == EntryType::kTombstone) log_.drop_tombstone(entry.at, entry.bytes);
}

}  // namespace slipstream
