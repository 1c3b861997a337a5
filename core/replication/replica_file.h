// What a backup leaves where it outlives its process: the replica memory file (records, then buffers) and stored frames
// (a closed segment's bytes, then its record). Layout: core/log/FORMAT.md. Readers take nothing on trust: a record
// counts only when its checksum verifies, bytes only as far as the certificates do.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/units.h"
#include "core/log/entry.h"

namespace slipstream {

inline constexpr std::size_t kReplicaRecordBytes = 64;

// One buffer's record, as it lies in the replica memory file and at the end of a stored frame.
enum class ReplicaState : std::uint32_t { kFree = 0, kOpen = 1, kClosed = 2 };
struct ReplicaRecord {
  std::uint32_t crc = 0;
  ReplicaState state = ReplicaState::kFree;
  std::uint64_t segment = 0;
  std::uint32_t epoch = 0;
  std::uint32_t replica_epoch = 0;
  std::uint16_t master = 0;
  std::uint16_t copy = 0;  // 1: open, and of no use for recovery
  std::uint32_t closed_bytes = 0;
  std::uint32_t closed_crc = 0;
  std::uint32_t reserved1[3] = {};

  SegmentIdentity identity() const { return {NodeId{master}, SegmentId{segment}, epoch}; }
};
static_assert(sizeof(ReplicaRecord) == 48);

std::uint32_t record_crc(const ReplicaRecord& record);

// Size of the region for `buffers` buffers: records, then buffers.
std::size_t replica_region_bytes(std::uint32_t buffers, std::size_t segment_bytes);
// The i-th of `buffers` buffers.
Bytes replica_buffer(Bytes region, std::size_t buffers, std::size_t segment_bytes, std::size_t i);
// How many buffers a region of that size has.
std::size_t buffers_in(std::size_t region_bytes, std::size_t segment_bytes);

// A replica as found in a replica memory file; nothing when its record does not verify or the buffer is free.
struct FoundReplica {
  ReplicaRecord record;
  ConstBytes buffer;
};
std::vector<FoundReplica> replicas_in(ConstBytes region, std::size_t segment_bytes);

// The name of the frame that holds the closed segment.
constexpr std::uint64_t frame_of(std::uint16_t master, std::uint64_t segment) {
  return std::uint64_t{master} << 48 | segment;
}
constexpr std::uint16_t master_of_frame(std::uint64_t frame) { return static_cast<std::uint16_t>(frame >> 48); }
constexpr std::uint64_t segment_of_frame(std::uint64_t frame) { return frame & 0xffffffffffff; }

// Whether a frame of that name and length, with that record at its end, is whole.
bool is_whole_frame(std::uint64_t frame, std::uint64_t bytes, const ReplicaRecord& end);

}  // namespace slipstream
