// A master's log in registered memory: a list of fixed-size segments, one of them the head (RAMCloud, FAST'14, section
// 3; design "Log, segments, certificates"). It appends and certifies; carrying the bytes to backups is
// core/replication's.
//
// Invariants:
//  - the bytes of a segment below sealed_bytes() never change again, and end with a certificate;
//  - what one append() call reserves lies in one segment and below one certificate: it is replicated whole or not at
//     all;
//  - segment ids rise by one; every head starts with its segment header and the digest of all live segments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/fabric/fabric.h"
#include "core/log/entry.h"
#include "core/log/log_options.h"
#include "core/turn/outbox.h"

namespace slipstream {

// A point of the whole log, comparable: a later byte has a greater position. Segment in the high, offset in the low
// half.
using LogPosition = std::uint64_t;
constexpr LogPosition position_of(SegmentId segment, std::size_t offset) { return index(segment) << 32 | offset; }

// Where an entry lies in log memory: slot of its segment and offset of its header, in 40 bits.
using EntryRef = std::uint64_t;
inline constexpr unsigned kEntryRefBits = 40;

struct Segment {
  SegmentIdentity identity;
  Bytes memory;
  std::uint32_t appended = 0;  // bytes written
  std::uint32_t sealed = 0;    // bytes certified
  std::uint32_t opening = 0;   // bytes of the opening batch: header, digest, certificate
  std::uint32_t crc = 0;       // of the last certificate, or the chain's start
  bool closed = false;         // nothing more will be appended
};

class Log {
 public:
  Log(const LogOptions& options, NodeId master, const Region& memory);

  // Room for `bytes` (entry headers included) in the head, which rolls first if it is too full; nullptr when log memory
  // is used up. The caller fills the room with whole entries at once.
  std::byte* append(std::size_t bytes, Outbox& out);

  // The most that one append() can hold.
  std::size_t max_append_bytes() const;

  // Ends the batch: certifies what the head has gathered. Nothing to do when there is nothing new.
  void seal(Outbox& out);

  LogPosition appended_position() const;
  EntryRef ref(const std::byte* entry) const {
    const auto at = static_cast<std::size_t>(entry - memory_.memory.data());
    return (at / segment_bytes_) << 24 | at % segment_bytes_;
  }
  const std::byte* entry(EntryRef at) const {
    return memory_.memory.data() + (at >> 24) * segment_bytes_ + (at & 0xffffff);
  }

  // Oldest first; the i-th has id i.
  std::uint64_t segment_count() const { return segments_.size(); }
  const Segment& segment(std::uint64_t i) const { return segments_[i]; }
  const Segment& head() const { return segments_.back(); }
  std::string describe() const;

 private:
  bool roll(Outbox& out);
  void certify(Segment& segment, Outbox& out);

  std::size_t segment_bytes_;
  NodeId master_;
  Region memory_;
  std::vector<Segment> segments_;
};

// Puts an entry's header and contents at `at`; returns the byte behind it.
std::byte* put_entry(std::byte* at, EntryType type, ConstBytes contents);

}  // namespace slipstream
