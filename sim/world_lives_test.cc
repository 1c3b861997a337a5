// Machines that die, start anew, stand still or are slow: what their nodes and their peers see of it.
#include <set>

#include <gtest/gtest.h>

#include "core/rpc/wire.h"
#include "sim/puppet.h"

namespace slipstream::sim {
namespace {

constexpr TimeNs kSoon = 20 * kMicrosecond;  // all is connected and granted by then
constexpr TimeNs kTimeout = kMillisecond;    // nic.timeout of plain_hardware()

const SimOptions& model(Threading threading) {
  static SimOptions options[2];
  SimOptions& chosen = options[static_cast<std::size_t>(threading)];
  chosen.threading = threading;
  chosen.waiting = Waiting::kYield;  // puppets do not answer
  chosen.keep_stored_bytes = true;
  return chosen;
}

class WorldLives : public testing::TestWithParam<Threading> {};

INSTANTIATE_TEST_SUITE_P(Models, WorldLives, testing::Values(Threading::kRunToCompletion, Threading::kDispatchWorkers),
                         [](const auto& param) {
                           return param.param == Threading::kRunToCompletion ? "RunToCompletion" : "DispatchWorkers";
                         });

TEST_P(WorldLives, PeersNoticeADeathWhenTheirNicGivesUp) {
  // Given two nodes that are connected to a third, which dies. Expect each to be told once, nic.timeout later; and the
  // channel between the two to live on.
  PuppetWorld w({{2, 1}, {2}, {}}, model(GetParam()));
  w.fault(kSoon, [](World& world) { world.crash(NodeId{2}, {}); });
  w.say(kSoon + 2 * kTimeout, 0, 2, "still there?");
  w.run();
  EXPECT_FALSE(w.world.alive(NodeId{2}));
  for (const int node : {0, 1}) {
    EXPECT_EQ(w.notes[node].count(EventKind::kDown), 1u);
    EXPECT_EQ(w.notes[node].last(EventKind::kDown), kSoon + kTimeout);
  }
  EXPECT_EQ(w.notes[1].texts("still there?"), 1u);
  EXPECT_EQ(w.notes[2].count(EventKind::kDown), 0u);
}

TEST_P(WorldLives, OpsThatHaveNotLeftTheCoreNeverLeave) {
  // Given a turn that posts ten messages, each after 1 us of work, and a death at every microsecond of it. Expect the
  // messages before it at the peer, in order, and none behind.
  std::set<std::size_t> counts;
  for (TimeNs died = 0; died <= 12; ++died) {
    PuppetWorld w({{1}, {}}, model(GetParam()));
    w.at(kSoon, 0, [](Outbox& out) {
      for (int i = 0; i < 10; ++i) {
        out.work(Work::kRequest);
        std::memcpy(out.send(1, 4), "word", 4);
      }
    });
    w.fault(kSoon + died * kMicrosecond, [](World& world) { world.crash(NodeId{0}, {}); });
    w.run();
    const std::size_t heard = w.notes[1].texts("word");
    EXPECT_LE(heard, static_cast<std::size_t>(died));
    EXPECT_GE(heard + 3, std::min<std::size_t>(static_cast<std::size_t>(died), 10));
    counts.insert(heard);
  }
  EXPECT_GE(counts.size(), 8u);
}

TEST_P(WorldLives, NothingOfAnOldLifeReachesANewOne) {
  // Given a node with everything under way when it dies: an alarm, a long turn, a request under way to it, an answer, a
  // write into it, a storage append, a connect; and a restart 1 us later. Expect the new life to see only what came of
  // its own: its peers' old channels die, its own connect works.
  PuppetWorld w({{1}, {0}}, model(GetParam()));
  w.say(kSoon, 1, 1, "request");
  w.at(kSoon, 0, [&w](Outbox& out) {
    out.work(Work::kRequest, 100);
    out.connect(9, NodeId{1});
    StorageOp op;
    op.frame = 7;
    op.source = w.puppet(0).source().first(1000);
    out.store(op);
  });
  w.at(kSoon + 10 * kMillisecond, 0, [](Outbox&) {});
  w.write(kSoon, 1, 1, 20'000, 0, 5);
  w.fault(kSoon + 700, [](World& world) { world.crash(NodeId{0}, {}); });
  w.fault(kSoon + 1700, [](World& world) { world.restart(NodeId{0}); });
  w.run_until(kSoon + 100 * kMicrosecond);
  EXPECT_EQ(w.notes[0].lives, 2);
  EXPECT_EQ(w.notes[0].texts("request"), 0u);
  EXPECT_EQ(w.notes[0].count(EventKind::kStored), 0u);
  EXPECT_EQ(w.notes[0].count(EventKind::kConnected, 2), 1u);
  EXPECT_EQ(w.notes[0].count(EventKind::kMessage, 2), 1u);  // the key
  EXPECT_EQ(w.notes[1].count(EventKind::kAcked), 0u);
  EXPECT_EQ(w.notes[1].count(EventKind::kDown), 0u);
  w.run();
  EXPECT_EQ(w.notes[1].count(EventKind::kDown), 2u);  // both channels with the old life, not the one with the new
  EXPECT_EQ(w.notes[0].count(EventKind::kDown, 2), 0u);
}

TEST_P(WorldLives, AnOldKeyIsDeadInANewLife) {
  // Given a writer whose target dies and starts anew, and that dials it again but writes with the old key. Expect the
  // channel to die, and nothing written.
  PuppetWorld w({{1}, {}}, model(GetParam()));
  w.fault(kSoon, [](World& world) { world.crash(NodeId{1}, {.keeps_memory = false}); });
  w.fault(2 * kSoon, [](World& world) { world.restart(NodeId{1}); });
  const TimeNs later = 2 * kSoon + kTimeout;
  w.at(later, 0, [](Outbox& out) { out.connect(2, NodeId{1}); });
  w.at(later + kSoon, 0, [&w](Outbox& out) {
    out.write(2, {w.puppet(0).source().data(), 64}, w.notes[0].keys.at(1), 0, 3);
  });
  w.run();
  EXPECT_EQ(w.notes[1].count(EventKind::kConnected, 2), 1u);
  EXPECT_NE(w.notes[0].keys.at(1), w.notes[0].keys.at(2));
  EXPECT_EQ(w.notes[1].count(EventKind::kDown, 2), 1u);
  EXPECT_EQ(w.puppet(1).memory()[0], std::byte{0});
}

TEST_P(WorldLives, DurableMemoryIsFoundAgain) {
  // Given a write that landed in a durable region, and a death with and without the memory. Expect it there, or zeroes;
  // and other regions made anew.
  for (const bool keeps : {true, false}) {
    PuppetWorld w({{1}, {}}, model(GetParam()));
    w.write(kSoon, 0, 1, 5000, 100, 5);
    w.fault(2 * kSoon, [keeps](World& world) {
      world.crash(NodeId{1}, {.keeps_memory = keeps});
      world.restart(NodeId{1});
    });
    w.run();
    const Bytes found = w.puppet(1).memory();
    const Bytes source = w.puppet(0).source();
    EXPECT_EQ(std::equal(source.begin(), source.begin() + 5000, found.begin() + 100), keeps);
    EXPECT_EQ(std::count(found.begin(), found.end(), std::byte{0}), keeps ? Puppet::kBytes - 5000 : Puppet::kBytes);
    EXPECT_EQ(w.notes[1].lives, 2);
  }
}

TEST(WorldStorage, ADeathLeavesAnyPrefixOfWhatWasUnderWay) {
  // Given one frame that is durable and two appends to another under way, and deaths of many salts. Expect the durable
  // one whole; of the other any length, the bytes right up to some point; all of it found by the next life; and nothing
  // when the storage is not kept.
  std::set<std::uint64_t> lengths;
  for (std::uint64_t salt = 0; salt < 60; ++salt) {
    PuppetWorld w({{}}, model(Threading::kRunToCompletion));
    const auto append = [&w](FrameId frame, std::size_t from, std::size_t size) {
      return [&w, frame, from, size](Outbox& out) {
        StorageOp op;
        op.frame = frame;
        op.source = w.puppet(0).source().subspan(from, size);
        out.store(op);
      };
    };
    w.at(10, 0, append(1, 0, 500));
    w.at(kSoon, 0, append(2, 0, 2000));
    w.at(kSoon, 0, append(2, 2000, 1000));
    w.run_until(kSoon + kMicrosecond);
    const std::vector<std::byte> source(w.puppet(0).source().begin(), w.puppet(0).source().end());
    w.world.crash(NodeId{0}, {.keeps_storage = salt % 10 != 9, .salt = salt});
    w.world.restart(NodeId{0});
    w.run();
    if (salt % 10 == 9) {
      EXPECT_TRUE(w.notes[0].found.empty());
      continue;
    }
    ASSERT_FALSE(w.notes[0].found.empty());
    EXPECT_EQ(w.notes[0].found[0], (StoredFrame{1, 500}));
    const Frame& frame = w.world.medium(NodeId{0}).frames[2];
    ASSERT_LE(frame.size, 3000u);
    lengths.insert(frame.size);
    std::size_t right = 0;
    while (right < frame.size && frame.bytes[right] == source[right]) ++right;
    for (std::size_t i = right; i < frame.size; ++i) {
      EXPECT_TRUE(frame.bytes[i] == source[i] || frame.bytes[i] == std::byte{0});
    }
  }
  EXPECT_GT(lengths.size(), 15u);
  EXPECT_TRUE(lengths.contains(3000));
}

TEST_P(WorldLives, ADeathInTheMiddleOfAWriteLeavesItsFirstPackets) {
  // Given a write of twenty packets whose writer dies 100 ns later each time, and starts anew at once with other bytes
  // in its memory. Expect a prefix of whole packets, all of the old bytes, at every moment.
  std::set<std::size_t> lengths;
  for (TimeNs died = 0; died < 35; ++died) {
    PuppetWorld w({{1}, {}}, model(GetParam()));
    w.write(kSoon, 0, 1, 20'000, 0, 5);
    w.fault(kSoon + died * 100, [](World& world) {
      world.crash(NodeId{0}, {});
      world.restart(NodeId{0});
    });
    w.at(kSoon + died * 100 + 10, 0,
         [&w](Outbox&) { std::fill(w.puppet(0).source().begin(), w.puppet(0).source().end(), std::byte{2}); });
    w.run_until(2 * kSoon);
    const Bytes memory = w.puppet(1).memory();
    std::size_t landed = 0;
    while (landed < 20'000 && memory[landed] == Puppet::source_byte(landed)) ++landed;
    EXPECT_EQ(landed % 1000, 0u);
    EXPECT_EQ(std::count(memory.begin(), memory.end(), std::byte{0}), Puppet::kBytes - landed);
    lengths.insert(landed);
  }
  EXPECT_GE(lengths.size(), 15u);
  EXPECT_TRUE(lengths.contains(0) && lengths.contains(20'000));
}

TEST_P(WorldLives, ConnectsToTheDeadTimeOutAndToTheRestartedWork) {
  // Given a dead node, dialled, and dialled again after its restart. Expect kDown after nic.timeout, and a connection.
  PuppetWorld w({{}, {}}, model(GetParam()));
  w.fault(10, [](World& world) { world.crash(NodeId{1}, {}); });
  w.at(kSoon, 0, [](Outbox& out) { out.connect(1, NodeId{1}); });
  w.fault(kSoon + 2 * kTimeout, [](World& world) { world.restart(NodeId{1}); });
  w.at(2 * kSoon + 2 * kTimeout, 0, [](Outbox& out) { out.connect(1, NodeId{1}); });
  w.run();
  EXPECT_EQ(w.notes[0].count(EventKind::kDown), 1u);
  EXPECT_GE(w.notes[0].last(EventKind::kDown), kSoon + kTimeout);
  EXPECT_LE(w.notes[0].last(EventKind::kDown), kSoon + kTimeout + 3 * kMicrosecond);
  EXPECT_EQ(w.notes[0].count(EventKind::kConnected), 1u);
  EXPECT_EQ(w.notes[1].count(EventKind::kConnected, 2), 1u);
}

TEST_P(WorldLives, ADialIsAnsweredOrTimesOutWheneverItsPeerDies) {
  // Given a dial, and a death of the dialled at every 100 ns of it, with a restart or without. Expect each dialler to
  // hear kConnected or kDown, and kDown after it when it was connected to the dead.
  for (const bool restart : {false, true}) {
    for (TimeNs died = 0; died < 60; ++died) {
      PuppetWorld w({{}, {}}, model(GetParam()));
      w.at(kSoon, 0, [](Outbox& out) { out.connect(1, NodeId{1}); });
      w.fault(kSoon + died * 100, [restart](World& world) {
        world.crash(NodeId{1}, {});
        if (restart) world.restart(NodeId{1});
      });
      w.run();
      const std::size_t up = w.notes[0].count(EventKind::kConnected);
      const std::size_t down = w.notes[0].count(EventKind::kDown);
      EXPECT_TRUE((up == 1 && down == 1) || (up == 0 && down == 1) || (restart && up == 1 && down == 0)) << died;
    }
  }
}

TEST_P(WorldLives, ADiallerThatDiesLeavesNoHalfOpenChannel) {
  // Given a dial whose dialler dies at every 100 ns of it. Expect its peer, if it was ever told of a connection, to be
  // told of its end.
  for (TimeNs died = 0; died < 60; ++died) {
    PuppetWorld w({{}, {}}, model(GetParam()));
    w.at(kSoon, 0, [](Outbox& out) { out.connect(1, NodeId{1}); });
    w.fault(kSoon + died * 100, [](World& world) { world.crash(NodeId{0}, {}); });
    w.run();
    EXPECT_EQ(w.notes[1].count(EventKind::kConnected), w.notes[1].count(EventKind::kDown)) << died;
  }
}

TEST_P(WorldLives, ReadsOfTheDeadAreOfUnknownOutcome) {
  // Given reads and writes in turns, and a death of their target in their middle. Expect what was told to be a prefix
  // in order, then kDown; and other channels' reads to go on.
  PuppetWorld w({{1, 2}, {}, {}}, model(GetParam()));
  w.at(kSoon, 0, [&w](Outbox& out) {
    for (Ticket t = 1; t <= 20; ++t) {
      out.read(1, w.puppet(0).memory().subspan(t * 1000, 1000), w.notes[0].keys.at(1), 0, 2 * t);
      out.write(1, {w.puppet(0).source().data(), 100}, w.notes[0].keys.at(1), 0, 2 * t + 1);
    }
  });
  for (TimeNs t = 0; t < 50; ++t) {
    w.at(kSoon + t * kMicrosecond, 0, [&w, t](Outbox& out) {
      out.read(2, w.puppet(0).memory().subspan(40'000, 64), w.notes[0].keys.at(2), 0, static_cast<Ticket>(t + 1));
    });
  }
  w.fault(kSoon + 6 * kMicrosecond, [](World& world) { world.crash(NodeId{1}, {}); });
  w.run();
  Ticket before = 1;
  bool down = false;
  std::size_t others = 0;
  for (const Seen& s : w.notes[0].seen) {
    if (s.channel == 2 && s.kind == EventKind::kReadDone) ++others;
    if (s.channel != 1 || s.kind == EventKind::kConnected || s.kind == EventKind::kMessage) continue;
    EXPECT_FALSE(down);
    down = s.kind == EventKind::kDown;
    if (down) continue;
    EXPECT_EQ(s.ticket, before + 1);
    before = s.ticket;
  }
  EXPECT_TRUE(down);
  EXPECT_LT(before, 41u);
  EXPECT_EQ(others, 50u);
}

TEST_P(WorldLives, APausedNodeServesWritesAndReadsAndTakesMessagesLater) {
  // Given a node that stands still for 100 us, a write, a read and a message to it, and an alarm of its own meanwhile.
  // Expect the write and the read to be done at once, the message and the alarm when it goes on, and nothing lost.
  PuppetWorld w({{1}, {}}, model(GetParam()));
  w.fault(kSoon, [](World& world) { world.pause(NodeId{1}); });
  w.write(kSoon + 1, 0, 1, 3000, 0, 5);
  w.at(kSoon + 1, 0, [&w](Outbox& out) { out.read(1, w.puppet(0).memory().first(64), w.notes[0].keys.at(1), 0, 6); });
  w.say(kSoon + 1, 0, 1, "hello", 7);
  TimeNs alarmed = 0;
  w.at(kSoon + 10 * kMicrosecond, 1, [&w, &alarmed](Outbox&) { alarmed = w.world.now_ps() / kPsPerNs; });
  w.fault(kSoon + 100 * kMicrosecond, [](World& world) { world.resume(NodeId{1}); });
  w.run_until(kSoon + 50 * kMicrosecond);
  EXPECT_EQ(w.puppet(1).memory()[2999], w.puppet(0).source()[2999]);
  EXPECT_EQ(w.notes[0].count(EventKind::kReadDone), 1u);
  EXPECT_EQ(w.notes[0].count(EventKind::kAcked), 2u);
  EXPECT_EQ(w.notes[1].texts("hello"), 0u);
  w.run();
  EXPECT_EQ(w.notes[1].texts("hello"), 1u);
  EXPECT_GE(w.notes[1].last(EventKind::kMessage), kSoon + 100 * kMicrosecond);
  EXPECT_GE(alarmed, kSoon + 100 * kMicrosecond);
  EXPECT_LE(alarmed, kSoon + 102 * kMicrosecond);
  EXPECT_EQ(w.notes[0].count(EventKind::kDown), 0u);
}

TEST_P(WorldLives, PausesAtAnyMomentKeepTheOrder) {
  // Given a stream of messages with work before each, and a pause of 5 us that begins 100 ns later each time; at the
  // sender, at the receiver, twice over. Expect all messages once and in order.
  for (const std::uint16_t who : {std::uint16_t{0}, std::uint16_t{1}}) {
    for (TimeNs from = 0; from < 80; ++from) {
      PuppetWorld w({{1}, {}}, model(GetParam()));
      for (int i = 0; i < 20; ++i) {
        w.at(kSoon + i * 300, 0, [i](Outbox& out) {
          out.work(Work::kCopyBytes, static_cast<std::uint64_t>((20 - i) * 100));
          std::memcpy(out.send(1, 3), std::to_string(100 + i).data(), 3);
        });
      }
      const TimeNs start = kSoon + from * 100;
      for (const TimeNs begin : {start, start + 2000}) {
        w.fault(begin, [who](World& world) { world.pause(NodeId{who}); });
        w.fault(begin + 5000, [who](World& world) { world.resume(NodeId{who}); });
      }
      w.run();
      std::string heard, expected;
      for (const Seen& s : w.notes[1].seen) heard += s.kind == EventKind::kMessage ? s.text : "";
      for (int i = 0; i < 20; ++i) expected += std::to_string(100 + i);
      EXPECT_EQ(heard, expected);
    }
  }
}

TEST_P(WorldLives, ASlowNodeTakesItsFactor) {
  // Given 10 us of work before a message, by a node as it is and by one ten times as slow. Expect the message 90 us and
  // nine times the price of posting later; and the ledger to say the same.
  TimeNs heard[2] = {0, 0};
  for (const int slow : {0, 1}) {
    PuppetWorld w({{1}, {}}, model(GetParam()));
    w.at(kSoon, 0, [](Outbox& out) {
      out.work(Work::kRequest, 10);
      std::memcpy(out.send(1, 4), "done", 4);
    });
    if (slow == 1) w.fault(10, [](World& world) { world.slow(NodeId{0}, 10); });
    w.run();
    heard[slow] = w.notes[1].last(EventKind::kMessage);
    EXPECT_EQ(w.world.report(NodeId{0}).ledger.get(Role::kPrimary, Work::kRequest), 10u);
  }
  EXPECT_NEAR(static_cast<double>(heard[1] - heard[0]), 90'000 + 9 * 200, 2000);
}

TEST_P(WorldLives, ARetiredNodeIsStartedAnew) {
  // Given a node that says that its life is over, and an option that starts such nodes anew after 50 us, or not. Expect
  // its peer's channel to die, its memory to be kept, and a second life, or none.
  for (const bool back : {true, false}) {
    SimOptions options = model(GetParam());
    if (back) options.restart_retired_ns = 50 * kMicrosecond;
    PuppetWorld w({{1}, {}}, options);
    w.write(kSoon, 0, 1, 100, 0, 5);
    w.at(2 * kSoon, 1, [&w](Outbox&) { w.notes[1].retired = true; });
    w.run();
    EXPECT_EQ(w.notes[0].count(EventKind::kDown), 1u);
    EXPECT_EQ(w.notes[1].lives, back ? 2 : 1);
    EXPECT_EQ(w.world.alive(NodeId{1}), back);
    if (back) {
      EXPECT_EQ(w.puppet(1).memory()[99], w.puppet(0).source()[99]);
    }
  }
}

TEST(WorldOfWorkers, HearsOfMembershipHoweverBusyItIs) {
  // Given a server whose workers all spin, for requests that are not answered. Expect another request to wait for ever,
  // and a ping and a view to be heard.
  SimOptions options = model(Threading::kDispatchWorkers);
  options.waiting = Waiting::kSpin;
  options.workers = 1;
  PuppetWorld w({{1}, {}}, options);
  const auto message = [](Opcode opcode) {
    RpcHeader header;
    header.opcode = opcode;
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
  };
  const std::string request = message(Opcode::kBackupWrite);
  for (int i = 0; i < 5; ++i) w.say(kSoon + i * kMicrosecond, 0, 1, request);
  w.say(2 * kSoon, 0, 1, message(Opcode::kPing));
  w.say(2 * kSoon, 0, 1, message(Opcode::kView));
  w.run_until(kMillisecond);
  EXPECT_LT(w.notes[1].texts(request), 5u);
  EXPECT_EQ(w.notes[1].texts(message(Opcode::kPing)), 1u);
  EXPECT_EQ(w.notes[1].texts(message(Opcode::kView)), 1u);
}

TEST_P(WorldLives, CountersGoOnOverLives) {
  // Given a node that works 5 units, dies, starts anew and works 7. Expect 12 in its report.
  PuppetWorld w({{}}, model(GetParam()));
  w.at(10, 0, [](Outbox& out) { out.work(Work::kRequest, 5); });
  w.fault(kSoon, [](World& world) {
    world.crash(NodeId{0}, {});
    world.restart(NodeId{0});
  });
  w.at(2 * kSoon, 0, [](Outbox& out) { out.work(Work::kRequest, 7); });
  w.run();
  EXPECT_EQ(w.world.report(NodeId{0}).ledger.get(Role::kPrimary, Work::kRequest), 12u);
}

}  // namespace
}  // namespace slipstream::sim
