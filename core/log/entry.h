// The bytes of the log, as FORMAT.md tells: entry headers, segment header, digest, certificate, object, tombstone,
// completion record. The same bytes lie in log memory, replica buffers and stored frames. Little-endian, unaligned.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/base/ids.h"
#include "core/base/units.h"

namespace slipstream {

static_assert(std::endian::native == std::endian::little, "the formats are read and written in place");

enum class EntryType : std::uint8_t {
  kSegmentHeader = 1,
  kDigest = 2,
  kObject = 3,
  kTombstone = 4,
  kCompletion = 5,
  kCertificate = 6,
};
constexpr bool is_known(EntryType type) { return type >= EntryType::kSegmentHeader && type <= EntryType::kCertificate; }
std::string_view name(EntryType type);

// In front of every entry: type in bits 0-7, length of the contents in bits 8-31.
struct EntryHeader {
  std::uint32_t word = 0;

  EntryHeader() = default;
  EntryHeader(EntryType type, std::size_t length)
      : word(static_cast<std::uint32_t>(length) << 8 | static_cast<std::uint32_t>(type)) {}
  EntryType type() const { return static_cast<EntryType>(word & 0xff); }
  std::size_t length() const { return word >> 8; }
};
inline constexpr std::size_t kEntryHeaderBytes = 4;
static_assert(sizeof(EntryHeader) == kEntryHeaderBytes);

#pragma pack(push, 1)

// First entry of every segment: who it is.
struct SegmentHeader {
  std::uint16_t format = 1;
  std::uint16_t master = 0;
  std::uint32_t epoch = 0;  // of the segment when it was opened
  std::uint64_t segment = 0;
  std::uint32_t capacity = 0;
  std::uint64_t safe_version = 0;  // no object removed before had a higher version
};
static_assert(sizeof(SegmentHeader) == 28 && offsetof(SegmentHeader, segment) == 8);

// Ends every replicated batch. `crc` runs over all bytes from the end of the previous certificate up to and including
// `covered`, starting from the previous certificate's crc, the first from the segment's identity.
struct Certificate {
  std::uint32_t covered = 0;  // bytes of the segment before this entry
  std::uint32_t crc = 0;
};
static_assert(sizeof(Certificate) == 8 && offsetof(Certificate, crc) == 4);

// An object: header, key, value. `crc` runs over all that follows it, up to the end of the value.
struct ObjectHeader {
  std::uint32_t crc = 0;
  std::uint16_t key_bytes = 0;
  std::uint16_t reserved = 0;
  std::uint64_t table = 0;
  std::uint64_t version = 0;
};
static_assert(sizeof(ObjectHeader) == 24 && offsetof(ObjectHeader, table) == 8);

// The object of this key and version, and all older ones, are gone. Followed by the key.
struct TombstoneHeader {
  std::uint32_t crc = 0;
  std::uint16_t key_bytes = 0;
  std::uint16_t reserved = 0;
  std::uint64_t table = 0;
  std::uint64_t version = 0;  // of the removal; above the version of what it removes
  std::uint64_t segment = 0;  // no older version lies in a later one: while those are there, the tombstone must be
};
static_assert(sizeof(TombstoneHeader) == 32);

// What a mutation answered (RIFL, Lee et al., SOSP'15): in the same batch as its effect.
struct CompletionRecord {
  std::uint32_t crc = 0;
  std::uint32_t client = 0;
  std::uint64_t sequence = 0;
  std::uint64_t acked_below = 0;  // the client has the answers to all its sequences below this
  std::uint64_t table = 0;        // the record goes where the key's tablet goes
  std::uint64_t key_hash = 0;
  std::uint64_t version = 0;
  std::uint64_t counter = 0;  // increments: the value after it
  std::uint32_t status = 0;
};
static_assert(sizeof(CompletionRecord) == 60 && offsetof(CompletionRecord, status) == 56);

#pragma pack(pop)

inline constexpr std::size_t kCertificateEntryBytes = kEntryHeaderBytes + sizeof(Certificate);

// Where the crc of a certificate that starts at `offset` ends: its header and `covered` are part of what is certified.
inline constexpr std::size_t kCertificateCrcOffset = kEntryHeaderBytes + offsetof(Certificate, crc);

// Segment ids of one life of a master: the life in front, so that no id is ever used twice by a node.
constexpr SegmentId first_segment(std::uint16_t life) { return SegmentId{std::uint64_t{life} << 24}; }
constexpr std::uint16_t life_of(SegmentId segment) { return static_cast<std::uint16_t>(index(segment) >> 24); }

// Who a segment is: where the chain of its certificates starts.
struct SegmentIdentity {
  NodeId master = kNoNode;
  SegmentId segment{};
  std::uint32_t epoch = 0;

  bool operator==(const SegmentIdentity&) const = default;
};
std::uint32_t chain_start(const SegmentIdentity& identity);

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}
template <typename T>
void store(std::byte* at, const T& value) {
  std::memcpy(at, &value, sizeof(T));
}

}  // namespace slipstream
