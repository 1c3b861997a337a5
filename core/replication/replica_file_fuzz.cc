// Arbitrary bytes as a replica memory file and as a stored frame; optionally with records whose checksum is right, so
// that what they say is believed.
#include <cstdint>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "core/replication/inspect.h"

using namespace slipstream;

namespace {

void mend_record(std::vector<std::byte>& bytes, std::size_t at) {
  if (at + sizeof(ReplicaRecord) > bytes.size()) return;
  auto record = load<ReplicaRecord>(bytes.data() + at);
  record.crc = record_crc(record);
  store(bytes.data() + at, record);
}

void check_inside(const InspectedReplica& replica, std::size_t bytes) {
  SLIP_CHECK(replica.segment.valid_bytes <= replica.segment.bytes);
  SLIP_CHECK(replica.segment.bytes == 0 || replica.at + replica.segment.bytes <= bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  const std::size_t mended = in.byte() % 8;
  const std::size_t segment_bytes = std::size_t{in.take<std::uint16_t>()} + 1;
  const auto frame = in.take<std::uint64_t>();
  const auto length = in.take<std::uint16_t>();
  std::vector<std::byte> bytes = in.rest();
  for (std::size_t i = 0; i < mended; ++i) mend_record(bytes, i * kReplicaRecordBytes);
  for (const FoundReplica& replica : replicas_in(bytes, segment_bytes)) {
    SLIP_CHECK(replica.buffer.size() == segment_bytes);
    walk_certificates(replica.buffer, replica.record.identity());
  }
  if (const auto found = inspect_replica_file(bytes)) {
    for (const InspectedReplica& replica : found->replicas) check_inside(replica, bytes.size());
  }
  if (mended > 0 && bytes.size() >= sizeof(ReplicaRecord)) mend_record(bytes, bytes.size() - sizeof(ReplicaRecord));
  for (const std::uint64_t told : {std::uint64_t{length}, std::uint64_t{bytes.size()}}) {
    if (const auto found = inspect_stored_replica(frame, told, bytes)) check_inside(*found, bytes.size());
  }
  if (const auto found = inspect_bare_segment(bytes)) check_inside(*found, bytes.size());
  if (bytes.size() >= sizeof(ReplicaRecord)) is_whole_frame(frame, length, load<ReplicaRecord>(bytes.data()));
  return 0;
}
