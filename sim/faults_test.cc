// Every kind of fault: what it does to the nodes it strikes, and to no other.
#include "sim/faults.h"

#include <set>

#include <gtest/gtest.h>

#include "sim/puppet.h"

namespace slipstream::sim {
namespace {

constexpr TimeNs kSoon = 20 * kMicrosecond;  // all is connected and granted by then
constexpr TimeNs kTimeout = kMillisecond;    // nic.timeout of plain_hardware()
constexpr NodeId kWriter{0};
constexpr NodeId kTarget{1};

SimOptions puppets_options() {
  SimOptions options;
  options.threading = Threading::kRunToCompletion;
  options.keep_stored_bytes = true;
  return options;
}

// A plan on a world of puppets; by default node 0 has a channel to node 1.
struct Stage : PuppetWorld {
  explicit Stage(const std::vector<Fault>& plan, std::vector<std::vector<std::uint16_t>> dials = {{1}, {}},
                 const SimOptions& options = puppets_options(), std::uint64_t seed = 1)
      : PuppetWorld(std::move(dials), options), faults(world, FaultPlan{.faults = plan}, seed) {}
  explicit Stage(const FaultPlan& plan, std::uint64_t seed)
      : PuppetWorld({{1}, {}}, puppets_options()), faults(world, plan, seed) {}

  // Which of the first bytes of the target's memory, from `offset` on, are the writer's: the rest is as it was.
  std::vector<bool> landed(std::size_t size, std::size_t offset = 0) {
    std::vector<bool> here(size);
    for (std::size_t i = 0; i < size; ++i) {
      const std::byte found = puppet(1).memory()[offset + i];
      here[i] = found == puppet(0).source()[i];
      EXPECT_TRUE(here[i] || found == std::byte{0});
    }
    return here;
  }

  Faults faults;
};

std::size_t count(const std::vector<bool>& here) {
  return static_cast<std::size_t>(std::count(here.begin(), here.end(), true));
}

TEST(Faults, ACrashAndItsRestart) {
  // Given a crash that lasts, one for good, and one of a node that is dead. Expect a second life, none, and two done.
  Stage s({{.kind = FaultKind::kCrash, .at_ns = kSoon, .node = kTarget, .lasts_ns = 50 * kMicrosecond},
           {.kind = FaultKind::kCrash, .at_ns = kSoon + 100, .node = kTarget},
           {.kind = FaultKind::kCrash, .at_ns = 5 * kSoon, .node = kWriter}});
  s.run();
  EXPECT_EQ(s.notes[1].lives, 2);
  EXPECT_TRUE(s.world.alive(kTarget));
  EXPECT_FALSE(s.world.alive(kWriter));
  EXPECT_EQ(s.faults.done(FaultKind::kCrash), 2u);
  EXPECT_EQ(s.faults.done(), 2u);
  EXPECT_EQ(s.faults.waiting(), 0u);
}

TEST(Faults, APause) {
  // Given a message to a node that stands still for 100 us. Expect it seen when the node goes on.
  Stage s({{.kind = FaultKind::kPause, .at_ns = kSoon, .node = kTarget, .lasts_ns = 100 * kMicrosecond}});
  s.say(kSoon + 1, 0, 1, "hello");
  s.run();
  EXPECT_EQ(s.notes[1].texts("hello"), 1u);
  EXPECT_GE(s.notes[1].last(EventKind::kMessage), kSoon + 100 * kMicrosecond);
  EXPECT_EQ(s.faults.done(FaultKind::kPause), 1u);
}

TEST(Faults, ASlowNodeIsFastAgain) {
  // Given messages after 1 us of work each, from a node that is 10 times as slow for a while. Expect the ones in that
  // time to take as long, and one behind it to be as fast as one before it.
  Stage s({{.kind = FaultKind::kSlow, .at_ns = 2 * kSoon, .node = kWriter, .lasts_ns = kSoon, .factor = 10}});
  const auto work_and_say = [](Outbox& out) {
    out.work(Work::kRequest);
    std::memcpy(out.send(1, 2), "hi", 2);
  };
  std::vector<TimeNs> took;
  for (const TimeNs at : {kSoon, 2 * kSoon + 10, 4 * kSoon}) s.at(at, 0, work_and_say);
  for (const TimeNs at : {kSoon, 2 * kSoon + 10, 4 * kSoon}) {
    s.run_until(at + kSoon - 20);
    took.push_back(s.notes[1].last(EventKind::kMessage) - at);
  }
  EXPECT_NEAR(static_cast<double>(took[1]), static_cast<double>(took[0] + 9 * 1200), 300);
  EXPECT_EQ(took[2], took[0]);
}

TEST(Faults, AShortPartitionOnlyDelays) {
  // Given a partition shorter than nic.timeout, and messages and a write both ways in it. Expect all of it once and in
  // order when it heals, acknowledged, and no channel dead.
  const TimeNs heals = kSoon + kTimeout / 2;
  Stage s(
      {{.kind = FaultKind::kPartition, .at_ns = kSoon, .node = kWriter, .peer = kTarget, .lasts_ns = heals - kSoon}});
  for (int i = 0; i < 3; ++i) s.say(kSoon + 10 + i * 500, 0, 1, "to" + std::to_string(i));
  s.say(kSoon + 10, 1, kFirstAccepted, "back");
  s.write(kSoon + 2000, 0, 1, 5000, 0, 9);
  s.run_until(heals);
  EXPECT_EQ(s.notes[1].texts("to0") + s.notes[0].texts("back"), 0u);
  EXPECT_EQ(count(s.landed(5000)), 0u);
  s.run();
  std::string heard;
  for (const Seen& seen : s.notes[1].seen) heard += seen.text;
  EXPECT_EQ(heard, "to0to1to2");
  EXPECT_GE(s.notes[1].last(EventKind::kMessage), heals);
  EXPECT_LE(s.notes[1].last(EventKind::kMessage), heals + 5 * kMicrosecond);
  EXPECT_EQ(s.notes[0].texts("back"), 1u);
  EXPECT_EQ(count(s.landed(5000)), 5000u);
  EXPECT_EQ(s.notes[0].count(EventKind::kAcked), 1u);
  EXPECT_EQ(s.notes[0].count(EventKind::kDown) + s.notes[1].count(EventKind::kDown), 0u);
}

TEST(Faults, ALongPartitionKillsWhatWaits) {
  // Given a partition longer than nic.timeout, a channel with a message under way, and an idle one. Expect the first
  // down at its sender nic.timeout after the message, at its receiver soon after the healing at the latest, and the
  // message never; the idle one alive.
  Stage s({{.kind = FaultKind::kPartition, .at_ns = kSoon, .node = kWriter, .lasts_ns = 3 * kTimeout}},
          {{1, 2}, {}, {}});
  s.say(kSoon + 1000, 0, 1, "lost");
  s.say(kSoon + 4 * kTimeout, 0, 2, "idle no more");
  s.run();
  EXPECT_EQ(s.notes[0].count(EventKind::kDown), 1u);
  EXPECT_GE(s.notes[0].last(EventKind::kDown), kSoon + kTimeout);
  EXPECT_LE(s.notes[0].last(EventKind::kDown), kSoon + kTimeout + 5 * kMicrosecond);
  EXPECT_EQ(s.notes[1].count(EventKind::kDown), 1u);
  EXPECT_LE(s.notes[1].last(EventKind::kDown), kSoon + 3 * kTimeout + 5 * kMicrosecond);
  EXPECT_EQ(s.notes[1].texts("lost"), 0u);
  EXPECT_EQ(s.notes[2].count(EventKind::kDown), 0u);
  EXPECT_EQ(s.notes[2].texts("idle no more"), 1u);
}

TEST(Faults, APartitionForGoodIsNoticedAtBothEnds) {
  // Given a partition that never heals and one message. Expect kDown at its sender after a time-out, and at the other
  // end after one more.
  Stage s({{.kind = FaultKind::kPartition, .at_ns = kSoon, .node = kWriter, .peer = kTarget}});
  s.say(kSoon + 1000, 0, 1, "lost");
  s.run();
  EXPECT_EQ(s.notes[0].count(EventKind::kDown), 1u);
  EXPECT_EQ(s.notes[1].count(EventKind::kDown), 1u);
  EXPECT_LE(s.notes[1].last(EventKind::kDown), kSoon + 2 * kTimeout + 10 * kMicrosecond);
}

TEST(Faults, AOneWayPartitionLetsTheOtherWayPass) {
  // Given nothing passing from the target to the writer, a message and a write from the writer, and an answer. Expect
  // both at the target; no acknowledgement and no answer; and, though the message asked for no acknowledgement, the
  // writer's channel dead after nic.timeout.
  Stage s(
      {{.kind = FaultKind::kPartitionOut, .at_ns = kSoon, .node = kTarget, .peer = kWriter, .lasts_ns = 2 * kTimeout}});
  s.say(kSoon + 10, 0, 1, "hello");
  s.write(kSoon + 10, 0, 1, 3000, 0, 9);
  s.run();
  EXPECT_EQ(s.notes[1].texts("hello"), 1u);
  EXPECT_EQ(count(s.landed(3000)), 3000u);
  EXPECT_EQ(s.notes[0].count(EventKind::kAcked), 0u);
  EXPECT_EQ(s.notes[0].count(EventKind::kDown), 1u);
  EXPECT_EQ(s.notes[1].count(EventKind::kDown), 1u);
  EXPECT_EQ(s.faults.done(FaultKind::kPartitionOut), 1u);
}

TEST(Faults, OverlappingPartitionsHealWithTheLast) {
  // Given two partitions of the same nodes, one inside the other and one longer. Expect nothing to pass before the end
  // of the longest.
  Stage s({{.kind = FaultKind::kPartition, .at_ns = kSoon, .node = kWriter, .peer = kTarget, .lasts_ns = 100'000},
           {.kind = FaultKind::kPartition, .at_ns = kSoon + 10'000, .node = kTarget, .lasts_ns = 200'000}});
  s.say(kSoon + 20'000, 0, 1, "hello");
  s.run();
  EXPECT_GE(s.notes[1].last(EventKind::kMessage), kSoon + 210'000);
  EXPECT_EQ(s.notes[1].texts("hello"), 1u);
}

TEST(Faults, ConnectsAcrossAPartitionTimeOutOrWait) {
  // Given dials into a partition that heals before nic.timeout and one that does not, whose dial or whose answer is
  // held back. Expect kConnected after the healing, or kDown after nic.timeout; and no end left alone.
  for (const FaultKind kind : {FaultKind::kPartition, FaultKind::kPartitionOut}) {
    for (const TimeNs lasts : {kTimeout / 2, 2 * kTimeout}) {
      Stage s({{.kind = kind, .at_ns = kSoon, .node = kTarget, .peer = kWriter, .lasts_ns = lasts}}, {{}, {}});
      s.at(kSoon + 10, 0, [](Outbox& out) { out.connect(1, kTarget); });
      s.run();
      const bool up = lasts < kTimeout;
      EXPECT_EQ(s.notes[0].count(EventKind::kConnected), up ? 1u : 0u);
      EXPECT_EQ(s.notes[0].count(EventKind::kDown), up ? 0u : 1u);
      EXPECT_EQ(s.notes[1].count(EventKind::kConnected) - s.notes[1].count(EventKind::kDown), up ? 1u : 0u);
    }
  }
}

TEST(Faults, AChannelLossIsToldAtBothEnds) {
  // Given three nodes, all connected, and a loss between two of them. Expect both ends of that channel told once, and
  // the other channels alive.
  Stage s({{.kind = FaultKind::kChannelLoss, .at_ns = kSoon, .node = kTarget, .peer = kWriter},
           {.kind = FaultKind::kChannelLoss, .at_ns = 2 * kSoon, .node = kTarget, .peer = kWriter}},
          {{1, 2}, {2}, {}});
  s.say(3 * kSoon, 0, 2, "alive");
  s.say(3 * kSoon, 1, 1, "alive");
  s.run();
  EXPECT_EQ(s.notes[0].count(EventKind::kDown), 1u);
  EXPECT_EQ(s.notes[1].count(EventKind::kDown), 1u);
  EXPECT_EQ(s.notes[2].texts("alive"), 2u);
  EXPECT_EQ(s.faults.done(FaultKind::kChannelLoss), 1u);  // the second found none
}

TEST(Faults, AWriteTornAtEveryByte) {
  // Given a write of two packets torn by every salt up to its size. Expect exactly so many bytes from its start as the
  // salt says, each cut once, both ends down, no acknowledgement, and an earlier write whole.
  constexpr std::size_t kSize = 1300;
  for (std::size_t cut = 0; cut <= kSize; ++cut) {
    Stage s({{.kind = FaultKind::kTornWrite, .at_ns = kSoon + 10, .node = kWriter, .tear = Tear::kWhole, .salt = cut}});
    s.write(kSoon, 0, 1, 700, 10'000, 8);
    s.write(kSoon + 20, 0, 1, kSize, 0, 9);
    s.run();
    const std::vector<bool> here = s.landed(kSize);
    ASSERT_EQ(count(here), cut);
    ASSERT_TRUE(std::all_of(here.begin(), here.begin() + static_cast<std::ptrdiff_t>(cut), [](bool b) { return b; }));
    ASSERT_EQ(count(s.landed(700, 10'000)), 700u);
    ASSERT_NE(s.notes[0].acked(), 9u);
    ASSERT_EQ(s.notes[0].count(EventKind::kDown), 1u);
    ASSERT_EQ(s.notes[1].count(EventKind::kDown), 1u);
    ASSERT_EQ(s.faults.done(FaultKind::kTornWrite), 1u);
  }
}

TEST(Faults, AWriteTornByBlocks) {
  // Given a write at an odd place of the grant, torn by many salts. Expect each 128-byte block, counted from the start
  // of the grant, there or not as a whole; holes before what is there; and in the end every block seen both ways.
  constexpr std::size_t kSize = 2000;
  constexpr std::size_t kOffset = 4000;
  std::set<std::pair<std::size_t, bool>> seen;
  bool hole = false;
  for (std::uint64_t salt = 1; salt <= 100; ++salt) {
    Stage s({{.kind = FaultKind::kTornWrite, .at_ns = kSoon, .node = kWriter, .tear = Tear::kBlocks, .salt = salt}});
    s.write(kSoon + 20, 0, 1, kSize, kOffset, 9);
    s.run();
    const std::vector<bool> here = s.landed(kSize, kOffset);
    for (std::size_t i = 0; i < kSize; ++i) {
      seen.insert({(kOffset + i) / 128, here[i]});
      if (i == 0) continue;
      hole |= here[i] && !here[i - 1];
      if ((kOffset + i) % 128 != 0) {
        ASSERT_EQ(here[i], here[i - 1]);
      }
    }
  }
  EXPECT_TRUE(hole);
  EXPECT_EQ(seen.size(), 2 * ((kOffset + kSize - 1) / 128 - kOffset / 128 + 1));
}

TEST(Faults, AWriteTornByBytes) {
  // Given a write torn by many salts without any order. Expect some bytes with holes inside of blocks, few and many.
  std::set<std::size_t> counts;
  bool hole = false;
  for (std::uint64_t salt = 1; salt <= 100; ++salt) {
    Stage s({{.kind = FaultKind::kTornWrite, .at_ns = kSoon, .node = kWriter, .tear = Tear::kNone, .salt = salt}});
    s.write(kSoon + 20, 0, 1, 2000, 0, 9);
    s.run();
    const std::vector<bool> here = s.landed(2000);
    counts.insert(count(here));
    for (std::size_t i = 1; i < 128; ++i) hole |= here[i] && !here[i - 1];
  }
  EXPECT_TRUE(hole);
  EXPECT_LT(*counts.begin(), 400u);
  EXPECT_GT(*counts.rbegin(), 1600u);
}

TEST(Faults, ATornWriteMayBeOvertaken) {
  // Given a write torn by many salts, one of 8 bytes posted right behind it, and one that is posted when the channel is
  // dead. Expect the second now there, now not, where writes keep no order, also with the first incomplete; never where
  // they keep it; and the third never.
  for (const Tear tear : {Tear::kWhole, Tear::kBlocks, Tear::kNone}) {
    std::set<bool> seen;
    for (std::uint64_t salt = 1; salt <= 40; ++salt) {
      Stage s({{.kind = FaultKind::kTornWrite, .at_ns = kSoon, .node = kWriter, .tear = tear, .salt = salt}});
      s.write(kSoon + 20, 0, 1, 2000, 0, 8);
      s.write(kSoon + 20, 0, 1, 8, 5000, 9);
      s.write(kSoon + 500'000, 0, 1, 8, 6000, 10);
      s.run();
      seen.insert(count(s.landed(8, 5000)) > 0 && count(s.landed(2000)) < 2000);
      ASSERT_EQ(count(s.landed(8, 6000)), 0u);
    }
    EXPECT_EQ(seen, tear == Tear::kWhole ? std::set<bool>{false} : (std::set<bool>{false, true})) << name(tear);
  }
}

TEST(Faults, TheWriterOfATornWriteMayDieOfIt) {
  // Given a torn write and a crash planned for the same time, and a write 100 us later. Expect the writer to die when
  // the write is torn, not before.
  Stage s({{.kind = FaultKind::kTornWrite, .at_ns = kSoon, .node = kWriter, .peer = kTarget, .salt = 100},
           {.kind = FaultKind::kCrash, .at_ns = kSoon, .node = kWriter}});
  s.write(kSoon + 100'000, 0, 1, 2000, 0, 9);
  s.run_until(kSoon + 100'000);
  EXPECT_TRUE(s.world.alive(kWriter));
  EXPECT_EQ(s.faults.waiting(), 2u);
  s.run();
  EXPECT_FALSE(s.world.alive(kWriter));
  EXPECT_EQ(s.notes[0].count(EventKind::kDown), 0u);
  EXPECT_EQ(s.notes[1].count(EventKind::kDown), 1u);
  EXPECT_EQ(s.puppet(1).memory()[99], Puppet::source_byte(99));
  EXPECT_EQ(s.puppet(1).memory()[100], std::byte{0});
  EXPECT_EQ(s.faults.waiting(), 0u);
}

TEST(Faults, ATornWriteStrikesTheNamedPeerOnly) {
  // Given a torn write to node 2, and writes to 1 and 2. Expect the first whole.
  Stage s({{.kind = FaultKind::kTornWrite, .at_ns = kSoon, .node = kWriter, .peer = NodeId{2}}}, {{1, 2}, {}, {}});
  s.write(kSoon + 10, 0, 1, 500, 0, 1);
  s.write(kSoon + 20, 0, 2, 500, 0, 2);
  s.run();
  EXPECT_EQ(count(s.landed(500)), 500u);
  EXPECT_EQ(s.notes[1].count(EventKind::kDown), 0u);
  EXPECT_EQ(s.notes[2].count(EventKind::kDown), 1u);
}

TEST(Faults, ALateWriteLandsAfterItsWritersDeath) {
  // Given a write that is late by 300 us, whose writer hears kDown at once, and dies, and whose memory is reused.
  // Expect the target's bytes unchanged until then, all of them there after it, as they were; and the end of the
  // channel behind them.
  for (const bool dies : {false, true}) {
    Stage s({{.kind = FaultKind::kLateWrite, .at_ns = kSoon, .node = kWriter, .lasts_ns = 300 * kMicrosecond}});
    s.write(kSoon + 10, 0, 1, 3500, 0, 9);
    s.run_until(kSoon + 100 * kMicrosecond);
    EXPECT_EQ(s.notes[0].count(EventKind::kDown), 1u);
    EXPECT_LE(s.notes[0].last(EventKind::kDown), kSoon + 10 * kMicrosecond);
    const std::vector<std::byte> source(s.puppet(0).source().begin(), s.puppet(0).source().end());
    std::fill(s.puppet(0).source().begin(), s.puppet(0).source().end(), std::byte{2});
    if (dies) s.world.crash(kWriter, {});
    s.run_until(kSoon + 290 * kMicrosecond);
    EXPECT_EQ(std::count(s.puppet(1).memory().begin(), s.puppet(1).memory().end(), std::byte{0}), Puppet::kBytes);
    EXPECT_EQ(s.notes[1].count(EventKind::kDown), 0u);
    s.run();
    EXPECT_TRUE(std::equal(source.begin(), source.begin() + 3500, s.puppet(1).memory().begin()));
    EXPECT_EQ(s.notes[0].count(EventKind::kAcked), 0u);
    EXPECT_EQ(s.notes[1].count(EventKind::kDown), 1u);
    EXPECT_GE(s.notes[1].last(EventKind::kDown), kSoon + 300 * kMicrosecond);
    EXPECT_EQ(s.faults.done(FaultKind::kLateWrite), 1u);
  }
}

TEST(Faults, ALateWriteDoesNotLandAfterRevocation) {
  // Given late writes whose target revokes the channel at every 10 us before and around their landing. Expect them
  // there when they landed before kRevoked, and never after it.
  std::set<bool> outcomes;
  for (TimeNs revoked = 0; revoked <= 330; revoked += 10) {
    Stage s({{.kind = FaultKind::kLateWrite, .at_ns = kSoon, .node = kWriter, .lasts_ns = 300 * kMicrosecond}});
    s.write(kSoon + 10, 0, 1, 3500, 0, 9);
    s.at(kSoon + revoked * kMicrosecond, 1, [](Outbox& out) { out.revoke(kFirstAccepted); });
    std::size_t then = 0;
    s.world.run([&] {
      const bool told = s.notes[1].count(EventKind::kRevoked) > 0;
      if (told) then = count(s.landed(3500));
      return told;
    });
    s.run();
    EXPECT_EQ(s.notes[1].count(EventKind::kRevoked), 1u);
    EXPECT_EQ(count(s.landed(3500)), then);
    outcomes.insert(then != 0);
    EXPECT_TRUE(revoked > 290 || then == 0);
    EXPECT_TRUE(revoked < 320 || then == 3500);
  }
  EXPECT_EQ(outcomes.size(), 2u);
}

TEST(Faults, ALostMessageIsAcknowledged) {
  // Given three messages with tickets, the second one lost. Expect three acknowledgements and two messages.
  Stage s({{.kind = FaultKind::kMessageLoss, .at_ns = kSoon + 5000, .node = kTarget, .peer = kWriter}});
  for (int i = 0; i < 3; ++i) s.say(kSoon + i * 5000, 0, 1, "m" + std::to_string(i), static_cast<Ticket>(i + 1));
  s.run();
  EXPECT_EQ(s.notes[1].texts("m0") + s.notes[1].texts("m2"), 2u);
  EXPECT_EQ(s.notes[1].texts("m1"), 0u);
  EXPECT_EQ(s.notes[0].count(EventKind::kAcked), 3u);
  EXPECT_EQ(s.faults.done(FaultKind::kMessageLoss), 1u);
}

TEST(Faults, ADoubledMessageComesAgainUnderAnotherTag) {
  // Given a message that comes twice, in a live channel and in one that dies before the second copy. Expect two with
  // two tags, one acknowledgement; and one.
  for (const bool dies : {false, true}) {
    Stage s({{.kind = FaultKind::kMessageTwice, .at_ns = kSoon, .node = kTarget, .salt = 10'000'000}});
    s.say(kSoon + 10, 0, 1, "twice", 4);
    if (dies) s.at(kSoon + 5000, 1, [](Outbox& out) { out.revoke(kFirstAccepted); });
    s.run();
    std::set<std::uint64_t> tags;
    for (const Seen& seen : s.notes[1].seen) {
      if (seen.text == "twice") tags.insert(seen.tag);
    }
    EXPECT_EQ(tags.size(), dies ? 1u : 2u);
    EXPECT_EQ(s.notes[1].texts("twice"), dies ? 1u : 2u);
    EXPECT_EQ(s.notes[0].count(EventKind::kAcked), 1u);
  }
}

StorageOp append(FrameId frame, ConstBytes bytes) {
  StorageOp op;
  op.frame = frame;
  op.source = bytes;
  return op;
}

TEST(Faults, StorageThatLies) {
  // Given two appends of 1000 B to a frame, the first of which is lost, cut at 300 B or fails. Expect kStored with full
  // lengths when it lies, kStorageFailed when it does not, and in the frame a hole of zeroes where bytes are missing.
  for (const FaultKind kind : {FaultKind::kStorageLost, FaultKind::kStorageShort, FaultKind::kStorageFailed}) {
    Stage s({{.kind = kind, .at_ns = kSoon, .node = kWriter, .salt = 300}});
    s.at(kSoon + 10, 0, [&s](Outbox& out) { out.store(append(3, s.puppet(0).source().first(1000))); });
    s.at(2 * kSoon, 0, [&s](Outbox& out) { out.store(append(3, s.puppet(0).source().first(1000))); });
    s.run_until(2 * kSoon);
    const std::uint64_t there = kind == FaultKind::kStorageShort ? 300 : 0;
    EXPECT_EQ(s.world.medium(kWriter).frames[3].size, there);
    const bool failed = kind == FaultKind::kStorageFailed;
    EXPECT_EQ(s.notes[0].seen.back().kind, failed ? EventKind::kStorageFailed : EventKind::kStored);
    s.run();
    EXPECT_EQ(s.notes[0].seen.back().amount, failed ? 1000u : 2000u);
    const Frame& frame = s.world.medium(kWriter).frames[3];
    EXPECT_EQ(frame.size, failed ? 1000u : 2000u);
    EXPECT_EQ(std::count(frame.bytes.begin(), frame.bytes.end(), std::byte{0}), failed ? 0 : 1000 - there);
    EXPECT_EQ(s.faults.done(kind), 1u);
  }
}

TEST(Faults, OneBitIsInverted) {
  // Given a replica region with some bytes, a stored frame, and bit flips of many salts. Expect one bit of one of the
  // two changed each time, in data; both struck in the end; and nothing to strike in a node without data.
  std::set<bool> in_memory;
  for (std::uint64_t salt = 0; salt < 30; ++salt) {
    Stage s({{.kind = FaultKind::kBitFlip, .at_ns = 3 * kSoon, .node = kTarget, .salt = salt},
             {.kind = FaultKind::kBitFlip, .at_ns = 3 * kSoon, .node = kWriter, .salt = salt}});
    s.write(kSoon, 0, 1, 1000, 0, 9);
    s.at(kSoon, 1, [&s](Outbox& out) { out.store(append(3, s.puppet(1).source().first(1000))); });
    s.run();
    int bits = 0;
    const Frame& frame = s.world.medium(kTarget).frames[3];
    for (std::size_t i = 0; i < 1000; ++i) {
      const int memory = std::popcount(static_cast<unsigned>(s.puppet(1).memory()[i] ^ s.puppet(0).source()[i]));
      const int stored = std::popcount(static_cast<unsigned>(frame.bytes[i] ^ s.puppet(1).source()[i]));
      bits += memory + stored;
      if (memory + stored > 0) in_memory.insert(memory > 0);
    }
    EXPECT_EQ(bits, 1);
    EXPECT_EQ(s.faults.done(FaultKind::kBitFlip), 1u);
  }
  EXPECT_EQ(in_memory.size(), 2u);
}

TEST(Faults, StoppingHealsAndDisarms) {
  // Given a partition and a pause for good, and a torn write that waits, all stopped. Expect messages and writes to
  // pass afterwards.
  Stage s({{.kind = FaultKind::kPartition, .at_ns = kSoon, .node = kWriter},
           {.kind = FaultKind::kPause, .at_ns = kSoon, .node = kTarget},
           {.kind = FaultKind::kTornWrite, .at_ns = kSoon + 15, .node = kWriter},
           {.kind = FaultKind::kCrash, .at_ns = 10 * kSoon, .node = kWriter}});
  s.fault(2 * kSoon, [&s](World&) { s.faults.stop(); });
  s.write(kSoon + 10, 0, 1, 1000, 0, 9);
  s.say(3 * kSoon, 0, 1, "well?");
  s.write(3 * kSoon, 0, 1, 1000, 2000, 10);
  s.run();
  EXPECT_EQ(s.notes[1].texts("well?"), 1u);
  EXPECT_EQ(count(s.landed(1000, 2000)), 1000u);
  EXPECT_TRUE(s.world.alive(kWriter));
  EXPECT_EQ(s.faults.waiting(), 0u);
}

TEST(Faults, ChancesAreDrawnFromTheSeed) {
  // Given a chance of a tenth for each fault of messages, and of the same for each of writes and ops, and many of them,
  // on channels that are opened anew. Expect about as many faults; the same ones for the same seed, others for another.
  FaultPlan messages;
  messages.message_loss_ppm = messages.message_twice_ppm = 100'000;
  std::vector<std::vector<std::string>> heard;
  for (const std::uint64_t seed : {7, 7, 8}) {
    Stage s(messages, seed);
    for (int i = 0; i < 500; ++i) s.say(kSoon + i * 1000, 0, 1, std::to_string(i));
    s.run();
    std::vector<std::string>& texts = heard.emplace_back();
    for (const Seen& seen : s.notes[1].seen) texts.push_back(seen.text);
    EXPECT_NEAR(static_cast<double>(s.faults.done(FaultKind::kMessageLoss)), 50, 30);
    EXPECT_NEAR(static_cast<double>(s.faults.done(FaultKind::kMessageTwice)), 45, 30);
  }
  EXPECT_EQ(heard[0], heard[1]);
  EXPECT_NE(heard[0], heard[2]);

  FaultPlan ops;
  ops.channel_loss_ppm = 100'000;
  ops.torn_write_ppm = 300'000;
  Stage s(ops, 3);
  for (Channel c = 2; c < 102; ++c) {
    const TimeNs start = kSoon + c * 20'000;
    s.at(start, 0, [c](Outbox& out) { out.connect(c, kTarget); });
    s.at(start + 15'000, 0, [c, &s](Outbox& out) {
      if (!s.notes[0].keys.contains(c)) return;
      for (Ticket t = 1; t <= 5; ++t) out.write(c, {s.puppet(0).source().data(), 100}, s.notes[0].keys.at(c), 0, t);
    });
  }
  s.run();
  EXPECT_GT(s.faults.done(FaultKind::kTornWrite), 30u);
  EXPECT_GT(s.faults.done(FaultKind::kChannelLoss), 10u);
  EXPECT_EQ(s.notes[0].count(EventKind::kDown), s.faults.done());
}

// Talk and writes among five nodes, each of which dials all the others, over and over.
std::uint64_t troubled_run(Threading threading, WriteOrder order, std::uint64_t seed, std::uint64_t& done) {
  SimOptions options = puppets_options();
  options.threading = threading;
  options.waiting = Waiting::kYield;
  options.write_order = order;
  std::vector<std::vector<std::uint16_t>> dials(5);
  for (std::uint16_t i = 0; i < 5; ++i) {
    for (std::uint16_t peer = 0; peer < 5; ++peer) {
      if (peer != i) dials[i].push_back(peer);
    }
  }
  std::vector<Fault> plan;
  Rng rng(seed, "troubled_run");
  for (TimeNs at = kSoon; at < 4 * kMillisecond; at += 40 * kMicrosecond) {
    Fault& fault = plan.emplace_back();
    fault.kind = static_cast<FaultKind>(rng.below(kFaultKinds));
    fault.at_ns = at;
    fault.node = NodeId{static_cast<std::uint16_t>(rng.below(5))};
    if (rng.chance(1, 2)) fault.peer = NodeId{static_cast<std::uint16_t>((index(fault.node) + 1) % 5)};
    fault.lasts_ns = static_cast<TimeNs>(10'000 + rng.below(2 * kTimeout));
    fault.keeps_memory = rng.chance(1, 2);
    fault.keeps_storage = rng.chance(1, 2);
    fault.tear = static_cast<Tear>(rng.below(3));
    fault.factor = static_cast<std::uint32_t>(2 + rng.below(10));
    fault.salt = rng.next();
  }
  Stage s(plan, dials, options, seed);
  for (std::uint16_t node = 0; node < 5; ++node) {
    for (TimeNs at = kSoon + node; at < 8 * kMillisecond; at += 3000) {
      s.at(at, node, [&s, node, at](Outbox& out) {
        out.work(Work::kRequest);
        const auto c = static_cast<Channel>(at / 3000 % 4 + 1);
        if (at / 3000 % 200 == 0) out.revoke(c);
        if (at / 3000 % 200 == 40) out.connect(static_cast<Channel>(at % 1000 + 100 + at / 3000), NodeId{0});
        std::memcpy(out.send(c, 8), &at, 8);
        const auto key = s.notes[node].keys.find(c);
        if (key != s.notes[node].keys.end()) {
          out.write(c, {s.puppet(node).source().data(), 1500}, key->second, static_cast<std::uint64_t>(at % 50'000), 0);
        }
        out.store(append(static_cast<FrameId>(at % 7), s.puppet(node).source().first(800)));
      });
    }
  }
  s.run();
  done = s.faults.done();
  return s.world.state_hash();
}

TEST(Faults, TheSamePlanGivesTheSameRun) {
  // Given random plans of all kinds of faults over busy nodes, under either threading model and any order of writes.
  // Expect the run to come to its end, most faults to have happened, and the same state when made again.
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const Threading threading = seed % 2 == 0 ? Threading::kRunToCompletion : Threading::kDispatchWorkers;
    const auto order = static_cast<WriteOrder>(seed % 3);
    std::uint64_t done[2] = {0, 0};
    const std::uint64_t first = troubled_run(threading, order, seed, done[0]);
    EXPECT_EQ(troubled_run(threading, order, seed, done[1]), first);
    EXPECT_EQ(done[0], done[1]);
    EXPECT_GT(done[0], 50u);
  }
}

// Looks at its memory at a time; what is there of a write.
TEST(WriteOrders, ALookBeforeTheAcknowledgementMayFindHoles) {
  // Given a write of 1500 B under each order, and a look at the target's memory after every event. Expect it to grow
  // from its start under "whole"; holes under the others, of whole blocks under "blocks"; and always all of it before
  // the acknowledgement and before a message posted behind it.
  for (const WriteOrder order : {WriteOrder::kWhole, WriteOrder::kBlocks, WriteOrder::kNone}) {
    bool hole = false;
    bool hole_in_block = false;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      SimOptions options = puppets_options();
      options.write_order = order;
      PuppetWorld w({{1}, {}}, options, seed);
      w.write(kSoon, 0, 1, 1500, 60 + seed * 10, 9);
      w.say(kSoon + 100, 0, 1, "behind");
      w.world.run([&] {
        if (!w.notes[0].keys.contains(1)) return false;
        std::size_t here = 0;
        for (std::size_t i = 0; i < 1500; ++i) {
          const std::size_t at = 60 + seed * 10 + i;
          const bool there = w.puppet(1).memory()[at] == w.puppet(0).source()[i];
          here += there ? 1 : 0;
          if (!there || i == 0 || w.puppet(1).memory()[at - 1] == w.puppet(0).source()[i - 1]) continue;
          hole = true;
          hole_in_block |= at % 128 != 0;
        }
        const bool all = w.notes[0].count(EventKind::kAcked) > 0 || w.notes[1].texts("behind") > 0;
        EXPECT_TRUE(!all || here == 1500);
        return false;
      });
      EXPECT_EQ(w.notes[1].texts("behind"), 1u);
      EXPECT_EQ(w.notes[0].count(EventKind::kAcked), 1u);
    }
    EXPECT_EQ(hole, order != WriteOrder::kWhole);
    EXPECT_EQ(hole_in_block, order == WriteOrder::kNone);
  }
}

TEST(WriteOrders, TheTargetsDeathLeavesHoles) {
  // Given a target that dies between a write's arrival and its being visible, its memory kept. Expect, over some seeds,
  // less than the whole write.
  std::set<std::size_t> counts;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SimOptions options = puppets_options();
    options.write_order = WriteOrder::kNone;
    PuppetWorld w({{1}, {}}, options, seed);
    w.write(kSoon, 0, 1, 900, seed, 9);
    w.fault(kSoon + 1700, [](World& world) {
      world.crash(kTarget, {});
      world.restart(kTarget);
    });
    w.run();
    const Bytes memory = w.puppet(1).memory();
    counts.insert(Puppet::kBytes - static_cast<std::size_t>(std::count(memory.begin(), memory.end(), std::byte{0})));
  }
  EXPECT_LT(*counts.begin(), 900u);
  EXPECT_GT(*counts.rbegin(), 0u);
}

}  // namespace
}  // namespace slipstream::sim
