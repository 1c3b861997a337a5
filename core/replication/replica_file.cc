#include "core/replication/replica_file.h"

#include <span>

#include "core/base/crc32c.h"
#include "core/base/mutation.h"

namespace slipstream {
namespace {

constexpr std::size_t kPage = 4096;

std::size_t buffers_offset(std::size_t buffers) { return (buffers * kReplicaRecordBytes + kPage - 1) / kPage * kPage; }

}  // namespace

std::uint32_t record_crc(const ReplicaRecord& record) {
  return crc32c(0xffffffff, std::as_bytes(std::span(&record, 1)).subspan(sizeof(record.crc)));
}

std::size_t replica_region_bytes(std::uint32_t buffers, std::size_t segment_bytes) {
  return buffers_offset(buffers) + buffers * segment_bytes;
}

Bytes replica_buffer(Bytes region, std::size_t buffers, std::size_t segment_bytes, std::size_t i) {
  return region.subspan(buffers_offset(buffers) + i * segment_bytes, segment_bytes);
}

std::size_t buffers_in(std::size_t region_bytes, std::size_t segment_bytes) {
  std::size_t buffers = region_bytes / segment_bytes;
  while (buffers > 0 && buffers_offset(buffers) + buffers * segment_bytes > region_bytes) --buffers;
  return buffers;
}

std::vector<FoundReplica> replicas_in(ConstBytes region, std::size_t segment_bytes) {
  const std::size_t buffers = buffers_in(region.size(), segment_bytes);
  std::vector<FoundReplica> found;
  for (std::size_t i = 0; i < buffers; ++i) {
    const auto record = load<ReplicaRecord>(region.data() + i * kReplicaRecordBytes);
    if (record.state == ReplicaState::kFree || record.crc != record_crc(record)) continue;
    found.push_back({record, region.subspan(buffers_offset(buffers) + i * segment_bytes, segment_bytes)});
  }
  return found;
}

bool is_whole_frame(std::uint64_t frame, std::uint64_t bytes, const ReplicaRecord& end) {
  if (mutated(Mutant::kAnyFrameIsWhole) && bytes > sizeof(ReplicaRecord)) return true;
  return end.crc == record_crc(end) && end.state == ReplicaState::kClosed &&
         frame_of(end.master, end.segment) == frame && end.closed_bytes + sizeof(ReplicaRecord) == bytes;
}

}  // namespace slipstream
