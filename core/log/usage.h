// How much of the log's memory counts, by segment: what the cleaner chooses by. Sizes in bytes.
#pragma once

#include <cstdint>

namespace slipstream {

// What counts of a segment, or of a part of a compacted slot; bytes with the entries' headers.
struct Usage {
  std::uint32_t live = 0;          // of objects
  std::uint32_t tombstones = 0;    // of tombstones
  std::uint64_t needed_until = 0;  // the last segment that may hold what one of the tombstones removed
  bool has_dead = false;           // its replicas hold objects that no longer count, or that are elsewhere, too
};

// Entries of one segment in a compacted slot, up to where the next part begins.
struct Part {
  std::uint64_t segment = 0;
  std::uint32_t from = 0;
  Usage usage;
};

// A segment whose memory was given to others; its replicas are all there is of it as a whole.
struct Detached {
  std::uint64_t segment = 0;
  bool listed = false;
};

}  // namespace slipstream
