// What is said of replica memory and stored frames: as a backup leaves them, cut anywhere, damaged, none.
#include "core/replication/inspect.h"

#include <algorithm>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "core/log/log.h"

namespace slipstream {
namespace {

constexpr std::size_t kSegmentBytes = 4 * kKiB;
constexpr std::uint32_t kBuffers = 5;

// A log of two segments: one closed, one open.
struct TwoSegments {
  std::vector<std::byte> memory = std::vector<std::byte>(4 * kSegmentBytes);
  Log log{{.segment_bytes = kSegmentBytes, .memory_bytes = memory.size()}, NodeId{2}, Region{0, memory}};

  TwoSegments() {
    log.set_life(1);
    Outbox out;
    const std::vector<std::byte> contents(304, std::byte{7});
    while (log.segments().size() < 2) {
      put_entry(log.append(kEntryHeaderBytes + contents.size(), out), static_cast<EntryType>(2), contents);
      log.seal(out);
    }
  }
  const Segment& closed() const { return log.slot(log.segments()[0]); }
  const Segment& open() const { return log.slot(log.segments()[1]); }
};

ReplicaRecord record_of(const Segment& segment) {
  ReplicaRecord record;
  record.state = segment.closed ? ReplicaState::kClosed : ReplicaState::kOpen;
  record.segment = index(segment.identity.segment);
  record.epoch = segment.identity.epoch;
  record.master = index(segment.identity.master);
  record.closed_bytes = segment.closed ? segment.sealed : 0;
  record.closed_crc = segment.closed ? segment.crc : 0;
  record.crc = record_crc(record);
  return record;
}

// Buffers 1 and 3 hold the two segments, buffer 0 was freed, the others were never used.
std::vector<std::byte> replica_file(const TwoSegments& log) {
  std::vector<std::byte> file(replica_region_bytes(kBuffers, kSegmentBytes));
  ReplicaRecord free;
  free.crc = record_crc(free);
  store(file.data(), free);
  const auto put = [&](std::size_t i, const Segment& segment) {
    store(file.data() + i * kReplicaRecordBytes, record_of(segment));
    const Bytes buffer = replica_buffer(file, kBuffers, kSegmentBytes, i);
    std::copy(segment.memory.begin(), segment.memory.begin() + segment.sealed, buffer.begin());
  };
  put(1, log.closed());
  put(3, log.open());
  return file;
}

std::vector<std::byte> frame_of_segment(const Segment& segment) {
  std::vector<std::byte> frame(segment.memory.begin(), segment.memory.begin() + segment.sealed);
  const ReplicaRecord record = record_of(segment);
  const auto raw = std::as_bytes(std::span(&record, 1));
  frame.insert(frame.end(), raw.begin(), raw.end());
  return frame;
}

std::uint64_t name_of(const Segment& segment) {
  return frame_of(index(segment.identity.master), index(segment.identity.segment));
}

std::size_t problems_of(const ReplicaFileInspection& found) {
  std::size_t count = found.problems.size();
  for (const InspectedReplica& replica : found.replicas) count += replica.problems.size();
  return count;
}

TEST(InspectReplicas, AReplicaFileIsFoundOutFromItsBytes) {
  // given a file of which nothing is known
  const TwoSegments log;
  const auto found = inspect_replica_file(replica_file(log));
  // expect its buffers' size and number, and the replicas with what verifies of them
  ASSERT_TRUE(found);
  EXPECT_EQ(found->segment_bytes, kSegmentBytes);
  EXPECT_EQ(found->buffers, kBuffers);
  EXPECT_EQ(found->free, 1u);
  EXPECT_EQ(found->unused, 2u);
  ASSERT_EQ(found->replicas.size(), 2u);
  EXPECT_EQ(found->replicas[0].buffer, 1u);
  EXPECT_TRUE(found->replicas[0].is_closed());
  EXPECT_EQ(found->replicas[0].segment.valid_bytes, log.closed().sealed);
  EXPECT_EQ(found->replicas[1].buffer, 3u);
  EXPECT_FALSE(found->replicas[1].is_closed());
  EXPECT_EQ(found->replicas[1].segment.valid_bytes, log.open().sealed);
  EXPECT_EQ(problems_of(*found), 0u);
}

TEST(InspectReplicas, ACutReplicaFileTellsWhatIsLost) {
  const TwoSegments log;
  const std::vector<std::byte> file = replica_file(log);
  const std::size_t closed_at = static_cast<std::size_t>(
      replica_buffer(Bytes(const_cast<std::byte*>(file.data()), file.size()), kBuffers, kSegmentBytes, 1).data() -
      file.data());
  for (std::size_t size = kReplicaRecordBytes; size < file.size(); size += 97) {
    // given the file's first bytes, with at least one record
    const auto found = inspect_replica_file(ConstBytes(file).first(size));
    ASSERT_TRUE(found) << size;
    // expect a problem wherever bytes are gone that count, and what is left to be read
    if (size >= 4 * kReplicaRecordBytes) {
      EXPECT_GT(problems_of(*found), 0u) << size;
    }
    const bool has_both = size > closed_at + log.closed().sealed;
    if (has_both) {
      ASSERT_GE(found->replicas.size(), 1u) << size;
      EXPECT_EQ(found->replicas[0].segment.valid_bytes, log.closed().sealed) << size;
    }
  }
}

TEST(InspectReplicas, AFlippedBitIsFoundWhereverItIs) {
  const TwoSegments log;
  std::vector<std::byte> file = replica_file(log);
  const auto check = [&](std::size_t at) {
    file[at] ^= std::byte{4};
    const auto found = inspect_replica_file(file);
    ASSERT_TRUE(found) << at;
    EXPECT_GT(problems_of(*found), 0u) << at;
    EXPECT_EQ(found->replicas.size(), 2u) << at;  // a buffer whose record is damaged says itself who it is
    file[at] ^= std::byte{4};
  };
  // given a bit flipped in a record or in certified bytes, expect it to be told
  for (std::size_t at = 0; at < sizeof(ReplicaRecord); ++at) check(kReplicaRecordBytes + at);
  const std::size_t first = file.size() - kBuffers * kSegmentBytes;
  for (std::size_t at = 0; at < log.closed().sealed; at += 13) check(first + kSegmentBytes + at);
  for (std::size_t at = 0; at < log.open().sealed; at += 13) check(first + 3 * kSegmentBytes + at);
}

TEST(InspectReplicas, AStoredReplicaIsJudgedByItsRecordAndName) {
  const TwoSegments log;
  const std::vector<std::byte> frame = frame_of_segment(log.closed());
  const std::uint64_t name = name_of(log.closed());
  // given a whole frame, expect no problem
  const auto whole = inspect_stored_replica(name, frame.size(), frame);
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->problems.empty()) << whole->problems[0];
  EXPECT_EQ(whole->segment.valid_bytes, log.closed().sealed);
  // given a cut one, expect what is left to be read, and the rest to be told
  for (std::size_t size = 64; size < frame.size(); size += 41) {
    const auto cut = inspect_stored_replica(name, frame.size(), ConstBytes(frame).first(size));
    ASSERT_TRUE(cut) << size;
    EXPECT_FALSE(cut->problems.empty()) << size;
  }
  // given another name, expect it to be told
  const auto renamed = inspect_stored_replica(name + 1, frame.size(), frame);
  ASSERT_TRUE(renamed);
  EXPECT_EQ(renamed->problems.size(), 1u);
}

TEST(InspectReplicas, OtherBytesAreNone) {
  const std::vector<std::byte> text(10'000, std::byte{'x'});
  const std::vector<std::byte> zeroes(10'000);
  EXPECT_FALSE(inspect_replica_file({}));
  EXPECT_FALSE(inspect_replica_file(text));
  EXPECT_FALSE(inspect_replica_file(zeroes));
  EXPECT_FALSE(inspect_stored_replica(1, text.size(), text));
  EXPECT_FALSE(inspect_bare_segment(text));
}

TEST(InspectReplicas, ABareSegmentSaysWhoItIs) {
  const TwoSegments log;
  const ConstBytes sealed = log.open().memory.first(log.open().sealed);
  const auto found = inspect_bare_segment(sealed);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->segment.identity, log.open().identity);
  EXPECT_TRUE(found->problems.empty());
  EXPECT_FALSE(inspect_bare_segment(sealed.first(sealed.size() - 1))->problems.empty());
}

}  // namespace
}  // namespace slipstream
