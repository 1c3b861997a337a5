// Requests of the key-value store: one request carries any number of items, reads and mutations, all of tablets on one
// server; each item has its own outcome. A multi-read or multi-write is a request with many items.
//
//   request: RpcHeader, KvRequest, then for each item KvItemHeader, key, value
//   answer:  RpcHeader, then for each item KvItemAnswer, value
#pragma once

#include <cstdint>

#include "core/rpc/wire.h"

namespace slipstream {

enum class KvKind : std::uint8_t {
  kRead = 0,
  kWrite = 1,      // argument: version that the object must have, 0 none may exist, kAnyVersion unconditional
  kRemove = 2,     // argument: likewise
  kIncrement = 3,  // argument: what to add (two's complement) to the 8-byte value; an absent object counts as 0
};
constexpr bool is_mutation(KvKind kind) { return kind != KvKind::kRead; }
inline constexpr std::uint64_t kAnyVersion = ~std::uint64_t{0};

inline constexpr std::size_t kMaxItems = 4096;  // of one request

struct KvRequest {
  std::uint32_t client = 0;
  std::uint32_t items = 0;
  std::uint64_t acked_below = 0;  // the client has the answers to all its mutations below
};
static_assert(sizeof(KvRequest) == 16);

struct KvItemHeader {
  KvKind kind = KvKind::kRead;
  std::uint8_t reserved = 0;
  std::uint16_t key_bytes = 0;
  std::uint32_t value_bytes = 0;
  std::uint64_t table = 0;
  std::uint64_t argument = kAnyVersion;
  std::uint64_t sequence = 0;  // of the client's mutations; 0 for reads
};
static_assert(sizeof(KvItemHeader) == 32);

struct KvItemAnswer {
  Status status = Status::kOk;
  std::uint8_t reserved[3] = {};
  std::uint32_t value_bytes = 0;  // of a read, or 8 for an increment
  std::uint64_t version = 0;      // of the object after the item (mismatch: as found; 0: none)
};
static_assert(sizeof(KvItemAnswer) == 16);

// Takes the next item off `rest`; false when the bytes do not hold one.
inline bool next_item(ConstBytes& rest, KvItemHeader& item, ConstBytes& key, ConstBytes& value) {
  if (!read_body(rest, item)) return false;
  const std::size_t size = sizeof(item) + item.key_bytes + std::size_t{item.value_bytes};
  if (rest.size() < size) return false;
  key = rest.subspan(sizeof(item), item.key_bytes);
  value = rest.subspan(sizeof(item) + item.key_bytes, item.value_bytes);
  rest = rest.subspan(size);
  return true;
}

}  // namespace slipstream
