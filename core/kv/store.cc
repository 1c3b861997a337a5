#include "core/kv/store.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/check.h"
#include "core/base/crc32c.h"

namespace slipstream {
namespace {

// The crc of an entry whose contents start with it.
std::uint32_t contents_crc(ConstBytes contents) { return crc32c(0xffffffff, contents.subspan(sizeof(std::uint32_t))); }

template <typename Header>
std::byte* put_keyed(std::byte* at, EntryType type, Header header, ConstBytes key, ConstBytes value) {
  const std::size_t length = sizeof(Header) + key.size() + value.size();
  store(at, EntryHeader(type, length));
  std::byte* const contents = at + kEntryHeaderBytes;
  store(contents, header);
  if (!key.empty()) std::memcpy(contents + sizeof(Header), key.data(), key.size());
  if (!value.empty()) std::memcpy(contents + sizeof(Header) + key.size(), value.data(), value.size());
  store(contents, contents_crc({contents, length}));
  return contents + length;
}

}  // namespace

KvStore::Object KvStore::object_at(EntryRef ref) const {
  const std::byte* const at = log_.entry(ref);
  const auto entry = load<EntryHeader>(at);
  SLIP_CHECK(entry.type() == EntryType::kObject, "index leads to {} at {:x}", name(entry.type()), ref);
  const ConstBytes contents(at + kEntryHeaderBytes, entry.length());
  Object object;
  object.ref = ref;
  object.header = load<ObjectHeader>(contents.data());
  object.key = contents.subspan(sizeof(ObjectHeader), object.header.key_bytes);
  object.value = contents.subspan(sizeof(ObjectHeader) + object.header.key_bytes);
  return object;
}

std::uint64_t* KvStore::look_up(std::uint64_t table, ConstBytes key, KeyHash hash, Outbox& out) {
  out.work(Work::kHashProbe);
  return index_.find(hash, [&](EntryRef ref) {
    const Object object = object_at(ref);
    return object.header.table == table && object.key.size() == key.size() &&
           std::memcmp(object.key.data(), key.data(), key.size()) == 0;
  });
}

ItemResult KvStore::execute(std::uint32_t client, std::uint64_t acked_below, const KvItemHeader& item, ConstBytes key,
                            ConstBytes value, KeyHash hash, Outbox& out) {
  ItemResult result;
  if (!holds(item.table, hash)) {
    result.status = Status::kWrongServer;
    return result;
  }
  if (!is_mutation(item.kind)) return read(item, key, hash, out);
  if (is_refused(client)) {
    result.status = Status::kDead;
    return result;
  }

  out.work(Work::kExactlyOnce);
  CompletionTable::Client& completions = completions_.client(client);
  MutationResult earlier;
  switch (completions.look_up(item.sequence, acked_below, earlier)) {
    case CompletionTable::Verdict::kAnswered:
      result.status = Status::kStale;
      result.drop = true;
      return result;
    case CompletionTable::Verdict::kTooFar: result.status = Status::kBadRequest; return result;
    case CompletionTable::Verdict::kRepeat:
      result.status = earlier.status;
      result.version = earlier.version;
      result.counter = earlier.counter;
      result.has_counter = item.kind == KvKind::kIncrement && earlier.status == Status::kOk;
      return result;
    case CompletionTable::Verdict::kNew: break;
  }
  return mutate(item, key, value, hash, completions, client, out);
}

ItemResult KvStore::read(const KvItemHeader& item, ConstBytes key, KeyHash hash, Outbox& out) {
  ItemResult result;
  out.work(Work::kRead);
  const std::uint64_t* const word = look_up(item.table, key, hash, out);
  if (word == nullptr) {
    result.status = Status::kNotFound;
    return result;
  }
  const Object object = object_at(HashIndex::ref(*word));
  const std::byte* const contents = log_.entry(object.ref) + kEntryHeaderBytes;
  const std::size_t length = sizeof(ObjectHeader) + object.key.size() + object.value.size();
  out.work(Work::kCrcBytes, length);
  SLIP_CHECK(trusts_ || contents_crc({contents, length}) == object.header.crc, "object at {:x} is corrupt", object.ref);
  result.version = object.header.version;
  result.value = object.value;
  result.seen = object.ref;
  return result;
}

ItemResult KvStore::mutate(const KvItemHeader& item, ConstBytes key, ConstBytes value, KeyHash hash,
                           CompletionTable::Client& client, std::uint32_t client_id, Outbox& out) {
  ItemResult result;
  std::uint64_t* word = look_up(item.table, key, hash, out);
  const Object old = word == nullptr ? Object{} : object_at(HashIndex::ref(*word));
  const std::uint64_t found = old.header.version;  // 0: absent
  const std::uint64_t next = std::max(found, log_.safe_version()) + 1;

  bool effect = true;
  std::array<std::byte, sizeof(std::uint64_t)> counter;
  if (item.kind == KvKind::kIncrement) {
    if (word != nullptr && old.value.size() != sizeof(std::uint64_t)) {
      result.status = Status::kNotANumber;
      effect = false;
    } else {
      result.counter = (word == nullptr ? 0 : load<std::uint64_t>(old.value.data())) + item.argument;
      result.has_counter = true;
      store(counter.data(), result.counter);
      value = counter;
    }
  } else if (item.argument != kAnyVersion && item.argument != found) {
    result.status = Status::kVersionMismatch;
    effect = false;
  } else if (item.kind == KvKind::kRemove && word == nullptr) {
    result.status = Status::kNotFound;
    effect = false;
  }
  result.version = effect ? next : found;

  CompletionRecord record;
  record.client = client_id;
  record.sequence = item.sequence;
  record.acked_below = client.acked_below();
  record.table = item.table;
  record.key_hash = hash;
  record.version = result.version;
  record.counter = result.counter;
  record.status = static_cast<std::uint32_t>(result.status);
  Appended appended;
  if (!append_mutation(item, key, value, record, effect, appended, out)) {
    result = ItemResult{};
    result.status = Status::kLogFull;
    return result;
  }
  out.work(Work::kMutation);
  client.record(item.sequence, {result.status, result.version, result.counter}, appended.record);
  if (!effect) return result;
  if (word != nullptr) log_.add_dead(old.ref, bytes_of(old));
  if (item.kind == KvKind::kRemove) {
    index_.erase(word);
    log_.raise_safe_version(next);
    return result;
  }
  log_.add_live(appended.effect, appended.effect_bytes);
  if (word != nullptr) {
    index_.update(word, hash, appended.effect);
  } else {
    index_.insert(hash, appended.effect, [this](EntryRef r) {
      const Object object = object_at(r);
      return key_hash(object.header.table, object.key);
    });
  }
  return result;
}

bool KvStore::is_refused(std::uint32_t client) {
  if (client == allowed_client_ || client > latest_client_) return false;
  if (!std::binary_search(clients_.begin(), clients_.end(), client)) return true;
  allowed_client_ = client;
  return false;
}

void KvStore::set_clients(std::vector<std::uint32_t> alive, std::uint32_t latest) {
  for (const std::uint32_t client : clients_) {
    if (!std::binary_search(alive.begin(), alive.end(), client)) completions_.drop(client);
  }
  clients_ = std::move(alive);
  latest_client_ = latest;
  allowed_client_ = 0;
}

// Effect and completion record in one append: both are there after a crash, or neither.
bool KvStore::append_mutation(const KvItemHeader& item, ConstBytes key, ConstBytes value,
                              const CompletionRecord& record, bool effect, Appended& appended, Outbox& out) {
  const bool remove = item.kind == KvKind::kRemove;
  const std::size_t header = remove ? sizeof(TombstoneHeader) : sizeof(ObjectHeader);
  const std::size_t effect_bytes = effect ? kEntryHeaderBytes + header + key.size() + (remove ? 0 : value.size()) : 0;
  const std::size_t bytes = effect_bytes + kEntryHeaderBytes + sizeof(CompletionRecord);
  std::byte* at = log_.append(bytes, out);
  if (at == nullptr) return false;
  appended.effect = log_.ref(at);
  appended.effect_bytes = effect_bytes;
  appended.record = appended.effect + effect_bytes;
  if (effect && remove) {
    TombstoneHeader tombstone;
    tombstone.key_bytes = item.key_bytes;
    tombstone.table = item.table;
    tombstone.version = record.version;
    tombstone.segment = log_.last_segment();
    log_.add_tombstone(appended.effect, effect_bytes, tombstone.segment);
    at = put_keyed(at, EntryType::kTombstone, tombstone, key, {});
  } else if (effect) {
    ObjectHeader object;
    object.key_bytes = item.key_bytes;
    object.table = item.table;
    object.version = record.version;
    at = put_keyed(at, EntryType::kObject, object, key, value);
  }
  put_keyed(at, EntryType::kCompletion, record, {}, {});
  out.work(Work::kLogAppend);
  out.work(Work::kCopyBytes, bytes);
  out.work(Work::kCrcBytes, bytes);
  return true;
}

}  // namespace slipstream
