// What processes share over the shm fabric, as it lies in memory: a control block for each node, a link for each
// channel. Every field has one writer, named beside it; other ends only read it.
//
// Order of bytes on a ring: records, each 8-byte aligned: RecordHeader, then `size` bytes. Positions count all bytes
// ever written, skipped ones included; position modulo ring size is the place. A record never wraps: kSkip leads to the
// start.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/ids.h"
#include "core/base/units.h"

namespace slipstream::emulate::shm {

inline constexpr std::size_t kLine = 64;
inline constexpr std::uint32_t kMagic = 0x736c7031;
inline constexpr std::size_t kBellWords = 64;
inline constexpr std::size_t kBells = kBellWords * 64;  // live channels of a node
inline constexpr std::size_t kMailSlots = 128;
inline constexpr std::size_t kMaxRegions = 256;
inline constexpr std::size_t kRegionName = 112;
inline constexpr std::size_t kMaxGrants = 1024;  // live grants of one end of a channel

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

// "Somebody wants a channel": written by the peer that claims the slot, freed by the node.
struct Mail {
  enum : std::uint32_t { kFree, kClaimed, kFull };
  std::atomic<std::uint32_t> state;
  std::uint32_t from;
  std::uint64_t serial;  // the link's file is link-FROM-SERIAL
};

struct RegionEntry {  // written once, before any key of it is handed out
  char name[kRegionName];
  std::uint64_t bytes;
  std::uint64_t unused;
};

struct Control {
  std::uint32_t magic;
  std::atomic<std::uint32_t> over;  // set by the node's next life: nothing done to this one's memory counts any more
  std::uint64_t life;               // no two lives of a run have the same
  // Bells: set by peers, cleared by the node. `sleeping` shares the first line: a peer that has just set a bit has it.
  alignas(kLine) std::atomic<std::uint32_t> sleeping;  // set by the node, cleared by whoever wakes it
  std::atomic<std::uint32_t> mail_bell;
  std::atomic<std::uint64_t> bells[kBellWords];
  alignas(kLine) Mail mail[kMailSlots];
  RegionEntry regions[kMaxRegions];
};

// A range that the end may write to. The key is stored last and cleared first.
struct Grant {
  std::atomic<std::uint64_t> key;  // 0: none
  std::uint32_t region;
  std::uint32_t unused;
  std::uint64_t offset;
  std::uint64_t bytes;
};

// One end of a channel: all of it is written by that end.
struct Side {
  alignas(kLine) std::atomic<std::uint64_t> tail;      // end of what it put on its outgoing ring
  alignas(kLine) std::atomic<std::uint64_t> released;  // end of what it no longer needs of the ring towards it
  alignas(kLine) std::atomic<std::uint32_t> writing;   // odd while it copies to or from the other's memory
  alignas(kLine) std::atomic<std::uint32_t> closed;  // the channel is dead for it; the other must not touch its memory
  std::atomic<std::uint32_t> attached;               // it knows the channel, `bell` is valid
  std::uint32_t bell;                                // the bit among its node's bells
};

struct Link {
  std::uint32_t magic;
  std::uint32_t ring_bytes;
  std::uint64_t life;           // of the node that connected
  Side sides[2];                // 0: the end that connected
  Grant grants[2][kMaxGrants];  // by the end that granted
};
static_assert(sizeof(Link) % kLine == 0);

inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kRingsAt = (sizeof(Link) + kPage - 1) / kPage * kPage;  // ring of side 0, then of side 1

struct RecordHeader {
  enum : std::uint32_t {
    kAnswer = 1,  // the message answers one of ours
    kMore = 2,    // the message goes on in the next record
    kSkip = 4,    // no message: the next record is at the start of the ring
  };
  std::uint32_t size;
  std::uint32_t flags;
};
static_assert(sizeof(RecordHeader) == 8);

}  // namespace slipstream::emulate::shm
