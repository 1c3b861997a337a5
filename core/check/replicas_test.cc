#include "core/check/replicas.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/check/made_segment.h"

namespace slipstream {
namespace {

constexpr std::uint32_t kFactor = 2;
constexpr NodeId kMaster{1};

// A closed segment 0 and the head 1 of one master, each on the backups 2 and 3; the closed one's second copy is stored.
class Replicas : public testing::Test {
 protected:
  Replicas() : closed_({kMaster, SegmentId{0}, 5}, {0}), head_({kMaster, SegmentId{1}, 5}, {0, 1}) {
    Rng rng(1, "replicas-test");
    for (MadeSegment* s : {&closed_, &head_}) {
      for (int i = 0; i < 5; ++i) {
        s->append(50 + rng.below(100), rng);
        s->seal();
      }
    }
    for (MadeSegment* s : {&closed_, &head_}) {
      for (int i = 0; i < 2; ++i) buffers_.push_back(s->copy());
    }
    buffers_[1].resize(closed_.sealed());
    primaries_ = {{closed_.identity(), closed_.bytes(), closed_.sealed(), true, {}},
                  {head_.identity(), head_.bytes(), head_.sealed(), false, {}}};
    copies_ = {{NodeId{2}, kMaster, SegmentId{0}, buffers_[0], true, false, closed_.sealed()},
               {NodeId{3}, kMaster, SegmentId{0}, buffers_[1], true, true, 0},
               {NodeId{2}, kMaster, SegmentId{1}, buffers_[2], false, false, 0},
               {NodeId{3}, kMaster, SegmentId{1}, buffers_[3], false, false, 0}};
  }

  // The only finding's text, which must be about one segment; nothing when all is well.
  std::string finding() const {
    const Findings findings = check_replicas(primaries_, copies_, kFactor);
    EXPECT_LE(findings.size(), 1U) << describe(findings);
    if (findings.empty()) return {};
    EXPECT_EQ(findings[0].kind, FindingKind::kReplicas);
    return findings[0].text;
  }
  void expect_finding(const std::string& part) const {
    const std::string text = finding();
    EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" has no \"" << part << "\"";
  }

  MadeSegment closed_;
  MadeSegment head_;
  std::vector<std::vector<std::byte>> buffers_;
  std::vector<PrimarySegment> primaries_;
  std::vector<FoundCopy> copies_;
};

TEST_F(Replicas, EqualOnesAreFine) {
  EXPECT_EQ(finding(), "");
  // with garbage behind what is sealed, and copies of segments that nobody has
  buffers_[2][head_.sealed() + 1] = std::byte{7};
  copies_.push_back({NodeId{4}, kMaster, SegmentId{99}, buffers_[0], true, false, 0});
  primaries_[1].holders = {NodeId{3}, NodeId{2}};
  EXPECT_EQ(finding(), "");
}

TEST_F(Replicas, AnyByteThatDiffersIsTold) {
  // given, one after the other, each byte of a replica and of a stored frame inverted
  for (const std::size_t which : {1U, 2U}) {
    const std::size_t sealed = which == 1 ? closed_.sealed() : head_.sealed();
    for (std::size_t at = 0; at < sealed; ++at) {
      buffers_[which][at] ^= std::byte{0x10};
      expect_finding("differs at byte " + std::to_string(at) + ":");
      buffers_[which][at] ^= std::byte{0x10};
    }
  }
}

TEST_F(Replicas, AMissingCopyIsTold) {
  copies_.erase(copies_.begin() + 2);
  expect_finding("segment 1 of master 1");
  expect_finding("whole on 1 backups instead of 2");
}

TEST_F(Replicas, TwoCopiesOnOneBackupAreOne) {
  copies_[3].backup = NodeId{2};
  expect_finding("whole on 1 backups instead of 2");
}

TEST_F(Replicas, ThePrimarysOwnCopyIsNone) {
  copies_[3].backup = kMaster;
  expect_finding("is the primary's own");
}

TEST_F(Replicas, ACopyThatLagsIsTold) {
  // given a replica without the last batch
  buffers_[3] = MadeSegment(head_.identity(), {0, 1}).copy();
  copies_[3].bytes = buffers_[3];
  expect_finding("of backup 3 differs at byte");
}

TEST_F(Replicas, ACopyWithMoreThanWasSealedIsTold) {
  // given a replica that goes on with a valid batch of which the primary knows nothing
  Rng rng(2, "zombie");
  MadeSegment zombie = head_;
  zombie.append(30, rng);
  zombie.seal();
  buffers_[3] = zombie.copy();
  copies_[3].bytes = buffers_[3];
  expect_finding("is valid up to byte " + std::to_string(zombie.sealed()));
}

TEST_F(Replicas, ShortAndLongFramesAreTold) {
  copies_[1].bytes = ConstBytes(buffers_[1]).first(100);
  expect_finding("ends at byte 100");
  buffers_[1].push_back(std::byte{0});
  copies_[1].bytes = buffers_[1];
  expect_finding("the stored frame of backup 3 has");
}

TEST_F(Replicas, AWrongCloseIsTold) {
  copies_[0].closed_bytes -= 12;
  expect_finding("was closed at");
  copies_[0].closed_bytes += 12;
  copies_[2].closed = true;
  copies_[2].closed_bytes = head_.sealed();
  expect_finding("is closed, the segment is not");
}

TEST_F(Replicas, EveryHolderMustBeWhole) {
  // given a third copy, torn, that the primary counts on
  std::vector<std::byte> torn = head_.copy();
  torn[60] ^= std::byte{1};
  copies_.push_back({NodeId{4}, kMaster, SegmentId{1}, torn, false, false, 0});
  EXPECT_EQ(finding(), "");
  primaries_[1].holders = {NodeId{2}, NodeId{4}};
  expect_finding("not whole on backup 4");
}

TEST_F(Replicas, ThePrimarysOwnBytesAreChecked) {
  head_.memory()[70] ^= std::byte{1};
  expect_finding("the primary's own bytes are valid up to");
}

}  // namespace
}  // namespace slipstream
