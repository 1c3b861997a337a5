#include "core/log/log.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/log/certificate_walk.h"

namespace slipstream {
namespace {

constexpr std::size_t kSegment = 4096;

// A log over memory of its own, filled with batches of random entries.
struct LogFixture {
  explicit LogFixture(std::uint64_t seed, std::uint16_t master = 1, std::size_t segments = 8)
      : bytes(segments * kSegment),
        log({.segment_bytes = kSegment, .memory_bytes = bytes.size()}, NodeId{master}, Region{0, bytes}),
        rng(seed, "log-test") {}

  // Appends one entry of random size and contents; false when the log is full.
  bool append_random() {
    const std::size_t size = rng.below(200);
    std::byte* const at = log.append(kEntryHeaderBytes + size, out);
    if (at == nullptr) return false;
    store(at, EntryHeader(EntryType::kObject, size));
    for (std::size_t i = 0; i < size; ++i) at[kEntryHeaderBytes + i] = static_cast<std::byte>(rng.next());
    return true;
  }
  // Batches of 1 to 5 entries until the first segment is closed; notes where its certificates end.
  void fill_first_segment() {
    while (log.segments().size() < 2) {
      for (std::uint64_t n = 1 + rng.below(5); n > 0; --n) ASSERT_TRUE(append_random());
      log.seal(out);
      if (log.segments().size() == 1) ends.push_back(log.head().sealed);
    }
    if (ends.empty() || ends.back() != log.slot(0).sealed) ends.push_back(log.slot(0).sealed);
  }
  ConstBytes first() const { return log.slot(0).memory; }
  SegmentIdentity identity() const { return log.slot(0).identity; }
  // The last certificate's end at or below `bytes`; the opening batch counts.
  std::size_t certified_below(std::size_t limit) const {
    std::size_t best = 0;
    for_each_entry(first().first(log.slot(0).sealed), [&](EntryType type, ConstBytes contents, std::size_t at) {
      const std::size_t end = at + kEntryHeaderBytes + contents.size();
      if (type == EntryType::kCertificate && end <= limit) best = std::max(best, end);
    });
    return best;
  }

  std::vector<std::byte> bytes;
  Log log;
  Rng rng;
  Outbox out;
  std::vector<std::size_t> ends;
};

TEST(Log, EverySegmentStartsWithHeaderAndDigest) {
  // given a log that rolled several times
  LogFixture f(1);
  while (f.append_random()) f.log.seal(f.out);
  ASSERT_EQ(f.log.segments().size(), 8u);
  // expect each segment to name itself, list all live ones up to it, and validate to its end
  for (std::uint32_t s = 0; s < f.log.segments().size(); ++s) {
    const Segment& segment = f.log.slot(s);
    const auto header = load<SegmentHeader>(segment.memory.data() + kEntryHeaderBytes);
    EXPECT_EQ(header.segment, s);
    EXPECT_EQ(header.master, 1);
    const std::byte* digest = segment.memory.data() + kEntryHeaderBytes + sizeof(SegmentHeader);
    EXPECT_EQ(load<EntryHeader>(digest).type(), EntryType::kDigest);
    EXPECT_EQ(load<EntryHeader>(digest).length(), 8 * (s + 1));
    EXPECT_EQ(walk_certificates(segment.memory, segment.identity).valid_bytes(), segment.sealed);
    EXPECT_EQ(segment.closed, s + 1 < f.log.segments().size());
  }
}

TEST(Log, PositionsRiseAcrossRolls) {
  LogFixture f(2);
  LogPosition last = 0;
  while (f.append_random()) {
    EXPECT_GT(f.log.appended_position(), last);
    last = f.log.appended_position();
  }
}

TEST(CertificateWalk, TruncationAtEveryByteKeepsWholeBatches) {
  LogFixture f(3);
  f.fill_first_segment();
  for (std::size_t cut = 0; cut <= kSegment; ++cut) {
    // given a replica that ends at any byte, expect the last certificate wholly in front of the cut
    const std::size_t valid = walk_certificates(f.first().first(cut), f.identity()).valid_bytes();
    ASSERT_EQ(valid, f.certified_below(cut)) << "cut at " << cut;
  }
}

TEST(CertificateWalk, AnyFlippedBitEndsTheValidPrefixBeforeIt) {
  LogFixture f(4);
  f.fill_first_segment();
  std::vector<std::byte> replica(f.first().begin(), f.first().end());
  const std::size_t sealed = f.log.slot(0).sealed;
  for (std::size_t bit = 0; bit < sealed * 8; ++bit) {
    // given a single flipped bit anywhere, header and certificate bytes included
    replica[bit / 8] ^= std::byte{1} << (bit % 8);
    // expect all batches before it, and neither it nor anything behind it
    ASSERT_EQ(walk_certificates(replica, f.identity()).valid_bytes(), f.certified_below(bit / 8)) << "bit " << bit;
    replica[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST(CertificateWalk, AnySubsetOfBlocksMissing) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    LogFixture f(100 + seed);
    f.fill_first_segment();
    Rng rng(seed, "blocks");
    // given a buffer with old bytes in which an arbitrary subset of 64-byte blocks of the new bytes has landed
    std::vector<std::byte> replica(kSegment);
    for (auto& b : replica) b = static_cast<std::byte>(rng.next());
    std::size_t first_damage = kSegment;
    const std::uint64_t missing = 1 + rng.below(16);
    for (std::size_t block = 0; block < kSegment; block += 64) {
      if (rng.below(16) >= missing) {
        std::copy_n(f.first().begin() + static_cast<std::ptrdiff_t>(block), 64,
                    replica.begin() + static_cast<std::ptrdiff_t>(block));
      } else {
        first_damage = std::min(first_damage, block);
      }
    }
    // expect exactly the batches that end before the first missing block
    EXPECT_EQ(walk_certificates(replica, f.identity()).valid_bytes(), f.certified_below(first_damage)) << seed;
  }
}

TEST(CertificateWalk, ARecycledBufferFullOfOldValidDataHoldsNothing) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    LogFixture old_log(seed, 1);
    old_log.fill_first_segment();
    // given the whole valid bytes of another segment: another id, another epoch or another master
    for (const SegmentIdentity other :
         {SegmentIdentity{NodeId{1}, SegmentId{1}, 0}, SegmentIdentity{NodeId{1}, SegmentId{0}, 1},
          SegmentIdentity{NodeId{2}, SegmentId{0}, 0}}) {
      EXPECT_EQ(walk_certificates(old_log.first(), other).valid_bytes(), 0u);
    }
    // and new data over the start of old data that is the same byte for byte behind it
    LogFixture fresh(seed, 2);
    fresh.fill_first_segment();
    std::vector<std::byte> replica(old_log.first().begin(), old_log.first().end());
    const std::size_t landed = fresh.rng.below(kSegment);
    std::copy_n(fresh.first().begin(), landed, replica.begin());
    // expect only what of the new data landed whole
    EXPECT_EQ(walk_certificates(replica, fresh.identity()).valid_bytes(), fresh.certified_below(landed)) << seed;
  }
}

TEST(CertificateWalk, InPiecesAsAtOnce) {
  LogFixture f(5);
  f.fill_first_segment();
  const CertificateWalk whole = walk_certificates(f.first(), f.identity());
  CertificateWalk pieces(f.identity());
  int turns = 0;
  while (pieces.advance(f.first(), 100)) ++turns;
  EXPECT_GT(turns, 5);
  EXPECT_EQ(pieces.valid_bytes(), whole.valid_bytes());
  EXPECT_EQ(pieces.crc(), whole.crc());
  EXPECT_EQ(whole.valid_bytes(), f.log.slot(0).sealed);
  EXPECT_EQ(whole.crc(), f.log.slot(0).crc);
}

TEST(CertificateWalk, RandomBytesAreNeverReadOutOfBounds) {
  Rng rng(6, "garbage");
  for (int round = 0; round < 2000; ++round) {
    // given garbage whose headers look known, in a buffer of exactly its size (the sanitizer watches its ends)
    std::vector<std::byte> garbage(rng.below(300));
    for (auto& b : garbage) b = static_cast<std::byte>(rng.chance(1, 2) ? rng.below(8) : rng.next());
    EXPECT_EQ(walk_certificates(garbage, {NodeId{1}, SegmentId{1}, 1}).valid_bytes(), 0u);
  }
}

}  // namespace
}  // namespace slipstream
