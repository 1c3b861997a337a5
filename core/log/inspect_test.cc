// What is said of a segment's bytes: whole, cut anywhere, with any bit flipped, another's, none.
#include "core/log/inspect.h"

#include <algorithm>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/crc32c.h"
#include "core/base/rng.h"
#include "core/log/log.h"

namespace slipstream {
namespace {

constexpr std::size_t kSegmentBytes = 4 * kKiB;
constexpr NodeId kMaster{3};

void append_object(Log& log, std::uint64_t version, std::size_t value_bytes, Outbox& out) {
  std::vector<std::byte> contents(sizeof(ObjectHeader) + 4 + value_bytes, std::byte{'v'});
  ObjectHeader header;
  header.key_bytes = 4;
  header.table = 1;
  header.version = version;
  store(contents.data(), header);
  header.crc = crc32c(0xffffffff, ConstBytes(contents).subspan(sizeof(header.crc)));
  store(contents.data(), header);
  put_entry(log.append(kEntryHeaderBytes + contents.size(), out), EntryType::kObject, contents);
}

// A segment as a master writes it: 6 batches of 2 objects each, with the end of each batch.
struct Written {
  std::vector<std::byte> bytes;
  std::vector<std::size_t> ends;
  SegmentIdentity identity;
};

Written write_segment() {
  std::vector<std::byte> memory(4 * kSegmentBytes);
  Log log({.segment_bytes = kSegmentBytes, .memory_bytes = memory.size()}, kMaster, Region{0, memory});
  log.set_life(1);
  Outbox out;
  Written written;
  for (std::uint64_t batch = 0; batch < 6; ++batch) {
    append_object(log, 2 * batch + 1, 40, out);
    append_object(log, 2 * batch + 2, 60, out);
    log.seal(out);
    written.ends.push_back(log.head().sealed);
  }
  written.identity = log.head().identity;
  written.bytes.assign(log.head().memory.begin(), log.head().memory.end());
  return written;
}

// The opening batch: segment header, a digest of one id, certificate.
constexpr std::size_t kOpening =
    kEntryHeaderBytes + sizeof(SegmentHeader) + kEntryHeaderBytes + sizeof(std::uint64_t) + kCertificateEntryBytes;

std::size_t valid_end_below(const Written& written, std::size_t limit) {
  std::size_t end = limit >= kOpening ? kOpening : 0;
  for (const std::size_t batch : written.ends) {
    if (batch <= limit) end = batch;
  }
  return end;
}

TEST(Inspect, AWholeSegmentIsToldInFull) {
  // given a segment that is followed by zeroes
  const Written written = write_segment();
  const SegmentInspection found = inspect_segment(written.bytes, written.identity);
  // expect all of it to be valid, with each entry counted and the digest read
  EXPECT_EQ(found.valid_bytes, written.ends.back());
  EXPECT_EQ(found.certificates, 7u);
  EXPECT_EQ(found.entries[static_cast<std::size_t>(EntryType::kObject)], 12u);
  EXPECT_EQ(found.entries[static_cast<std::size_t>(EntryType::kCertificate)], 7u);
  EXPECT_EQ(found.digest, std::vector<std::uint64_t>{index(written.identity.segment)});
  EXPECT_TRUE(found.rotten.empty());
  EXPECT_FALSE(found.flipped);
  EXPECT_EQ(found.stop.cause, StopCause::kZeroes);
  EXPECT_EQ(found.stop.offset, written.ends.back());
  ASSERT_TRUE(found.header);
  EXPECT_EQ(identity_of(*found.header), written.identity);
  EXPECT_EQ(found.header->capacity, kSegmentBytes);
}

TEST(Inspect, BytesCutAnywhereAreValidToTheLastWholeBatch) {
  const Written written = write_segment();
  for (std::size_t size = 0; size <= written.ends.back(); ++size) {
    // given the segment's first bytes
    const SegmentInspection found = inspect_segment(ConstBytes(written.bytes).first(size), written.identity);
    // expect the last certificate among them to be the end, and the cut to be no flipped bit
    EXPECT_EQ(found.valid_bytes, valid_end_below(written, size)) << size;
    EXPECT_FALSE(found.flipped) << size;
    EXPECT_LE(found.stop.offset, size);
    EXPECT_EQ(found.stop.cause == StopCause::kEnd, found.valid_bytes == size) << size;
    EXPECT_FALSE(text(found.stop).empty());
  }
}

TEST(Inspect, AnyFlippedBitIsNamed) {
  Written written = write_segment();
  for (std::size_t byte = 0; byte < written.ends.back(); ++byte) {
    const unsigned bit = byte % 8;
    // given one flipped bit
    written.bytes[byte] ^= std::byte{static_cast<std::uint8_t>(1u << bit)};
    const SegmentInspection found = inspect_segment(written.bytes, written.identity);
    written.bytes[byte] ^= std::byte{static_cast<std::uint8_t>(1u << bit)};
    // expect the valid end before it, that very bit, and the rest to be whole but for it
    EXPECT_LE(found.valid_bytes, byte);
    ASSERT_TRUE(found.flipped) << byte;
    EXPECT_EQ(found.flipped->byte, byte);
    EXPECT_EQ(found.flipped->bit, bit);
    EXPECT_EQ(found.flipped->whole_until, written.ends.back());
  }
}

TEST(Inspect, WhatABufferHeldBeforeIsNoFlippedBit) {
  Rng rng(1, "inspect", 0);
  for (std::uint32_t i = 0; i < 50; ++i) {
    // given a segment in a buffer that holds arbitrary bytes behind it
    Written written = write_segment();
    const std::size_t end = written.ends[rng.below(written.ends.size())];
    for (std::size_t at = end; at < written.bytes.size(); ++at) written.bytes[at] = static_cast<std::byte>(rng.next());
    // expect none of them to be taken for damage
    const SegmentInspection found = inspect_segment(written.bytes, written.identity);
    EXPECT_EQ(found.valid_bytes, end);
    EXPECT_FALSE(found.flipped) << i;
    // given a buffer that still holds all of another segment, expect neither
    SegmentIdentity other = written.identity;
    other.epoch = i + 7;
    const SegmentInspection stranger = inspect_segment(written.bytes, other);
    EXPECT_EQ(stranger.valid_bytes, 0u);
    EXPECT_FALSE(stranger.flipped) << i;
    EXPECT_EQ(stranger.stop.cause, StopCause::kWrongCrc);
  }
}

TEST(Inspect, AnEntryThatRottedBeforeItWasCertifiedIsFound) {
  // given an object whose own crc was wrong when it was certified
  std::vector<std::byte> memory(4 * kSegmentBytes);
  Log log({.segment_bytes = kSegmentBytes, .memory_bytes = memory.size()}, kMaster, Region{0, memory});
  Outbox out;
  append_object(log, 1, 40, out);
  const std::size_t at = log.head().appended - kEntryHeaderBytes - sizeof(ObjectHeader) - 44;
  append_object(log, 2, 40, out);
  log.head().memory[at + 50] ^= std::byte{1};
  log.seal(out);
  const SegmentInspection found = inspect_segment(log.head().memory, log.head().identity);
  // expect the bytes to be valid, and that entry to be named
  EXPECT_EQ(found.valid_bytes, log.head().sealed);
  EXPECT_EQ(found.rotten, std::vector<std::size_t>{at});
}

TEST(Inspect, OtherBytesAreNoSegment) {
  const std::vector<std::byte> text(100, std::byte{'x'});
  EXPECT_FALSE(header_in({}));
  EXPECT_FALSE(header_in(text));
  const SegmentInspection found = inspect_segment(text, {});
  EXPECT_EQ(found.valid_bytes, 0u);
  EXPECT_EQ(found.stop.cause, StopCause::kUnknownType);
  EXPECT_EQ(inspect_segment({}, {}).stop.cause, StopCause::kEnd);
}

}  // namespace
}  // namespace slipstream
