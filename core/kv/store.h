// The objects of one server: executes items against log and index. Mutations are recorded with their answer in the
// batch that carries their effect, so they take effect exactly once (RIFL; design section 3). It says nothing about
// when an answer may leave: that is core/kv/master.h's.
//
// Invariants: the newest version of every live object is in the index; versions of a key only rise, also across
// removes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/kv/hash_index.h"
#include "core/kv/tablets.h"
#include "core/kv/wire.h"
#include "core/log/log.h"
#include "core/log/side_log.h"
#include "core/rpc/completion_table.h"
#include "core/turn/outbox.h"

namespace slipstream {

struct ItemResult {
  Status status = Status::kOk;
  std::uint64_t version = 0;
  ConstBytes value;           // reads: in log memory
  std::uint64_t counter = 0;  // increments: the value after it
  bool has_counter = false;
  EntryRef seen = 0;  // the entry that the outcome rests on; 0: an absence
  bool drop = false;  // a repeat whose answer the client already has
};

class KvStore {
 public:
  KvStore(Log& log, NodeId self) : log_(log), self_(self) {}

  // Policy onesided-unsafe: what was replayed is served as it is, intact or not.
  void trust() { trusts_ = true; }
  // Objects of tablets that were ours, and are not any more, no longer count.
  void set_tablets(TabletMap tablets);

  // The two looks ahead: bring the bucket, then the entry, into the cache. Many of them overlap. The entry is loaded,
  // not prefetched: a prefetch is dropped where the page's translation is not at hand, and the log has many pages.
  void touch_bucket(KeyHash hash) const { index_.prefetch(hash); }
  void touch_entry(KeyHash hash) const {
    const EntryRef ref = index_.candidate(hash);
    if (ref == 0) return;
    const std::byte* const entry = log_.entry(ref);
    static_cast<void>(*static_cast<const volatile std::byte*>(entry));
    __builtin_prefetch(entry + 64);
  }

  ItemResult execute(std::uint32_t client, std::uint64_t acked_below, const KvItemHeader& item, ConstBytes key,
                     ConstBytes value, KeyHash hash, Outbox& out);
  bool holds(std::uint64_t table, KeyHash hash) const { return tablets_.server_of(table, hash) == self_; }
  std::size_t objects() const { return index_.size(); }

  // Clients whose leases have not ended, rising; who has an id up to `latest` and is not among them is refused.
  void set_clients(std::vector<std::uint32_t> alive, std::uint32_t latest);

  // What a recovery has seen removed: an object may come after its tombstone.
  using Removed = std::unordered_map<std::string, std::uint64_t>;
  enum class Replayed : std::uint8_t { kDone, kCorrupt, kLogFull };
  // Takes an entry of a dead master's log, in any order among them: the newest version wins. What counts is appended
  // to `side`, and served once its tablet is ours.
  Replayed replay(EntryType type, ConstBytes contents, Removed& removed, SideLog& side, Outbox& out);
  // Everything in these slots is dropped from index and completion table: a recovery was given up.
  void forget(std::span<const std::uint32_t> slots);

  // For the cleaner (cleaning.cc). An entry of a closed segment, and whether the log must go on to hold it.
  struct Entry {
    EntryRef at = 0;
    EntryType type = EntryType::kCertificate;
    std::uint32_t bytes = 0;  // with its header
    KeyHash hash = 0;
    bool counts = false;
    std::uint64_t* word = nullptr;  // of the index, which leads to it
  };
  // Looks ahead: what of it needs no look at the index.
  Entry entry_at(EntryRef at) const;
  // `oldest_dead`: no segment before this one holds objects that no longer count.
  void examine(Entry& entry, std::uint64_t oldest_dead, Outbox& out);
  // It was copied to `to`; what counted where it was no longer does. Right after examine().
  void moved(const Entry& entry, EntryRef to);
  // A tombstone is left behind: what it removed is nowhere any more.
  void dropped(const Entry& entry);
  // Calls visit(where it is) for each completion record that counts.
  template <typename Visit>
  void for_each_completion(Visit&& visit) const {
    for (const std::uint32_t id : completions_.ids()) completions_.find(id)->for_each(visit);
  }
  static constexpr std::size_t kCompletionBytes = kEntryHeaderBytes + sizeof(CompletionRecord);

 private:
  struct Object {
    EntryRef ref = 0;
    ObjectHeader header;
    ConstBytes key;
    ConstBytes value;
    bool intact = false;
  };

  Object object_at(EntryRef ref) const;
  std::uint64_t* look_up(std::uint64_t table, ConstBytes key, KeyHash hash, Outbox& out);
  ItemResult read(const KvItemHeader& item, ConstBytes key, KeyHash hash, Outbox& out);
  ItemResult mutate(const KvItemHeader& item, ConstBytes key, ConstBytes value, KeyHash hash,
                    CompletionTable::Client& client, std::uint32_t client_id, Outbox& out);
  bool is_refused(std::uint32_t client);
  static std::size_t bytes_of(const Object& object) {
    return kEntryHeaderBytes + sizeof(ObjectHeader) + object.key.size() + object.value.size();
  }
  Replayed replay_object(ConstBytes contents, const Removed& removed, SideLog& side, Outbox& out);
  Replayed replay_tombstone(ConstBytes contents, Removed& removed, SideLog& side, Outbox& out);
  Replayed replay_completion(ConstBytes contents, SideLog& side, Outbox& out);
  // Where the effect (if there is one) and the record lie.
  struct Appended {
    EntryRef effect = 0;
    EntryRef record = 0;
    std::size_t effect_bytes = 0;
  };
  bool append_mutation(const KvItemHeader& item, ConstBytes key, ConstBytes value, const CompletionRecord& record,
                       bool effect, Appended& appended, Outbox& out);

  Log& log_;
  NodeId self_;
  TabletMap tablets_;
  HashIndex index_;
  CompletionTable completions_;
  std::vector<std::uint32_t> clients_;
  bool trusts_ = false;
  std::uint32_t latest_client_ = 0;
  std::uint32_t allowed_client_ = 0;  // the last that was looked up and found
};

}  // namespace slipstream
