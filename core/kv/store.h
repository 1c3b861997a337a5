// The objects of one server: executes items against log and index. Mutations are recorded with their answer in the
// batch that carries their effect, so they take effect exactly once (RIFL; design section 3). It says nothing about
// when an answer may leave: that is core/kv/master.h's.
//
// Invariants: the newest version of every live object is in the index; versions of a key only rise, also across
// removes.
#pragma once

#include <cstdint>

#include "core/kv/hash_index.h"
#include "core/kv/tablets.h"
#include "core/kv/wire.h"
#include "core/log/log.h"
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

  void set_tablets(TabletMap tablets) { tablets_ = std::move(tablets); }

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
  bool append_mutation(const KvItemHeader& item, ConstBytes key, ConstBytes value, const CompletionRecord& record,
                       bool effect, std::uint64_t dead_segment, EntryRef& ref, Outbox& out);

  Log& log_;
  NodeId self_;
  TabletMap tablets_;
  HashIndex index_;
  CompletionTable completions_;
  std::uint64_t safe_version_ = 0;  // at least every version of a removed object
};

}  // namespace slipstream
