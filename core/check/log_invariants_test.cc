#include "core/check/log_invariants.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/check/made_segment.h"

namespace slipstream {
namespace {

constexpr NodeId kMaster{1};

std::uint64_t position(std::uint64_t segment, std::uint64_t offset) { return segment << 32 | offset; }

// A log of the closed segments 3 and 4 and the head 6, and what a world would tell of it.
class LogInvariants : public testing::Test {
 protected:
  LogInvariants() : rng_(1, "log-invariants-test") {
    made_.reserve(4);
    for (const std::uint64_t id : {3U, 4U, 6U}) {
      std::vector<std::uint64_t> digest{2};  // which is gone since
      for (const MadeSegment& s : made_) digest.push_back(index(s.identity().segment));
      digest.push_back(id);
      made_.emplace_back(SegmentIdentity{kMaster, SegmentId{id}, 2}, digest);
      grow();
      grow();
    }
    now_ = snapshot();
    now_.durable = position(6, made_.back().sealed());
    now_.answered = position(6, 100);
  }

  void grow() {
    made_.back().append(40 + rng_.below(100), rng_);
    made_.back().seal();
  }

  LogSnapshot snapshot() const {
    LogSnapshot log;
    log.master = kMaster;
    for (const MadeSegment& s : made_) {
      log.segments.push_back(
          {s.identity(), s.bytes(), s.appended(), s.sealed(), s.crc(), &s != &made_.back(), {s.sealed(), 100}});
    }
    return log;
  }

  static void expect_finding(const Findings& findings, const std::string& part) {
    for (const Finding& f : findings) EXPECT_EQ(f.kind, FindingKind::kLog);
    EXPECT_NE(describe(findings).find(part), std::string::npos) << describe(findings) << "has no " << part;
  }
  void expect_finding(const std::string& part) const { expect_finding(check_log(now_), part); }

  Rng rng_;
  std::vector<MadeSegment> made_;
  LogSnapshot now_;
};

TEST_F(LogInvariants, AGoodLogHasNoFindings) {
  EXPECT_EQ(describe(check_log(now_)), "");
  EXPECT_EQ(describe(check_log(now_, now_)), "");
  EXPECT_EQ(describe(check_log(LogSnapshot{})), "");
  // what is appended need not be sealed
  made_.back().append(30, rng_);
  now_.segments.back().appended = made_.back().appended();
  EXPECT_EQ(describe(check_log(now_)), "");
}

TEST_F(LogInvariants, IdsRiseAndThereIsOneHead) {
  std::swap(now_.segments[0], now_.segments[1]);
  expect_finding("segment 3 out of order");
  now_ = snapshot();
  now_.segments[1].closed = false;
  expect_finding("segment 4 is open, though not the last");
  now_ = snapshot();
  now_.segments.pop_back();
  expect_finding("no head");
}

TEST_F(LogInvariants, EverythingBelowSealedVerifies) {
  // given, one after the other, each sealed byte of a closed segment inverted
  for (std::size_t at = 0; at < made_[1].sealed(); ++at) {
    made_[1].memory()[at] ^= std::byte{2};
    expect_finding("segment 4: ");
    made_[1].memory()[at] ^= std::byte{2};
  }
  EXPECT_EQ(describe(check_log(now_)), "");
  now_.segments[2].sealed += 4;
  now_.segments[2].appended += 8;
  expect_finding("segment 6: ");
}

TEST_F(LogInvariants, BoundsAreKept) {
  now_.segments[2].sealed = now_.segments[2].appended + 1;
  expect_finding("bytes sealed");
  now_ = snapshot();
  now_.segments[2].appended = static_cast<std::uint32_t>(made_[2].bytes().size() + 1);
  expect_finding("of memory");
  now_ = snapshot();
  now_.segments[1].appended += 20;
  expect_finding("closed with");
  now_ = snapshot();
  now_.segments[0].acked[1] = now_.segments[0].sealed + 1;
  expect_finding("a replica acknowledged");
}

TEST_F(LogInvariants, TheHeadsDigestNamesAllLiveSegments) {
  made_.emplace_back(SegmentIdentity{kMaster, SegmentId{7}, 2}, std::vector<std::uint64_t>{3, 6, 7});
  expect_finding(check_log(snapshot()), "the digest of head 7 does not name segment 4");
}

TEST_F(LogInvariants, ASegmentStartsWithItsOwnHeader) {
  // given a segment under the identity of another: its chain does not verify
  now_.segments[0].identity.epoch = 9;
  expect_finding("segment 3: ");
  now_ = snapshot();
  now_.segments[0].identity.master = NodeId{2};
  expect_finding("segment 3 is master 2's");
}

TEST_F(LogInvariants, AnsweredIsDurableIsSealed) {
  now_.durable = position(6, made_.back().sealed() + 1);
  expect_finding("durable up to");
  now_ = snapshot();
  now_.durable = position(4, 10);
  now_.answered = position(4, 11);
  expect_finding("answered up to");
  // while a lost replica is made anew, what was durable is not
  now_.restoring = true;
  EXPECT_EQ(describe(check_log(now_)), "");
}

TEST_F(LogInvariants, OfTwoStatesSealedBytesAreTheSame) {
  // given a later state that has more of all: no findings
  const LogSnapshot earlier = now_;
  grow();
  LogSnapshot later = snapshot();
  later.durable = later.answered = position(6, made_.back().sealed());
  EXPECT_EQ(describe(check_log(earlier, later)), "");
  // given other contents of the same length, with certificates that verify
  Rng one(1, "contents");
  Rng two(2, "contents");
  MadeSegment was(made_.back().identity(), {2, 3, 4, 6});
  MadeSegment is = was;
  was.append(100, one);
  is.append(100, two);
  was.seal();
  is.seal();
  LogSnapshot before = later;
  before.segments[2] = {was.identity(), {}, was.appended(), was.sealed(), was.crc(), false, {}};
  LogSnapshot after = later;
  after.segments[2] = {is.identity(), is.bytes(), is.appended(), is.sealed(), is.crc(), false, {}};
  expect_finding(check_log(before, after), "segment 6: its");
  // given other batches
  MadeSegment other({kMaster, SegmentId{6}, 2}, {2, 3, 4, 6});
  while (other.sealed() < earlier.segments[2].sealed) {
    other.append(20, rng_);
    other.seal();
  }
  later.segments[2].bytes = other.bytes();
  later.segments[2].appended = later.segments[2].sealed = other.sealed();
  later.segments[2].crc = other.crc();
  EXPECT_EQ(describe(check_log(later)).find("valid are"), std::string::npos);
  expect_finding(check_log(earlier, later), "sealed bytes have changed");
  // given fewer
  expect_finding(check_log(later, earlier), "segment 6: ");
}

TEST_F(LogInvariants, OfTwoStatesIdsDoNotComeBack) {
  LogSnapshot earlier = now_;
  earlier.segments.erase(earlier.segments.begin() + 1);
  expect_finding(check_log(earlier, now_), "segment 4 came back");
  // but old ones may go, and new ones come
  EXPECT_EQ(describe(check_log(now_, earlier)), "");
  made_.emplace_back(SegmentIdentity{kMaster, SegmentId{7}, 2}, std::vector<std::uint64_t>{3, 4, 6, 7});
  LogSnapshot later = snapshot();
  later.durable = later.answered = now_.durable;
  EXPECT_EQ(describe(check_log(now_, later)), "");
  expect_finding(check_log(later, now_), "segment 6 was closed, and is open");
}

TEST_F(LogInvariants, OfTwoStatesWhatWasAnsweredStaysDurable) {
  LogSnapshot later = now_;
  later.answered -= 1;
  expect_finding(check_log(now_, later), "answered up to");
  later = now_;
  later.durable = now_.answered - 1;
  expect_finding(check_log(now_, later), "durable up to");
  later.restoring = true;
  EXPECT_EQ(describe(check_log(now_, later)), "");
}

}  // namespace
}  // namespace slipstream
