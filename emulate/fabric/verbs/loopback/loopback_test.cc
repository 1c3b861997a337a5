// What only the stand-in can bring about: queue pairs that die at every moment of a channel's life, a lost port, and
// sleepers that nothing but the card wakes.
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include "core/fabric/conformance_stage.h"
#include "emulate/fabric/verbs/loopback/test_fabrics.h"

namespace slipstream::emulate {
namespace {

using conformance::fill;
using conformance::pattern;
using conformance::Player;
using conformance::Seen;
using conformance::Stage;
using conformance::text;
using loopback_verbs::counters;

TEST(VerbsLoopback, TheStandInIsAllThereIs) {
  // Given any machine, expect the stand-in's device and no other, with its addresses.
  const std::vector<VerbsPort> ports = verbs_ports();
  ASSERT_EQ(ports.size(), 1u);
  EXPECT_EQ(ports[0].device, "loopback0");
  EXPECT_TRUE(ports[0].has_windows);
  EXPECT_EQ(verbs_addresses("").front(), "127.0.0.1");
  EXPECT_EQ(verbs_addresses("loopback0").size(), 8u);
}

// One channel from its connect to a refused write, at which it ends at the latest. Whoever drives it sees that the ends
// agree with each other and with memory, whenever it ends.
class Life {
 public:
  static constexpr std::size_t kBlock = 300;
  static constexpr std::size_t kGrantStart = 4096;

  Life(const loopback_verbs::Options& card, std::size_t events_per_poll)
      : stage_(on_loopback(64 * kKiB, card), 2), most_(events_per_poll) {
    source_ = near_.region(64 * kKiB);
    into_ = near_.region(64 * kKiB);
    target_ = far_.region(32 * kKiB);
    fill(source_, 31);
    fill(target_, 32);
  }

  void live() {
    near_.connect(kNear, far_.id());
    until([&] { return near_.has(EventKind::kConnected, kNear) && find_far(); });
    if (far_number_ != 0) far_.grant(far_number_, target_.subspan(kGrantStart, 16 * kKiB), 1);
    until([&] { return key() != 0; });
    for (std::uint64_t i = 1; i <= 24; ++i) {
      exchange(i);
      turn();
    }
    until([&] { return near_.acked(kNear) == 23 && reads_done() == 8; });
    if (key() != 0) far_.withdraw(far_number_, key(), 2);
    until([&] { return far_.has(EventKind::kWithdrawn, far_number_); });
    near_.write(kNear, source_.first(8), key(), 0, 25);
    EXPECT_TRUE(stage_.until([&] { return near_.has(EventKind::kDown, kNear) && (!find_far() || is_far_down()); }));
  }

  void expect_order() {
    find_far();
    stage_.settle();
    for (Player* const player : {&near_, &far_}) {
      const Channel channel = player == &near_ ? kNear : far_number_;
      if (channel == 0) continue;
      EXPECT_EQ(player->count(EventKind::kDown, channel), 1u);
      EXPECT_LE(player->count(EventKind::kConnected, channel), 1u);
      bool down = false;
      Ticket before = 0;
      for (const Seen& s : player->seen) {
        if (s.channel != channel) continue;
        EXPECT_FALSE(down) << name(s.kind) << " after the end";
        down = s.kind == EventKind::kDown;
        if (s.kind != EventKind::kAcked) continue;
        EXPECT_GT(s.ticket, before);
        before = s.ticket;
      }
      const std::vector<std::string> got = player->messages(channel);
      for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i] == message(i + 1)) << "message " << i + 1;
    }
    expect_memory();
  }

 private:
  static constexpr Channel kNear = 7;

  static std::string message(std::uint64_t i) { return pattern(i, i % 5 == 0 ? 9000 + i : i * 40 % 700); }

  bool find_far() {
    for (const Seen& s : far_.seen) {
      if (far_number_ == 0 && s.kind == EventKind::kConnected) far_number_ = s.channel;
    }
    return far_number_ != 0;
  }
  bool is_far_down() const { return far_.has(EventKind::kDown, far_number_); }
  RemoteKey key() const {
    const Seen* const granted = far_.last(EventKind::kGranted, far_number_);
    return granted == nullptr ? 0 : granted->key;
  }
  std::size_t reads_done() const { return near_.count(EventKind::kReadDone, kNear); }

  void turn() {
    near_.poll(most_);
    far_.poll(most_);
    stage_.bench().pump();
  }
  // Or until the channel has ended.
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 1'000'000; ++i) {
      if (condition() || near_.has(EventKind::kDown, kNear) || (far_number_ != 0 && is_far_down())) return;
      turn();
    }
    ADD_FAILURE() << "the channel neither goes on nor ends";
  }

  // Writes go to blocks of their own; reads are of what nobody writes.
  void exchange(std::uint64_t i) {
    near_.write(kNear, source_.subspan(i * kBlock, kBlock), key(), i * kBlock, 0);
    near_.send(kNear, message(i), i % 3 == 0 ? 0 : i);
    if (i % 3 != 0) return far_.send(far_number_, message(++sent_back_));
    near_.read(kNear, into_.subspan(i * kBlock, kBlock), key(), 12 * kKiB + i, i);
  }

  void expect_memory() {
    const std::string old = pattern(32, target_.size());
    const std::string now = text(target_);
    EXPECT_TRUE(now.substr(0, kGrantStart + kBlock) == old.substr(0, kGrantStart + kBlock));
    EXPECT_TRUE(now.substr(kGrantStart + 25 * kBlock) == old.substr(kGrantStart + 25 * kBlock));
    const Ticket acked = near_.acked(kNear);
    for (std::uint64_t i = 1; i <= 24; ++i) {
      const std::size_t at = kGrantStart + i * kBlock;
      for (std::size_t b = 0; b < kBlock; ++b) {
        const auto is = static_cast<char>(now[at + b]);
        const auto was = old[at + b];
        const auto written = static_cast<char>(source_[i * kBlock + b]);
        ASSERT_TRUE(is == written || (is == was && i > acked)) << "write " << i << " of " << acked << ", byte " << b;
      }
    }
    for (const Seen& s : near_.seen) {
      if (s.kind != EventKind::kReadDone || s.channel != kNear) continue;
      const std::string read = text(into_.subspan(s.ticket * kBlock, kBlock));
      EXPECT_TRUE(read == old.substr(kGrantStart + 12 * kKiB + s.ticket, kBlock)) << "read " << s.ticket;
    }
  }

  Stage stage_;
  Player& near_ = stage_[0];
  Player& far_ = stage_[1];
  const std::size_t most_;
  Bytes source_;
  Bytes into_;
  Bytes target_;
  Channel far_number_ = 0;
  std::uint64_t sent_back_ = 0;
};

void live_and_break(std::uint64_t seed, std::uint64_t moment, std::size_t events_per_poll) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", a pair breaks at moment " + std::to_string(moment));
  Life life({.seed = seed}, events_per_poll);
  loopback_verbs::break_at(moment);
  life.live();
  loopback_verbs::break_at(0);
  life.expect_order();
}

TEST(VerbsLoopback, AChannelMayDieAtAnyMoment) {
  // Given a queue pair that the card breaks at every moment of a channel's life, expect one kDown at each end, nothing
  // after it, messages in order up to there, acknowledged writes in place, and new channels that work.
  std::uint64_t moments = 0;
  {
    Life life({.seed = 40}, 64);
    life.live();
    moments = counters().moments;
    life.expect_order();
  }
  const std::uint64_t step = std::max<std::uint64_t>(1, moments / 300);
  for (std::uint64_t moment = 1; moment <= moments && !testing::Test::HasFailure(); moment += step) {
    live_and_break(1000 + moment, moment, moment % 2 == 0 ? 64 : 1);
  }
}

TEST(VerbsLoopback, AllIsToldToOneWhoTakesOneEventAtATime) {
  // Given polls with room for one event, expect the same life as with room for many.
  for (std::uint64_t seed = 0; seed < 20; ++seed) live_and_break(seed, 0, 1);
}

TEST(VerbsLoopback, ALostPortTakesAllChannelsAlong) {
  // Given an event of the card that its port is gone, expect every channel to end once at each end.
  Stage stage(on_loopback(256 * kKiB, {.seed = 5}), 3);
  const conformance::Link a = stage.connect(stage[0], stage[1]);
  const conformance::Link b = stage.connect(stage[1], stage[2]);
  loopback_verbs::raise(IBV_EVENT_PORT_ERR);
  EXPECT_TRUE(stage.until([&] {
    return stage[0].has(EventKind::kDown, a.near) && stage[1].has(EventKind::kDown, a.far) &&
           stage[1].has(EventKind::kDown, b.near) && stage[2].has(EventKind::kDown, b.far);
  }));
  stage.settle();
  EXPECT_EQ(stage[1].count(EventKind::kDown, a.far), 1u);
  EXPECT_EQ(stage[1].count(EventKind::kDown, b.near), 1u);
}

// Nodes that sleep whenever they may: nothing polls but one that arm() keeps awake or whose descriptor is readable.
class Sleepers {
 public:
  Sleepers(std::size_t ring_bytes, std::uint64_t seed)
      : fabrics_(2, ring_bytes, {.seed = seed}),
        players_{Player(NodeId{0}, fabrics_.fabric(NodeId{0})), Player(NodeId{1}, fabrics_.fabric(NodeId{1}))} {}

  Player& operator[](std::size_t i) { return players_[i]; }
  std::size_t polls() const { return polls_; }

  // False: all sleep, the card has no more to do, nothing is on its way through a socket, and it has not come true.
  bool until(const std::function<bool()>& condition) {
    for (std::size_t i = 0; i < 2; ++i) wake(i);  // who has posted does not sleep
    while (!condition()) {
      if (go_on()) continue;
      pollfd polled[2];
      for (std::uint16_t i = 0; i < 2; ++i) polled[i] = {fabrics_.real(NodeId{i}).wake_descriptor(), POLLIN, 0};
      if (::poll(polled, 2, kPatienceMs) == 0) return false;
    }
    return true;
  }
  bool go_on() {
    bool awake = false;
    for (std::size_t i = 0; i < 2; ++i) awake = look(i) || awake;
    return loopback_verbs::advance() || awake;
  }

 private:
  static constexpr int kPatienceMs = 10'000;  // of a failing test

  void wake(std::size_t i) {
    if (std::exchange(asleep_[i], false)) fabrics_.real(NodeId{static_cast<std::uint16_t>(i)}).disarm();
  }
  bool look(std::size_t i) {
    RealFabric& fabric = fabrics_.real(NodeId{static_cast<std::uint16_t>(i)});
    if (!asleep_[i]) {
      asleep_[i] = fabric.arm();
      if (!asleep_[i]) fabric.disarm();
    }
    pollfd polled{fabric.wake_descriptor(), POLLIN, 0};
    // A node that may sleep only for so long wakes by itself.
    if (asleep_[i] && ::poll(&polled, 1, 0) == 0 && fabric.longest_sleep_ns() == kNever) return false;
    wake(i);
    players_[i].poll(1 + polls_++ % 3);
    return true;
  }

  LoopbackFabrics fabrics_;
  std::array<Player, 2> players_;
  std::array<bool, 2> asleep_{};
  std::size_t polls_ = 0;
};

void sleep_and_wake(std::size_t ring_bytes, std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Sleepers nodes(ring_bytes, seed);
  Player& a = nodes[0];
  Player& b = nodes[1];
  a.connect(1, NodeId{1});
  ASSERT_TRUE(nodes.until([&] { return a.has(EventKind::kConnected, 1) && !b.seen.empty(); }));
  const Channel far = b.seen.back().channel;
  const Bytes source = a.region(8192);
  const Bytes target = b.region(8192);
  fill(source, seed);
  b.grant(far, target, 1);
  ASSERT_TRUE(nodes.until([&] { return b.has(EventKind::kGranted, far); }));
  const RemoteKey key = b.last(EventKind::kGranted, far)->key;
  a.write(1, source, key, 0, 1);
  ASSERT_TRUE(nodes.until([&] { return a.acked(1) == 1; })) << "an acknowledgement woke nobody";
  EXPECT_TRUE(text(source) == text(target));
  // More than there are slots and places in the queue: what waits must be woken for, too.
  for (Ticket i = 2; i <= 600; ++i) {
    a.send(1, pattern(i, i % 100 == 0 ? 40'000 : 900), i % 50 == 0 || i == 600 ? i : 0);
    if (i % 3 == 0) b.send(far, "back");
  }
  ASSERT_TRUE(nodes.until([&] { return b.count(EventKind::kMessage, far) == 599 && a.acked(1) == 600; }))
      << b.count(EventKind::kMessage, far) << " messages came, " << a.acked(1) << " was acknowledged";
  ASSERT_TRUE(nodes.until([&] { return a.count(EventKind::kMessage, 1) == 200; }));
  b.withdraw(far, key, 2);
  ASSERT_TRUE(nodes.until([&] { return b.has(EventKind::kWithdrawn, far); }));
  const std::size_t polls = nodes.polls();
  for (int i = 0; i < 1000; ++i) nodes.go_on();
  EXPECT_LT(nodes.polls() - polls, 100u) << "nodes with nothing to do do not sleep";
  a.revoke(1);
  ASSERT_TRUE(nodes.until([&] { return a.has(EventKind::kRevoked, 1) && b.has(EventKind::kDown, far); }));
}

TEST(VerbsLoopback, SleepersAreWoken) {
  // Given nodes that sleep whenever they may, expect everything to arrive all the same, and sleep when it has.
  sleep_and_wake(256 * kKiB, 0);
  for (std::uint64_t seed = 1; seed <= 10 && !testing::Test::HasFailure(); ++seed) {
    sleep_and_wake(seed % 2 == 0 ? 256 * kKiB : 64 * kKiB, seed);
  }
}

}  // namespace
}  // namespace slipstream::emulate
