// Replica equality, when all is quiet: every sealed byte of every segment of every primary is the same on `factor`
// backups, none of them the primary itself, and the walk from certificate to certificate (core/log/certificate_walk.h)
// ends on each of them exactly where the primary sealed.
//
// Plain data that a world fills from its nodes; nothing is changed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/ids.h"
#include "core/base/units.h"
#include "core/check/finding.h"
#include "core/log/entry.h"

namespace slipstream {

struct PrimarySegment {
  SegmentIdentity identity;
  ConstBytes bytes;  // of log memory, from the segment's start; at least the sealed ones
  std::uint32_t sealed = 0;
  bool closed = false;
  // Where the primary believes its replicas to be: each of them must be whole. Empty: any `factor` backups.
  std::vector<NodeId> holders;
};

// A replica in a backup's memory, or a stored frame.
struct FoundCopy {
  NodeId backup = kNoNode;
  NodeId master = kNoNode;  // of the record, or of the frame's name
  SegmentId segment{};
  ConstBytes bytes;  // the whole buffer, or the frame
  bool closed = false;
  bool stored = false;             // a frame: it holds exactly the segment's sealed bytes
  std::uint32_t closed_bytes = 0;  // of a closed replica's record
};

// Copies of segments that no primary has, and older ones beside `factor` whole ones, are no finding.
Findings check_replicas(std::span<const PrimarySegment> primaries, std::span<const FoundCopy> copies,
                        std::uint32_t factor);

}  // namespace slipstream
