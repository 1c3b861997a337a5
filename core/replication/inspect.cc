#include "core/replication/inspect.h"

#include <algorithm>

#include <fmt/format.h>

namespace slipstream {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kLeastSegment = 4 * kKiB;
constexpr std::size_t kMostSegment = 8 * kMiB;

bool is_zero(const ReplicaRecord& record) {
  const auto raw = std::as_bytes(std::span(&record, 1));
  return std::all_of(raw.begin(), raw.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool verifies(const ReplicaRecord& record) {
  return record.crc == record_crc(record) && record.state <= ReplicaState::kClosed;
}

std::optional<ReplicaRecord> record_at(ConstBytes file, std::size_t i) {
  const std::size_t at = i * kReplicaRecordBytes;
  if (at + sizeof(ReplicaRecord) > file.size()) return std::nullopt;
  return load<ReplicaRecord>(file.data() + at);
}

// What of a buffer's bytes does not verify, as its record tells what they should be.
void judge(InspectedReplica& replica, std::size_t there) {
  const SegmentInspection& segment = replica.segment;
  const auto problem = [&replica](std::string line) { replica.problems.push_back(std::move(line)); };
  const bool is_closed = replica.is_closed();
  const std::size_t should_be = is_closed ? replica.record.closed_bytes : 0;
  if (is_closed && there < should_be) problem(fmt::format("cut: of {} bytes there are {}", should_be, there));
  if (is_closed && segment.valid_bytes < should_be) {
    problem(fmt::format("closed with {} bytes, verifies up to byte {}: bytes {} to {} are lost here", should_be,
                        segment.valid_bytes, segment.valid_bytes, should_be));
    problem("it stops " + text(segment.stop));
  } else if (is_closed && segment.crc != replica.record.closed_crc) {
    problem(
        fmt::format("closed with crc {:08x}, its last certificate has {:08x}", replica.record.closed_crc, segment.crc));
  }
  if (segment.flipped) {
    const FlippedBit& bit = *segment.flipped;
    problem(fmt::format(
        "bit {} of byte {} is flipped: bytes {} to {} do not verify; with it mended, all up to byte {} does", bit.bit,
        bit.byte, segment.valid_bytes, bit.batch_end, bit.whole_until));
    if (!is_closed) problem("it stops " + text(segment.stop));
  }
  for (const std::size_t offset : segment.rotten) {
    problem(fmt::format("the entry at byte {} is certified, but its own crc does not fit", offset));
  }
}

struct Layout {
  std::size_t buffers = 0;  // 0: the file is cut
  std::size_t segment_bytes = 0;
  std::size_t first = 0;  // where the first buffer begins
  std::size_t matches = 0;

  std::size_t at(std::size_t i) const { return first + i * segment_bytes; }
};

// How many of these buffers begin as their records say, with a segment header of this capacity.
std::size_t matches_of(ConstBytes file, const std::vector<std::size_t>& used, const Layout& layout) {
  return static_cast<std::size_t>(std::count_if(used.begin(), used.end(), [&](std::size_t i) {
    if (layout.at(i) >= file.size()) return false;
    const std::optional<SegmentHeader> header = header_in(file.subspan(layout.at(i)));
    const std::optional<ReplicaRecord> record = record_at(file, i);
    return header && header->capacity == layout.segment_bytes && record && header->segment == record->segment &&
           header->master == record->master;
  }));
}

// A segment's header tells the size of its buffer, and its record which buffer that is: where these are together in the
// file, all is known.
Layout find_layout(ConstBytes file, const std::vector<std::size_t>& used) {
  constexpr int kMostTries = 64;
  Layout best;
  int tries = 0;
  for (std::size_t at = kPage; at < file.size() && tries < kMostTries && best.matches < used.size(); ++at) {
    const std::optional<SegmentHeader> header = header_in(file.subspan(at));
    if (!header || header->capacity < kLeastSegment || header->capacity > kMostSegment) continue;
    for (const std::size_t i : used) {
      const ReplicaRecord record = *record_at(file, i);
      if (record.segment != header->segment || record.master != header->master || at < i * header->capacity) continue;
      Layout layout{0, header->capacity, at - i * header->capacity, 0};
      if (layout.first < (i + 1) * kReplicaRecordBytes || layout.first % kPage != 0) continue;
      ++tries;
      layout.matches = matches_of(file, used, layout);
      if (layout.matches > best.matches) best = layout;
    }
  }
  if (best.matches == 0 || (file.size() - best.first) % best.segment_bytes != 0) return best;
  const std::size_t buffers = (file.size() - best.first) / best.segment_bytes;
  if (replica_region_bytes(static_cast<std::uint32_t>(buffers), 0) == best.first) best.buffers = buffers;
  return best;
}

InspectedReplica replica_at(ConstBytes file, std::size_t i, const Layout& layout, const ReplicaRecord& record,
                            const SegmentIdentity& identity, bool has_record) {
  InspectedReplica replica;
  replica.record = record;
  replica.has_record = has_record;
  replica.buffer = i;
  replica.at = layout.at(i);
  const ConstBytes rest = replica.at < file.size() ? file.subspan(replica.at) : ConstBytes{};
  ConstBytes buffer = rest.first(std::min(rest.size(), layout.segment_bytes));
  if (replica.is_closed()) buffer = buffer.first(std::min<std::size_t>(buffer.size(), record.closed_bytes));
  replica.segment = inspect_segment(buffer, identity);
  if (!has_record) {
    replica.problems.push_back("its record does not verify: who it is, the segment's own header says");
  } else if (!replica.is_closed() && buffer.size() < layout.segment_bytes) {
    replica.problems.push_back(fmt::format("cut: of the buffer's {} bytes there are {}; it verifies up to byte {}",
                                           layout.segment_bytes, buffer.size(), replica.segment.valid_bytes));
  }
  judge(replica, buffer.size());
  return replica;
}

// A buffer whose record is damaged may say itself who it is.
void inspect_damaged(ConstBytes file, std::size_t i, const Layout& layout, ReplicaFileInspection& found) {
  found.problems.push_back(fmt::format("bytes {} to {}: the record of buffer {} does not verify",
                                       i * kReplicaRecordBytes, i * kReplicaRecordBytes + sizeof(ReplicaRecord), i));
  if (layout.segment_bytes == 0 || layout.at(i) >= file.size()) return;
  const std::optional<SegmentHeader> header = header_in(file.subspan(layout.at(i)));
  if (!header) return;
  found.replicas.push_back(replica_at(file, i, layout, {}, identity_of(*header), false));
}

}  // namespace

std::optional<ReplicaFileInspection> inspect_replica_file(ConstBytes file) {
  ReplicaFileInspection found;
  std::vector<std::size_t> used;
  std::size_t last = 0;
  // A segment has at least a page, a record a 64th of one: no more than the first 65th of the file is records.
  const std::size_t most = std::max<std::size_t>(file.size() / kLeastSegment, kPage / kReplicaRecordBytes);
  for (std::size_t i = 0; i < most; ++i) {
    const std::optional<ReplicaRecord> record = record_at(file, i);
    if (!record || !verifies(*record)) continue;
    last = i;
    if (record->state == ReplicaState::kFree) {
      ++found.free;
    } else {
      used.push_back(i);
    }
  }
  if (used.empty() && found.free == 0) return std::nullopt;
  const Layout layout = used.empty() ? Layout{} : find_layout(file, used);
  found.segment_bytes = layout.segment_bytes;
  found.buffers = layout.buffers;
  if (!used.empty() && layout.segment_bytes == 0) {
    found.problems.push_back(
        fmt::format("{} records tell of replicas, and no buffer begins as one of them says: the "
                    "size of a segment cannot be found",
                    used.size()));
    return found;
  }
  if (layout.segment_bytes != 0 && layout.buffers == 0) {
    found.problems.push_back(fmt::format("cut: the file ends at byte {}, which is no whole number of buffers of {}",
                                         file.size(), layout.segment_bytes));
  }
  const std::size_t in_use = std::max(layout.buffers, last + 1);
  for (std::size_t i = 0; i < in_use; ++i) {
    const std::optional<ReplicaRecord> record = record_at(file, i);
    if (!record) break;
    if (is_zero(*record)) {
      ++found.unused;
    } else if (!verifies(*record)) {
      inspect_damaged(file, i, layout, found);
    } else if (record->state != ReplicaState::kFree) {
      found.replicas.push_back(replica_at(file, i, layout, *record, record->identity(), true));
    }
  }
  return found;
}

std::optional<InspectedReplica> inspect_stored_replica(std::uint64_t frame, std::uint64_t length, ConstBytes contents) {
  InspectedReplica replica;
  ConstBytes segment = contents;
  if (contents.size() == length && length >= sizeof(ReplicaRecord)) {
    replica.record = load<ReplicaRecord>(contents.data() + contents.size() - sizeof(ReplicaRecord));
    replica.has_record = verifies(replica.record) && replica.record.state == ReplicaState::kClosed;
  }
  const std::optional<SegmentHeader> header = header_in(contents);
  if (!replica.has_record && !header) return std::nullopt;
  const std::size_t should_be = length < sizeof(ReplicaRecord) ? 0 : length - sizeof(ReplicaRecord);
  segment = contents.first(std::min(contents.size(), should_be));
  const SegmentIdentity identity = replica.has_record ? replica.record.identity() : identity_of(*header);
  replica.segment = inspect_segment(segment, identity);
  if (replica.has_record && replica.record.closed_bytes != should_be) {
    replica.problems.push_back(fmt::format("closed with {} bytes, and the frame holds {} before its record",
                                           replica.record.closed_bytes, should_be));
  }
  if (frame_of(index(identity.master), index(identity.segment)) != frame) {
    replica.problems.push_back(
        fmt::format("the frame's name says segment {} of master {}", segment_of_frame(frame), master_of_frame(frame)));
  }
  if (!replica.has_record) {
    replica.problems.push_back(contents.size() < length
                                   ? fmt::format("its record, behind byte {}, is not there", should_be)
                                   : fmt::format("its record, at byte {}, does not verify", should_be));
    if (replica.segment.valid_bytes < should_be) {
      replica.problems.push_back(fmt::format("of {} bytes it verifies up to byte {}: bytes {} to {} are lost here",
                                             should_be, replica.segment.valid_bytes, replica.segment.valid_bytes,
                                             should_be));
    }
  }
  judge(replica, segment.size());
  return replica;
}

std::optional<InspectedReplica> inspect_bare_segment(ConstBytes bytes) {
  const std::optional<SegmentHeader> header = header_in(bytes);
  if (!header) return std::nullopt;
  InspectedReplica replica;
  replica.segment = inspect_segment(bytes, identity_of(*header));
  const SegmentInspection& segment = replica.segment;
  if (segment.stop.cause > StopCause::kZeroes) {
    replica.problems.push_back(fmt::format("verifies up to byte {} of {}", segment.valid_bytes, bytes.size()));
    replica.problems.push_back("it stops " + text(segment.stop));
  }
  judge(replica, bytes.size());
  return replica;
}

}  // namespace slipstream
