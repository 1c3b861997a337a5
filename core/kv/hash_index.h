// From key hash to log entry: buckets of one cache line, seven entries and an overflow link each (RAMCloud's HashTable,
// TOCS'15, section 3.3). An entry is a 24-bit tag of the hash over a 40-bit entry reference; the caller tells false
// hits from true ones by comparing keys. Doubles when it is three quarters full.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/check.h"
#include "core/kv/key_hash.h"
#include "core/log/log.h"

namespace slipstream {

class HashIndex {
 public:
  explicit HashIndex(std::size_t expected_entries = 1024) {
    std::size_t buckets = 1;
    while (buckets * kPerBucket * 3 / 4 < expected_entries) buckets *= 2;
    buckets_.resize(buckets);
  }

  std::size_t size() const { return size_; }
  void prefetch(KeyHash hash) const { __builtin_prefetch(&buckets_[bucket_of(hash)]); }

  // A word of the index that may lead to the key, for prefetching what it refers to; 0: none.
  EntryRef candidate(KeyHash hash) const {
    const Bucket& bucket = buckets_[bucket_of(hash)];
    for (std::size_t i = 0; i < kPerBucket; ++i) {
      if (bucket.words[i] != 0 && bucket.words[i] >> kEntryRefBits == tag_of(hash)) return bucket.words[i] & kRefMask;
    }
    return 0;
  }

  // The word whose entry is_key(ref) accepts; nullptr: absent. Valid until the next insert.
  template <typename IsKey>
  std::uint64_t* find(KeyHash hash, IsKey&& is_key) {
    for (Bucket* bucket = &buckets_[bucket_of(hash)];; bucket = &overflow_[bucket->overflow - 1]) {
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

  // For a key that is absent. hash_of(ref) gives an entry's hash anew when the index doubles. Ref 0 is never a key's:
  // the log starts with a segment header.
  template <typename HashOf>
  void insert(KeyHash hash, EntryRef ref, HashOf&& hash_of) {
    SLIP_CHECK(ref != 0 && ref <= kRefMask);
    if (size_ >= buckets_.size() * kPerBucket * 3 / 4) grow(hash_of);
    place(hash, ref);
    ++size_;
  }

 private:
  static constexpr std::size_t kPerBucket = 7;
  static constexpr std::uint64_t kRefMask = (std::uint64_t{1} << kEntryRefBits) - 1;
  struct alignas(64) Bucket {
    std::uint64_t words[kPerBucket] = {};
    std::uint64_t overflow = 0;  // 1 + index of the next bucket of the chain
  };

  static std::uint64_t tag_of(KeyHash hash) { return hash >> kEntryRefBits; }
  std::size_t bucket_of(KeyHash hash) const { return hash & (buckets_.size() - 1); }

  void place(KeyHash hash, EntryRef ref) {
    Bucket* bucket = &buckets_[bucket_of(hash)];
    for (;;) {
      for (std::uint64_t& word : bucket->words) {
        if (word == 0) {
          update(&word, hash, ref);
          return;
        }
      }
      if (bucket->overflow == 0) break;
      bucket = &overflow_[bucket->overflow - 1];
    }
    bucket->overflow = overflow_.size() + 1;
    update(&overflow_.emplace_back().words[0], hash, ref);
  }

  template <typename HashOf>
  void grow(HashOf&& hash_of) {
    std::vector<Bucket> old(buckets_.size() * 2);
    std::vector<Bucket> old_overflow;
    old.swap(buckets_);
    old_overflow.swap(overflow_);
    for (const auto* list : {&old, &old_overflow}) {
      for (const Bucket& bucket : *list) {
        for (const std::uint64_t word : bucket.words) {
          if (word != 0) place(hash_of(ref(word)), ref(word));
        }
      }
    }
  }

  std::vector<Bucket> buckets_;
  std::vector<Bucket> overflow_;
  std::size_t size_ = 0;
};

}  // namespace slipstream
