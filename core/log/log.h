// A master's log in registered memory: a list of fixed-size segments, one of them the head (RAMCloud, FAST'14, section
// 3; design "Log, segments, certificates"). It appends and certifies; carrying the bytes to backups is
// core/replication's.
//
// Memory is given out in slots, each of a segment's size. Most hold a segment as its backups do. A compacted slot holds
// what still counts of several segments that have no memory of their own any more: they are detached, their replicas
// alone are whole. What counts is told to the log by who knows (core/kv/store.h); the cleaner chooses by it.
//
// Invariants:
//  - the bytes of a segment below sealed_bytes() never change again, and end with a certificate;
//  - what one append() call reserves lies in one segment and below one certificate: it is replicated whole or not at
//     all;
//  - segment ids rise, never to be used again; every segment starts with its header, every head then has the digest:
//    the ids of all segments that recovery needs, this one included;
//  - a side segment counts once it is whole on its backups and a durable digest names it; a retired one, until a
//  durable
//    digest no longer does;
//  - an entry in a compacted slot is in the replicas of the segment that its part is of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/ring.h"
#include "core/fabric/fabric.h"
#include "core/log/entry.h"
#include "core/log/log_options.h"
#include "core/log/usage.h"
#include "core/turn/outbox.h"

namespace slipstream {

// A point of the log's heads, comparable: a later byte has a greater position. Segment above, offset in the low bits.
using LogPosition = std::uint64_t;
constexpr LogPosition position_of(SegmentId segment, std::size_t offset) { return index(segment) << 24 | offset; }

// Where an entry lies in log memory: slot of its segment and offset of its header, in 40 bits.
using EntryRef = std::uint64_t;
inline constexpr unsigned kEntryRefBits = 40;
constexpr std::uint32_t slot_of(EntryRef ref) { return static_cast<std::uint32_t>(ref >> 24); }
constexpr std::uint32_t offset_of(EntryRef ref) { return static_cast<std::uint32_t>(ref & 0xffffff); }

inline constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

enum class SegmentUse : std::uint8_t {
  kFree,
  kHead,       // the head, or a former one
  kSide,       // filled beside the head: by the cleaner, or by a recovery
  kRetired,    // its live entries are elsewhere: no digest names it any more
  kCompacted,  // entries that were copied here from several segments; no backup knows of it
};

struct Segment {
  SegmentUse use = SegmentUse::kFree;
  SegmentIdentity identity;
  Bytes memory;
  std::uint32_t appended = 0;  // bytes written
  std::uint32_t sealed = 0;    // bytes certified
  std::uint32_t opening = 0;   // bytes of the opening batch: header, digest, certificate
  std::uint32_t crc = 0;       // of the last certificate, or the chain's start
  bool closed = false;         // nothing more will be appended
  bool listed = false;         // digests name it
  Usage usage;                 // unless compacted
  std::vector<Part> parts;     // if compacted
};

class Log {
 public:
  Log(const LogOptions& options, NodeId master, const Region& memory);

  // Before the first append: which life of the node this is.
  void set_life(std::uint16_t life) { next_id_ = first_segment(life); }
  // Slots that appends leave alone, so that room can always be made: survivors leave two, an urgent head leaves one,
  // and that is for compaction.
  void set_reserve(std::uint32_t slots) { reserve_ = slots; }
  bool has_slot_for_head(bool urgent) const { return free_.size() > (urgent ? std::min(reserve_, 1u) : reserve_); }
  bool has_slot_for_side(bool urgent) const { return free_.size() > (urgent ? std::min(reserve_, 2u) : reserve_); }

  // Room for `bytes` (entry headers included) in the head, which rolls first if it is too full; nullptr when log memory
  // is used up. The caller fills the room with whole entries at once.
  std::byte* append(std::size_t bytes, Outbox& out);

  // The most that one append(), or append_side(), can hold.
  std::size_t max_append_bytes() const;
  // What fits into a side segment altogether, the certificates apart.
  std::size_t side_bytes() const {
    return usable_bytes_ - kEntryHeaderBytes - sizeof(SegmentHeader) - 2 * kCertificateEntryBytes;
  }

  // Ends the batch: certifies what the head has gathered. Nothing to do when there is nothing new.
  void seal(Outbox& out);
  // Closes the head and opens a new one, whose digest names the segments that are listed now. False: no slot is free.
  bool roll(Outbox& out, bool urgent = false);

  // Segments beside the head (core/log/side_log.h); kNoSlot, nullptr: no slot is free, no room is left.
  std::uint32_t open_side(Outbox& out, bool urgent = false);
  std::byte* append_side(std::uint32_t slot, std::size_t bytes);
  void seal_side(std::uint32_t slot, Outbox& out) { certify(slots_[slot], out); }
  void close_side(std::uint32_t slot, Outbox& out);
  // From the next head on, digests name it, or no longer do.
  void list(std::uint32_t slot);
  void retire(std::uint32_t slot);
  // Its memory is free for a new segment.
  void release(std::uint32_t slot);

  // Compaction. A slot without a segment takes entries as copies of those of `segment`; kNoSlot, nullptr as above.
  std::uint32_t open_compacted();
  std::byte* append_compacted(std::uint32_t slot, std::uint64_t segment, std::size_t bytes);
  // What counts of the segment is elsewhere in memory: its slot is free, and digests go on to name it until retired.
  void detach(std::uint32_t slot);
  void retire_detached(std::uint64_t segment);
  void release_detached(std::uint64_t segment);
  // Rising.
  const std::vector<Detached>& detached() const { return detached_; }

  // What counts. `until`: no older version of the removed object is in a later segment. leave(): the entry was copied.
  void add_live(EntryRef at, std::size_t bytes) { usage_at(at).live += static_cast<std::uint32_t>(bytes); }
  void add_dead(EntryRef at, std::size_t bytes) {
    Usage& usage = usage_at(at);
    usage.live -= static_cast<std::uint32_t>(bytes);
    usage.has_dead = true;
  }
  void add_tombstone(EntryRef at, std::size_t bytes, std::uint64_t until);
  void drop_tombstone(EntryRef at, std::size_t bytes) { usage_at(at).tombstones -= static_cast<std::uint32_t>(bytes); }
  void leave(EntryRef at, std::size_t bytes) { usage_at(at).live -= static_cast<std::uint32_t>(bytes); }
  void note_dead(std::uint32_t slot) { slots_[slot].usage.has_dead = true; }
  std::uint64_t live_bytes() const;  // of all objects
  std::uint64_t segment_at(EntryRef at) const;
  // The slot that holds the segment as its backups do; kNoSlot: none.
  std::uint32_t find(std::uint64_t segment) const;

  // The highest version that any removed object had; every segment's header tells it to recovery.
  void raise_safe_version(std::uint64_t version) { safe_version_ = version > safe_version_ ? version : safe_version_; }
  std::uint64_t safe_version() const { return safe_version_; }

  LogPosition appended_position() const;
  std::uint64_t last_segment() const { return index(next_id_) - 1; }  // that was opened
  std::uint32_t named() const { return named_; }                      // segments that the next digest would name
  EntryRef ref(const std::byte* entry) const {
    const auto at = static_cast<std::size_t>(entry - memory_.memory.data());
    return (at / segment_bytes_) << 24 | at % segment_bytes_;
  }
  const std::byte* entry(EntryRef at) const {
    return memory_.memory.data() + (at >> 24) * segment_bytes_ + (at & 0xffffff);
  }

  std::uint32_t slots() const { return static_cast<std::uint32_t>(slots_.size()); }
  std::uint32_t free_slots() const { return static_cast<std::uint32_t>(free_.size()); }
  std::uint32_t reserve() const { return reserve_; }
  const Segment& slot(std::uint32_t i) const { return slots_[i]; }
  std::uint32_t head_slot() const { return head_; }  // kNoSlot: nothing was appended yet
  const Segment& head() const { return slots_[head_]; }
  std::size_t segment_bytes() const { return segment_bytes_; }
  // Slots that hold a segment, in the order of their ids.
  std::vector<std::uint32_t> segments() const;
  // Slots that were opened since somebody took them from here, oldest first; for who replicates them.
  Ring<std::uint32_t>& opened() { return opened_; }
  std::string describe() const;

 private:
  std::uint32_t open(SegmentUse use);
  std::uint32_t take_slot(SegmentUse use);
  void certify(Segment& segment, Outbox& out);
  void set_listed(bool& listed, bool to);
  Usage& usage_at(EntryRef at) {
    Segment& segment = slots_[slot_of(at)];
    return segment.parts.empty() ? segment.usage : segment.parts[part_of(segment, offset_of(at))].usage;
  }
  static std::size_t part_of(const Segment& segment, std::uint32_t offset);
  std::vector<Detached>::iterator find_detached(std::uint64_t segment);

  std::size_t segment_bytes_;
  std::size_t usable_bytes_;  // of a segment
  NodeId master_;
  Region memory_;
  std::vector<Segment> slots_;
  std::vector<std::uint32_t> free_;  // the last is taken next
  std::vector<Detached> detached_;
  std::uint32_t max_named_;
  std::uint32_t named_ = 0;
  std::uint32_t reserve_ = 0;
  std::uint32_t head_ = kNoSlot;
  SegmentId next_id_{};
  std::uint64_t safe_version_ = 0;
  Ring<std::uint32_t> opened_{4};
};

// Puts an entry's header and contents at `at`; returns the byte behind it.
std::byte* put_entry(std::byte* at, EntryType type, ConstBytes contents);

}  // namespace slipstream
