// Looks into a segment's bytes for people: what is in it, where its certificates stop and why, and, where a single bit
// was flipped, which one. Pure: bytes in, facts out; nothing is taken on trust. Bytes that do not verify are looked at,
// too, but never counted as data.
//
// Bytes behind the last certificate are no fault by themselves: a buffer is used again without being zeroed, and a
// write may have been torn. A flipped bit is one: the chance that stale bytes look like it is about one in a million.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "core/log/certificate_walk.h"
#include "core/log/entry.h"

namespace slipstream {

// Why the walk went no further.
enum class StopCause : std::uint8_t {
  kEnd,             // the bytes end with a certificate
  kZeroes,          // nothing but zeroes follows
  kCut,             // the bytes end before a header does
  kUnknownType,     // found: the type
  kLeadsOutside,    // expected: at most so many bytes; found: the length that the header says
  kNoCertificate,   // whole entries follow, and no certificate behind them
  kBadCertificate,  // expected: its length; found: the length that its header says
  kWrongCovered,    // expected: where the certificate is; found: where it says it is
  kWrongCrc,        // expected: of the bytes that are there; found: in the certificate
};

struct SegmentStop {
  StopCause cause = StopCause::kEnd;
  std::size_t offset = 0;  // of the header that it stopped at
  std::uint64_t expected = 0;
  std::uint64_t found = 0;
};
// "at byte 4120: the certificate says crc 1234abcd, the bytes before it have 89abcdef".
std::string text(const SegmentStop& stop);

// The batch behind the valid end would verify if this bit were the other way round.
struct FlippedBit {
  std::size_t byte = 0;  // of the segment
  unsigned bit = 0;      // 0: the lowest
  std::size_t batch_end = 0;
  std::size_t whole_until = 0;  // with it mended, the chain goes on to here
};

inline constexpr std::size_t kEntryTypes = 16;  // of which some are in use

struct SegmentInspection {
  SegmentIdentity identity;  // that the chain was started from
  std::size_t bytes = 0;     // that were looked at
  std::optional<SegmentHeader> header;
  std::size_t valid_bytes = 0;
  std::uint32_t crc = 0;  // where the chain stands
  std::uint64_t certificates = 0;
  std::array<std::uint64_t, kEntryTypes> entries = {};  // certified ones, by type
  std::vector<std::size_t> rotten;                      // certified entries whose own crc does not fit: their offsets
  std::vector<std::uint64_t> digest;                    // segments that it names
  SegmentStop stop;
  std::optional<FlippedBit> flipped;
};
SegmentInspection inspect_segment(ConstBytes segment, const SegmentIdentity& identity);

// Who the bytes say that they are; nothing when they do not begin with a segment header.
std::optional<SegmentHeader> header_in(ConstBytes segment);
SegmentIdentity identity_of(const SegmentHeader& header);

// One entry, taken apart as far as its bytes go.
struct EntryInspection {
  EntryType type{};
  std::size_t offset = 0;
  std::size_t bytes = 0;  // header included
  bool is_well_formed = false;
  bool has_crc = false;
  bool is_intact = false;  // has_crc: it fits
  std::uint64_t table = 0;
  std::uint64_t version = 0;
  ConstBytes key;
  ConstBytes value;
  CompletionRecord completion;  // of a completion record
  std::uint64_t segment = 0;    // tombstones: where the removed object lies
  Certificate certificate;      // of a certificate
};
EntryInspection inspect_entry(EntryType type, ConstBytes contents, std::size_t offset);

}  // namespace slipstream
