// Options of a server's log.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/units.h"

namespace slipstream {

struct LogOptions {
  std::size_t segment_bytes = 8 * kMiB;   // of a segment, a replica buffer and a stored frame; 4 KiB to 8 MiB
  std::size_t memory_bytes = 512 * kMiB;  // log memory of one server, a whole number of segments, at least 4
  bool cleaning = true;  // of logs of 8 segments and more; without it, memory that is used up is the end
  // Segments that the backups may hold of a log, in per cent of those that fit into its memory. Up to there, memory is
  // made free by compaction, which leaves the replicas alone; beyond, by cleaning. 100 to 800.
  std::uint32_t disk_expansion = 200;
  std::size_t trailer_bytes = 0;  // at a segment's end, that are no log; set by the policy of replication

  std::uint32_t slots() const { return static_cast<std::uint32_t>(memory_bytes / segment_bytes); }
  bool cleans() const { return cleaning && slots() >= 8; }
  // Segments without memory of their own that there may be at the most: the expansion, and some room to get back below.
  std::uint32_t max_detached() const {
    if (!cleans()) return 0;
    return expanded() + slots() / 4 + 8;
  }
  std::uint32_t expanded() const { return static_cast<std::uint32_t>(std::uint64_t{slots()} * disk_expansion / 100); }
  // The most that a digest can name.
  std::uint32_t max_named() const { return slots() + max_detached(); }
};

}  // namespace slipstream
