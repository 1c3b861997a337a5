// Looks into what backups leave behind, for people: a replica memory file, of which only the bytes are known, and a
// stored frame's contents. Pure: bytes in, facts out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "core/log/inspect.h"
#include "core/replication/replica_file.h"

namespace slipstream {

struct InspectedReplica {
  ReplicaRecord record;
  bool has_record = false;  // false: it does not verify, and the identity is the segment's own word
  std::size_t buffer = 0;   // its number
  std::size_t at = 0;       // where its bytes begin in the file
  SegmentInspection segment;
  // What of it does not verify, each on one line; none: all does.
  std::vector<std::string> problems;

  bool is_closed() const { return has_record && record.state == ReplicaState::kClosed; }
};

struct ReplicaFileInspection {
  std::size_t segment_bytes = 0;  // 0: no buffer is in use, so it cannot be known
  std::size_t buffers = 0;        // 0: likewise
  std::size_t free = 0;           // records that say so
  std::size_t unused = 0;         // records of zeroes
  std::vector<InspectedReplica> replicas;
  std::vector<std::string> problems;  // of the file
};

// Nothing when the bytes are no replica memory file: no record in them verifies. A file that is cut is one.
std::optional<ReplicaFileInspection> inspect_replica_file(ConstBytes file);

// A stored frame's contents: a closed segment, then its record. `frame`: its name; `length`: how many bytes of it there
// should be. Nothing when they are no replica, whole or damaged.
std::optional<InspectedReplica> inspect_stored_replica(std::uint64_t frame, std::uint64_t length, ConstBytes contents);

// A segment alone, which says itself who it is.
std::optional<InspectedReplica> inspect_bare_segment(ConstBytes bytes);

}  // namespace slipstream
