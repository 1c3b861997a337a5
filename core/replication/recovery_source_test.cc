// What recovery masters are told that ask for one segment, at the same time or again.
#include "core/replication/recovery_source.h"

#include <map>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/crc32c.h"
#include "core/log/log.h"

namespace slipstream {
namespace {

constexpr std::size_t kSegmentBytes = 4 * kKiB;
constexpr std::uint64_t kLast = ~std::uint64_t{0};

// A head with some objects.
struct Written {
  std::vector<std::byte> memory = std::vector<std::byte>(4 * kSegmentBytes);
  Log log{{.segment_bytes = kSegmentBytes, .memory_bytes = memory.size()}, NodeId{1}, Region{0, memory}};

  static constexpr std::size_t kObjectBytes = kEntryHeaderBytes + sizeof(ObjectHeader) + sizeof(std::uint64_t);

  Written() { write(1, 20); }
  void write(std::uint64_t first, std::uint64_t last) {
    Outbox out;
    for (std::uint64_t i = first; i <= last; ++i) {
      std::vector<std::byte> contents(sizeof(ObjectHeader) + sizeof(i));
      ObjectHeader header;
      header.key_bytes = sizeof(i);
      header.table = 1;
      header.version = i;
      store(contents.data(), header);
      store(contents.data() + sizeof(header), i);
      header.crc = crc32c(0xffffffff, ConstBytes(contents).subspan(sizeof(header.crc)));
      store(contents.data(), header);
      put_entry(log.append(kEntryHeaderBytes + contents.size(), out), EntryType::kObject, contents);
    }
    log.seal(out);
  }
};

struct Asked {
  std::vector<std::byte> bytes;
  RpcMessage message;
};

Asked ask(const Segment& segment, std::span<const KeyRange> ranges, std::uint32_t range, std::uint32_t segment_bytes) {
  RecoveryData body;
  body.segment = index(segment.identity.segment);
  body.master = index(segment.identity.master);
  body.ranges = static_cast<std::uint16_t>(ranges.size());
  body.range = range;
  body.bytes = segment_bytes;
  Asked asked;
  asked.bytes.resize(sizeof(body) + ranges.size_bytes());
  std::memcpy(asked.bytes.data(), &body, sizeof(body));
  std::memcpy(asked.bytes.data() + sizeof(body), ranges.data(), ranges.size_bytes());
  asked.message.body = asked.bytes;
  return asked;
}

Asked ask(const Segment& segment, std::span<const KeyRange> ranges, std::uint32_t range) {
  return ask(segment, ranges, range, segment.sealed);
}

std::size_t entry_bytes(const Op& op) { return op.head.size() - sizeof(RpcHeader) - sizeof(RecoveryDataAnswer); }

TEST(RecoverySource, WhoAsksWithOtherRangesIsToldItsOwn) {
  const Written written;
  const Segment& segment = written.log.head();
  const RecoverySource::Place place{segment.memory, 0};
  RecoverySource source(kSegmentBytes, false);
  Outbox out;
  // given two that wait for a half each, and between them one that asks for all: tablets were split meanwhile
  const std::vector<KeyRange> halves = {{1, 0, kLast / 2}, {1, kLast / 2 + 1, kLast}};
  const std::vector<KeyRange> all = {{1, 0, kLast}};
  const Asked first = ask(segment, halves, 0);
  const Asked whole = ask(segment, all, 0);
  const Asked second = ask(segment, halves, 1);
  source.on_request(7, 70, first.message, segment.identity, place, out);
  source.on_request(8, 80, whole.message, segment.identity, place, out);
  source.on_request(9, 90, second.message, segment.identity, place, out);
  while (source.needs_turn()) source.advance(out);
  // expect each to get its own: the halves are all but for the segment's header, which both get
  std::map<std::uint64_t, std::size_t> bytes;
  for (const Op& op : out.ops()) bytes[op.answers] += entry_bytes(op);
  ASSERT_EQ(bytes.size(), 3u);
  EXPECT_EQ(bytes[70] + bytes[90], bytes[80] + kEntryHeaderBytes + sizeof(SegmentHeader));
  EXPECT_GT(bytes[90], kEntryHeaderBytes + sizeof(SegmentHeader));
}

TEST(RecoverySource, WhatCouldNotBeReadIsReadAgainForWhoAsksAgain) {
  const Written written;
  const Segment& segment = written.log.head();
  const RecoverySource::Place place{{}, segment.sealed};
  RecoverySource source(kSegmentBytes, false);
  const std::vector<KeyRange> all = {{1, 0, kLast}};
  const Asked asked = ask(segment, all, 0);
  for (const bool is_done : {false, false, true}) {
    // given one that asks for a stored replica, and storage that fails twice
    Outbox request;
    source.on_request(7, 70, asked.message, segment.identity, place, request);
    ASSERT_EQ(request.storage_ops().size(), 1u);
    const StorageOp& read = request.storage_ops()[0];
    std::memcpy(read.destination.data(), segment.memory.data(), read.destination.size());
    source.on_read(read.ticket, is_done);
    Outbox out;
    while (source.needs_turn()) source.advance(out);
    // expect a refusal, and the data when it can be read
    ASSERT_EQ(out.ops().size(), 1u);
    EXPECT_EQ(entry_bytes(out.ops()[0]) > 0, is_done);
  }
}

TEST(RecoverySource, WhoGoesByLessOfAHeadIsToldNoMore) {
  Written written;
  const std::uint32_t some = written.log.head().sealed;
  written.write(21, 40);
  const Segment& segment = written.log.head();
  const RecoverySource::Place place{segment.memory, 0};
  RecoverySource source(kSegmentBytes, false);
  Outbox out;
  // given one recovery master whose plan has all of the head, and one whose plan was made when only less was found
  const std::vector<KeyRange> all = {{1, 0, kLast}};
  const Asked longer = ask(segment, all, 0);
  const Asked shorter = ask(segment, all, 0, some);
  source.on_request(7, 70, longer.message, segment.identity, place, out);
  while (source.needs_turn()) source.advance(out);
  source.on_request(8, 80, shorter.message, segment.identity, place, out);
  source.on_request(9, 90, longer.message, segment.identity, place, out);
  while (source.needs_turn()) source.advance(out);
  // expect each to be told as much as it asked for
  std::map<std::uint64_t, std::size_t> bytes;
  for (const Op& op : out.ops()) bytes[op.answers] += entry_bytes(op);
  const std::size_t segment_header = kEntryHeaderBytes + sizeof(SegmentHeader);
  EXPECT_EQ(bytes[80], segment_header + 20 * Written::kObjectBytes);
  EXPECT_EQ(bytes[70], segment_header + 40 * Written::kObjectBytes);
  EXPECT_EQ(bytes[90], bytes[70]);
}

}  // namespace
}  // namespace slipstream
