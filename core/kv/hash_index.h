// From key hash to log entry: buckets of one cache line, seven entries and an overflow link each (RAMCloud's HashTable,
// TOCS'15, section 3.3). An entry is a 24-bit tag of the hash over a 40-bit entry reference; the caller tells false
// hits from true ones by comparing keys. Doubles when it is three quarters full: each insert then moves one bucket of
// the old table to the new one, so none of them takes long.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/log/key_hash.h"
#include "core/log/log.h"

namespace slipstream {

class HashIndex {
 public:
  explicit HashIndex(std::size_t expected_entries = 1024) {
    std::size_t buckets = 1;
    while (buckets * kPerBucket * 3 / 4 < expected_entries) buckets *= 2;
    table_ = Table(buckets);
  }

  std::size_t size() const { return size_; }
  void prefetch(KeyHash hash) const { __builtin_prefetch(&table_of(hash).first(hash)); }

  // A word of the index that may lead to the key, for prefetching what it refers to; 0: none.
  EntryRef candidate(KeyHash hash) const {
    const Bucket& bucket = table_of(hash).first(hash);
    for (std::size_t i = 0; i < kPerBucket; ++i) {
      if (bucket.words[i] != 0 && bucket.words[i] >> kEntryRefBits == tag_of(hash)) return bucket.words[i] & kRefMask;
    }
    return 0;
  }

  // The word whose entry is_key(ref) accepts; nullptr: absent. Valid until the next insert.
  template <typename IsKey>
  std::uint64_t* find(KeyHash hash, IsKey&& is_key) {
    Table& table = table_of(hash);
    for (Bucket* bucket = &table.first(hash);; bucket = &table.overflow[bucket->overflow - 1]) {
      for (std::uint64_t& word : bucket->words) {
        if (word != 0 && word >> kEntryRefBits == tag_of(hash) && is_key(word & kRefMask)) return &word;
      }
      if (bucket->overflow == 0) return nullptr;
    }
  }

  static EntryRef ref(std::uint64_t word) { return word & kRefMask; }
  void update(std::uint64_t* word, KeyHash hash, EntryRef ref) { *word = tag_of(hash) << kEntryRefBits | ref; }
  void erase(std::uint64_t* word) {
    *word = 0;
    --size_;
  }

  // Of all entries; for rare occasions.
  template <typename Condition>
  void erase_if(Condition&& condition) {
    for (Table* table : {&table_, &old_}) {
      for (const std::span<Bucket> list : {table->buckets(), std::span(table->overflow)}) {
        for (Bucket& bucket : list) {
          for (std::uint64_t& word : bucket.words) {
            if (word != 0 && condition(ref(word))) erase(&word);
          }
        }
      }
    }
  }

  // For a key that is absent. hash_of(ref) gives an entry's hash anew when the index doubles. Ref 0 is never a key's:
  // the log starts with a segment header.
  template <typename HashOf>
  void insert(KeyHash hash, EntryRef ref, HashOf&& hash_of) {
    SLIP_CHECK(ref != 0 && ref <= kRefMask);
    if (old_.count == 0 && size_ >= table_.count * kPerBucket * 3 / 4) {
      old_ = std::exchange(table_, Table(table_.count * 2));
      moved_ = 0;
    }
    if (old_.count != 0) move_bucket(hash_of);
    place(table_of(hash), hash, ref);
    ++size_;
  }

 private:
  static constexpr std::size_t kPerBucket = 7;
  static constexpr std::uint64_t kRefMask = (std::uint64_t{1} << kEntryRefBits) - 1;
  struct alignas(64) Bucket {
    std::uint64_t words[kPerBucket] = {};
    std::uint64_t overflow = 0;  // 1 + index of the next bucket of the chain
  };

  // All zero at first. Large ones come from the system so, page by page, when they are touched.
  struct Table {
    Table() = default;
    explicit Table(std::size_t buckets) : count(buckets), memory(std::calloc(buckets + 1, sizeof(Bucket))) {
      SLIP_CHECK(memory != nullptr, "no memory for an index of {} buckets", buckets);
      const auto at = reinterpret_cast<std::uintptr_t>(memory.get());
      start = reinterpret_cast<Bucket*>((at + alignof(Bucket) - 1) / alignof(Bucket) * alignof(Bucket));
    }

    Bucket& first(KeyHash hash) const { return start[hash & (count - 1)]; }
    std::span<Bucket> buckets() const { return {start, count}; }

    struct Free {
      void operator()(void* taken) const { std::free(taken); }
    };
    std::size_t count = 0;
    std::unique_ptr<void, Free> memory;
    Bucket* start = nullptr;
    std::vector<Bucket> overflow;
  };

  static std::uint64_t tag_of(KeyHash hash) { return hash >> kEntryRefBits; }
  bool is_in_old(KeyHash hash) const { return old_.count != 0 && (hash & (old_.count - 1)) >= moved_; }
  Table& table_of(KeyHash hash) { return is_in_old(hash) ? old_ : table_; }
  const Table& table_of(KeyHash hash) const { return is_in_old(hash) ? old_ : table_; }

  void place(Table& table, KeyHash hash, EntryRef ref) {
    Bucket* bucket = &table.first(hash);
    for (;;) {
      for (std::uint64_t& word : bucket->words) {
        if (word == 0) {
          update(&word, hash, ref);
          return;
        }
      }
      if (bucket->overflow == 0) break;
      bucket = &table.overflow[bucket->overflow - 1];
    }
    bucket->overflow = table.overflow.size() + 1;
    update(&table.overflow.emplace_back().words[0], hash, ref);
  }

  // One bucket for each insert: all are moved long before the new table is full.
  template <typename HashOf>
  void move_bucket(HashOf&& hash_of) {
    for (Bucket* bucket = &old_.start[moved_++];; bucket = &old_.overflow[bucket->overflow - 1]) {
      for (std::uint64_t& word : bucket->words) {
        if (word != 0) place(table_, hash_of(ref(word)), ref(word));
        word = 0;
      }
      if (bucket->overflow == 0) break;
    }
    if (moved_ == old_.count) old_ = {};
  }

  Table table_;
  Table old_;              // while its buckets are moved
  std::size_t moved_ = 0;  // of old_, its first ones
  std::size_t size_ = 0;
};

}  // namespace slipstream
