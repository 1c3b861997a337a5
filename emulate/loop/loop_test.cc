#include "emulate/loop/loop.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

#include "emulate/loop/fakes.h"

namespace slipstream::emulate {
namespace {

Event event(std::uint64_t tag) {
  Event e;
  e.kind = EventKind::kMessage;
  e.tag = tag;
  return e;
}

std::vector<Event> batch(std::uint64_t first, std::size_t count) {
  std::vector<Event> events;
  for (std::size_t i = 0; i < count; ++i) events.push_back(event(first + i));
  return events;
}

std::vector<std::uint64_t> tags(const Turn& turn) {
  std::vector<std::uint64_t> all;
  for (const Event& e : turn.events) all.push_back(e.tag);
  return all;
}

constexpr TimeNs kFarAway = 300 * kSecond;  // a run that takes this long hangs

struct LoopTest : testing::Test {
  std::atomic<bool> stop{false};
  FakeFabric fabric;
  FakeNode node;
  Clock clock = Clock::calibrated();

  Seat seat(bool ends_run = true) {
    Seat s;
    s.id = NodeId{3};
    s.node = &node;
    s.fabric = &fabric;
    s.ends_run = ends_run;
    return s;
  }
  // The node is done once it has seen a message with this tag.
  void done_at(std::uint64_t tag) {
    node.act = [this, tag](const Turn& turn, Outbox&) {
      for (const Event& e : turn.events) node.is_done = node.is_done || e.tag == tag;
    };
  }
};

TEST_F(LoopTest, NodeTakesATurnPerPollThatBringsEventsAndNoOther) {
  // given two batches, a pause of empty polls, and a third batch
  fabric.source.arrive(batch(1, 2));
  fabric.source.arrive(batch(3, 1));
  done_at(9);
  std::thread later([this] {
    while (fabric.source.arms() == 0) std::this_thread::yield();
    fabric.source.arrive(batch(9, 1));
  });
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat());
  // expect one turn per batch although the loop polled, yielded and slept in between
  EXPECT_EQ(loop.run(kFarAway).why, LoopEnd::Why::kDone);
  later.join();
  ASSERT_EQ(node.turns.size(), 3u);
  EXPECT_EQ(tags(node.turns[0]), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(tags(node.turns[1]), (std::vector<std::uint64_t>{3}));
  EXPECT_EQ(tags(node.turns[2]), (std::vector<std::uint64_t>{9}));
  EXPECT_GT(fabric.polls, 3);
}

TEST_F(LoopTest, TurnHoldsAtMostSoManyEventsAndStorageAlwaysFindsRoom) {
  // given far more messages than a turn takes, and storage events
  fabric.source.arrive(batch(1, 3 * kEventsPerTurn));
  FakeStorage storage;
  storage.source.arrive(batch(10'001, 3));
  done_at(3 * kEventsPerTurn);
  Loop loop(clock, {}, 1, stop);
  Seat s = seat();
  s.storage = &storage;
  s.storage_wake = &storage;
  loop.seat(s);
  EXPECT_EQ(loop.run(kFarAway).why, LoopEnd::Why::kDone);
  // expect every turn within the limit, the storage's events in the first one, and all messages in order
  std::uint64_t next = 1;
  std::size_t stored = 0;
  for (const Turn& turn : node.turns) {
    EXPECT_LE(turn.events.size(), kEventsPerTurn);
    for (const Event& e : turn.events) {
      if (e.tag > 10'000) {
        ++stored;
        EXPECT_EQ(&turn, &node.turns.front());
      } else {
        EXPECT_EQ(e.tag, next++);
      }
    }
  }
  EXPECT_EQ(stored, 3u);
  EXPECT_EQ(next, 3 * kEventsPerTurn + 1);
}

TEST_F(LoopTest, DeadlineGivesATurnWithoutEventsNotBeforeItsTime) {
  // given a node that asks for a turn every 300 us, first at 0, and is done after ten
  node.next_deadline = 0;
  std::vector<TimeNs> asked;
  node.act = [&](const Turn& turn, Outbox&) {
    asked.push_back(node.next_deadline);
    node.next_deadline = turn.now + 300 * kMicrosecond;
    node.is_done = asked.size() == 10;
  };
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat());
  EXPECT_EQ(loop.run(kFarAway).why, LoopEnd::Why::kDone);
  // expect each turn empty and at or behind its deadline, and time that does not run backwards
  ASSERT_EQ(node.turns.size(), 10u);
  TimeNs last = 0;
  for (std::size_t i = 0; i < node.turns.size(); ++i) {
    EXPECT_TRUE(node.turns[i].events.empty());
    EXPECT_GE(node.turns[i].now, asked[i]);
    EXPECT_GE(node.turns[i].now, last);
    last = node.turns[i].now;
  }
}

TEST_F(LoopTest, WishesReachTheFabricAndTheStorage) {
  // given a node that sends one message and stores one frame per event
  fabric.source.arrive(batch(1, 3));
  FakeStorage storage;
  node.act = [this](const Turn& turn, Outbox& out) {
    for (const Event& e : turn.events) {
      out.send(static_cast<Channel>(e.tag), 8);
      StorageOp op;
      op.frame = e.tag;
      out.store(op);
    }
    node.is_done = true;
  };
  Loop loop(clock, {}, 1, stop);
  Seat s = seat();
  s.storage = &storage;
  s.storage_wake = &storage;
  loop.seat(s);
  loop.run(kFarAway);
  // expect them posted in order
  ASSERT_EQ(fabric.posted.size(), 3u);
  ASSERT_EQ(storage.posted.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(fabric.posted[i].channel, i + 1);
    EXPECT_EQ(storage.posted[i].frame, i + 1);
  }
}

TEST_F(LoopTest, UsageIsWhatHappenedBetweenTheMarks) {
  // given four turns of 10 bytes copied and one message sent; marks at the end of the first and of the third
  for (std::uint64_t i = 1; i <= 4; ++i) fabric.source.arrive(batch(i, 1));
  node.act = [this](const Turn& turn, Outbox& out) {
    const std::uint64_t tag = turn.events.front().tag;
    out.enter(tag % 2 == 0 ? Role::kPrimary : Role::kBackup);
    out.work(Work::kCopyBytes, 10);
    out.send(1, 8);
    if (tag == 1) out.mark(Mark::kWindowStart);
    if (tag == 3) out.mark(Mark::kWindowEnd);
    node.is_done = tag == 4;
  };
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat());
  loop.run(kFarAway);
  // expect the second and the third turn in the usage
  const Usage usage = loop.usage(0);
  EXPECT_EQ(usage.ledger.get(Role::kPrimary, Work::kCopyBytes), 10u);
  EXPECT_EQ(usage.ledger.get(Role::kBackup, Work::kCopyBytes), 10u);
  EXPECT_EQ(usage.network_bytes, 2000u);
  EXPECT_EQ(usage.window_ns, node.turns[2].now - node.turns[0].now);
  EXPECT_EQ(usage.cpu_ns[static_cast<std::size_t>(Role::kCoordinator)], 0u);
}

TEST_F(LoopTest, WindowStillOpenAtTheEndEndsThere) {
  // given a start mark only
  fabric.source.arrive(batch(1, 1));
  fabric.source.arrive(batch(2, 1));
  node.act = [this](const Turn& turn, Outbox& out) {
    if (turn.events.front().tag == 1) out.mark(Mark::kWindowStart);
    out.work(Work::kCrcBytes, 5);
    node.is_done = turn.events.front().tag == 2;
  };
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat());
  loop.run(kFarAway);
  EXPECT_EQ(loop.usage(0).ledger.get(Role::kClient, Work::kCrcBytes), 5u);
  // and none at all without a mark
  FakeNode silent;
  silent.is_done = true;
  silent.next_deadline = 0;
  std::atomic<bool> again{false};
  Loop other(clock, {}, 1, again);
  Seat s = seat();
  s.node = &silent;
  other.seat(s);
  other.run(kFarAway);
  EXPECT_EQ(other.usage(0).window_ns, 0);
}

TEST_F(LoopTest, EndsWithTroubleOfANodeWithItsText) {
  fabric.source.arrive(batch(1, 1));
  node.act = [this](const Turn&, Outbox&) { node.its_trouble = "the log is full"; };
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat(false));
  const LoopEnd end = loop.run(kFarAway);
  EXPECT_EQ(end.why, LoopEnd::Why::kTrouble);
  EXPECT_EQ(end.node, NodeId{3});
  EXPECT_EQ(end.trouble, "the log is full");
  EXPECT_TRUE(stop.load());
}

TEST_F(LoopTest, ExceptionOfANodeIsTrouble) {
  fabric.source.arrive(batch(1, 1));
  node.act = [](const Turn&, Outbox&) { throw std::runtime_error("out of everything"); };
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat());
  const LoopEnd end = loop.run(kFarAway);
  EXPECT_EQ(end.why, LoopEnd::Why::kTrouble);
  EXPECT_EQ(end.trouble, "out of everything");
}

TEST_F(LoopTest, OnlyTheNodeThatEndsTheRunEndsItWhenDone) {
  // given a node that is done at once but does not end the run, and one that ends it at tag 2
  FakeFabric other_fabric;
  FakeNode other;
  other.is_done = true;
  other_fabric.source.arrive(batch(1, 1));
  fabric.source.arrive(batch(1, 1));
  fabric.source.arrive(batch(2, 1));
  done_at(2);
  Loop loop(clock, {}, 1, stop);
  Seat s;
  s.id = NodeId{4};
  s.node = &other;
  s.fabric = &other_fabric;
  loop.seat(s);
  loop.seat(seat());
  const LoopEnd end = loop.run(kFarAway);
  EXPECT_EQ(end.why, LoopEnd::Why::kDone);
  EXPECT_EQ(end.node, NodeId{3});
  EXPECT_EQ(node.turns.size(), 2u);
}

TEST_F(LoopTest, EndsAtItsTimeLimitAndWhenStopped) {
  // given a node with nothing to do
  {
    Loop loop(clock, {}, 1, stop);
    loop.seat(seat());
    EXPECT_EQ(loop.run(clock.now() + kMillisecond).why, LoopEnd::Why::kTimeLimit);
  }
  stop = false;
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat());
  std::thread other([this] {
    while (fabric.source.arms() == 0) std::this_thread::yield();
    stop = true;
  });
  EXPECT_EQ(loop.run(kFarAway).why, LoopEnd::Why::kStopped);
  other.join();
  EXPECT_TRUE(node.turns.empty());
}

TEST_F(LoopTest, StorageWakesASleepingLoop) {
  FakeStorage storage;
  done_at(7);
  Loop loop(clock, {.spin_ns = 0, .yield_ns = 0, .longest_sleep_ns = kFarAway}, 1, stop);
  Seat s = seat();
  s.storage = &storage;
  s.storage_wake = &storage;
  loop.seat(s);
  std::thread later([&] {
    while (storage.source.arms() == 0) std::this_thread::yield();
    storage.source.arrive(batch(7, 1));
  });
  EXPECT_EQ(loop.run(kFarAway).why, LoopEnd::Why::kDone);
  later.join();
  EXPECT_EQ(node.turns.size(), 1u);
}

TEST_F(LoopTest, ASlowCoreTakesItsNextTurnLater) {
  // given two nodes that always have something to do, one of them on a core that is 1000 times as slow
  FakeFabric other_fabric;
  FakeNode slow;
  node.next_deadline = slow.next_deadline = 0;
  node.act = [this](const Turn&, Outbox&) { node.is_done = node.turns.size() == 5000; };
  Loop loop(clock, {}, 1, stop);
  loop.seat(seat());
  Seat s = seat(false);
  s.node = &slow;
  s.fabric = &other_fabric;
  s.slow = {{0, kNever, 1000}};
  loop.seat(s);
  EXPECT_EQ(loop.run(kFarAway).why, LoopEnd::Why::kDone);
  // expect it to have turns, and far fewer
  EXPECT_GE(slow.turns.size(), 1u);
  EXPECT_LT(slow.turns.size(), 500u);
}

TEST_F(LoopTest, FailedCheckTellsTheNodesState) {
  fabric.source.arrive(batch(1, 1));
  node.act = [](const Turn&, Outbox&) { SLIP_CHECK(false, "on purpose"); };
  Loop loop(clock, {}, 77, stop);
  loop.seat(seat());
  EXPECT_DEATH(loop.run(kFarAway), "on purpose(.|\n)*seed 77(.|\n)*a fake node");
}

TEST(Clock, TicksBecomeNanosecondsSinceTheOrigin) {
  Clock clock = Clock::calibrated();
  clock.restart_at(1'000'000'000);
  EXPECT_EQ(clock.at(1'000'000'000), 0);
  EXPECT_NEAR(static_cast<double>(clock.at(2'000'000'000)), 1e9 * clock.ns_per_tick(), 1.0);
  EXPECT_LT(clock.at(999'000'000), 0);
}

}  // namespace
}  // namespace slipstream::emulate
