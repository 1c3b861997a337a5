#include "sim/world.h"

#include <set>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "sim/test_hardware.h"
#include "sim/toy_nodes.h"

namespace slipstream::sim {
namespace {

// One answerer with its replicas, and askers.
struct Shape {
  std::size_t askers = 1;
  std::size_t replicas = 0;
  std::size_t write_bytes = 100;
};

struct Toy {
  Toy(const SimOptions& options, const AskOptions& ask, const Shape& shape = {},
      const HardwareProfile& hw = plain_hardware())
      : world(hw, options, 1) {
    AnswerOptions answer;
    answer.write_bytes = shape.write_bytes;
    for (std::size_t i = 1; i <= shape.replicas; ++i) answer.replicas.push_back(NodeId{static_cast<std::uint16_t>(i)});
    servers.push_back(place<Answerer>(NodeKind::kServer, answer));
    for (std::size_t i = 0; i < shape.replicas; ++i) {
      servers.push_back(place<Answerer>(NodeKind::kServer, AnswerOptions{}));
    }
    for (std::size_t i = 0; i < shape.askers; ++i) {
      world.add(NodeKind::kClient);
      auto node = std::make_unique<Asker>(ask);
      askers.push_back(node.get());
      world.place(NodeId{next++}, std::move(node));
    }
  }

  template <typename T, typename O>
  T* place(NodeKind kind, const O& options) {
    Fabric& fabric = world.add(kind);
    auto node = std::make_unique<T>(options, fabric);
    T* const made = node.get();
    world.place(NodeId{next++}, std::move(node));
    return made;
  }

  World world;
  std::uint16_t next = 0;
  std::vector<Answerer*> servers;
  std::vector<Asker*> askers;
};

TEST(World, TwoNodesExchangeMessages) {
  // Given an asker and an answerer that run to completion. Expect every request answered, and then silence.
  SimOptions options;
  options.threading = Threading::kRunToCompletion;
  Toy toy(options, {.requests = 100});
  EXPECT_EQ(toy.world.run(), Ending::kDone);
  EXPECT_EQ(toy.askers[0]->round_trips.size(), 100u);
}

TEST(World, WritesReachTheReplicas) {
  // Given three replicas under either threading model. Expect every request answered and the written bytes in place.
  for (const Threading threading : {Threading::kRunToCompletion, Threading::kDispatchWorkers}) {
    SimOptions options;
    options.threading = threading;
    Toy toy(options, {.outstanding = 8, .requests = 1000}, {.askers = 3, .replicas = 3});
    EXPECT_EQ(toy.world.run(), Ending::kDone);
    for (const Asker* asker : toy.askers) EXPECT_EQ(asker->round_trips.size(), 1000u);
    for (std::size_t i = 1; i <= 3; ++i) {
      const ConstBytes from = toy.servers[0]->source().subspan(100, 300'000);
      const ConstBytes to = toy.servers[i]->replica().subspan(100, 300'000);
      EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin()));
    }
  }
}

// Equal but for the rounding of both ends to whole ns.
bool about(TimeNs time, TimeNs expected) { return time >= expected - 1 && time <= expected + 1; }

// ns from one asking turn to the turn that has the answer, where each asks the next: the client's own 300 ns (message
// in and out) included.
std::vector<TimeNs> round_trips(const SimOptions& options) {
  Toy toy(options, {.requests = 5});
  EXPECT_EQ(toy.world.run(), Ending::kDone);
  return toy.askers[0]->round_trips;
}

TEST(World, ARoundTripIsTheSumOfItsParts) {
  // Given plain hardware and one request of 64 B at a time. Expect: the client's posting (200, and 100 for taking the
  // last answer); 10 on the link and 900 of way; at the server 100 in, 1000 of work, 200 out, and with workers a
  // hand-off of 220 each way; 4.4 on the link and 900 of way back.
  SimOptions options;
  options.threading = Threading::kRunToCompletion;
  std::vector<TimeNs> times = round_trips(options);
  EXPECT_TRUE(about(times[0], 200 + 910 + 1300 + 904)) << times[0];
  for (std::size_t i = 1; i < times.size(); ++i) EXPECT_TRUE(about(times[i], 300 + 910 + 1300 + 904)) << times[i];
  options.threading = Threading::kDispatchWorkers;
  times = round_trips(options);
  EXPECT_TRUE(about(times[0], 200 + 910 + 1740 + 904)) << times[0];
  for (std::size_t i = 1; i < times.size(); ++i) EXPECT_TRUE(about(times[i], 300 + 910 + 1740 + 904)) << times[i];
}

TEST(World, AReplicatedRoundTripIsTheSumOfItsParts) {
  // Given one replica, writes of 100 B, and workers. Expect, at the server after the request's 1000 of work: posting
  // (150), (100 + 36) B and 900 there, 3 and 900 back, taking the completion (30), a hand-off (220), and the answer's
  // 200.
  SimOptions options;
  Toy toy(options, {.requests = 3}, {.replicas = 1});
  EXPECT_EQ(toy.world.run(), Ending::kDone);
  const TimeNs expected = 300 + 910 + 320 + 1000 + (150 + 914 + 903 + 30) + 220 + 200 + 904;
  for (std::size_t i = 1; i < 3; ++i) EXPECT_TRUE(about(toy.askers[0]->round_trips[i], expected));
}

TEST(World, BatchesGrowWithLoad) {
  // Given a server that runs to completion, and more and more requests outstanding. Expect fewer turns per request,
  // never more than the batch, and a throughput bound by the core: 1300 ns a request.
  double last = 1e9;
  for (const std::uint32_t outstanding : {1u, 8u, 64u}) {
    SimOptions options;
    options.threading = Threading::kRunToCompletion;
    options.batch = 16;
    Toy toy(options, {.outstanding = outstanding, .requests = 2000}, {.askers = 4});
    EXPECT_EQ(toy.world.run(), Ending::kDone);
    const CoreReport core = toy.world.core_report(NodeId{0});
    const double turns = static_cast<double>(core.turns) / 8000;
    EXPECT_LE(turns, last);
    EXPECT_GE(turns, 1.0 / 16);
    last = turns;
    EXPECT_GE(toy.world.now_ps(), 8000 * 1300 * kPsPerNs);
    if (outstanding == 64) {
      EXPECT_LT(turns, 0.1);
      EXPECT_GT(core.dispatch_busy_ns * 100, static_cast<std::uint64_t>(core.window_ns) * 97);
    }
  }
}

// Simulated ns per request of a server with one replica under full load.
double ns_per_request(std::uint32_t workers, Waiting waiting) {
  SimOptions options;
  options.workers = workers;
  options.waiting = waiting;
  Toy toy(options, {.outstanding = 8, .requests = 1000}, {.askers = 4, .replicas = 1});
  EXPECT_EQ(toy.world.run(), Ending::kDone);
  const CoreReport core = toy.world.core_report(NodeId{0});
  EXPECT_EQ(core.workers_waiting_ns > 0, waiting == Waiting::kSpin);
  EXPECT_GT(core.requests_queued, 0u);
  return static_cast<double>(toy.world.now_ps()) / kPsPerNs / 4000;
}

TEST(World, SpinningWorkersRunOut) {
  // Given writes that take a worker 1000 ns of work and then some 2000 ns of waiting. Expect: a spinning worker serves
  // a request at a time (1000 + 1997 + 220 for the hand-off), and several serve several; yielding ones are bound by
  // their 1000 + 2000 (context switch) + 220, for they do not wait.
  const double alone = 1000 + 150 + 914 + 903 + 30 + 220;
  EXPECT_NEAR(ns_per_request(1, Waiting::kSpin), alone, alone / 50);
  EXPECT_NEAR(ns_per_request(3, Waiting::kSpin), alone / 3, alone / 3 / 20);
  EXPECT_NEAR(ns_per_request(2, Waiting::kYield), 3220.0 / 2, 3220.0 / 2 / 20);
}

TEST(World, AnswersOfAChannelKeepTheirOrder) {
  // Given many workers and requests of one client whose turns end out of order by nature of queueing. Expect the
  // answers in the order in which their turns were taken: the stamps they carry back never fall.
  SimOptions options;
  Toy toy(options, {.outstanding = 32, .requests = 3000}, {.replicas = 2});
  EXPECT_EQ(toy.world.run(), Ending::kDone);
  EXPECT_TRUE(toy.askers[0]->in_order);
}

TEST(World, TheSameRunTwice) {
  // Given the same machines and options. Expect the same state, counters and times; and other ones for another model.
  std::set<std::uint64_t> hashes;
  for (const Threading threading : {Threading::kRunToCompletion, Threading::kDispatchWorkers}) {
    std::uint64_t first = 0;
    for (int run = 0; run < 2; ++run) {
      SimOptions options;
      options.threading = threading;
      Toy toy(options, {.outstanding = 16, .requests = 500}, {.askers = 5, .replicas = 3});
      EXPECT_EQ(toy.world.run(), Ending::kDone);
      if (run == 0) first = toy.world.state_hash();
      EXPECT_EQ(toy.world.state_hash(), first);
    }
    hashes.insert(first);
  }
  EXPECT_EQ(hashes.size(), 2u);
}

// Takes a turn every microsecond, counts them, and marks a window.
class Ticker : public Node {
 public:
  void step(TimeNs now, std::span<const Event>, Outbox& out) override {
    early |= now < next_;
    if (now >= next_) ++ticks;
    out.work(Work::kRequest, 1);
    if (ticks == 10) out.mark(Mark::kWindowStart);
    if (ticks == 60) out.mark(Mark::kWindowEnd);
    next_ = now + 2 * kMicrosecond;
  }
  TimeNs deadline() const override { return ticks >= 100 ? kNever : next_; }
  bool done() const override { return ticks >= 100; }
  std::string trouble() const override { return trouble_at != 0 && ticks >= trouble_at ? "out of ticks" : ""; }
  std::string describe() const override { return "ticker"; }
  std::uint64_t state_hash() const override { return ticks; }

  std::uint64_t ticks = 0;
  std::uint64_t trouble_at = 0;
  bool early = false;

 private:
  TimeNs next_ = 0;
};

TEST(World, DeadlinesAndMarks) {
  // Given a node that asks for a turn each 2 us and works 1 us in each. Expect turns exactly then, a window of 50 turns
  // between its marks with their work and their share of the core, in either model.
  for (const Threading threading : {Threading::kRunToCompletion, Threading::kDispatchWorkers}) {
    SimOptions options;
    options.threading = threading;
    World world(plain_hardware(), options, 1);
    world.add(NodeKind::kServer);
    auto node = std::make_unique<Ticker>();
    const Ticker& ticker = *node;
    world.place(NodeId{0}, std::move(node));
    EXPECT_EQ(world.run(), Ending::kDone);
    EXPECT_EQ(ticker.ticks, 100u);
    EXPECT_FALSE(ticker.early);
    EXPECT_EQ(world.now_ps(), 99 * 2000 * kPsPerNs);
    const NodeReport report = world.report(NodeId{0});
    EXPECT_EQ(report.window_ns, 100 * kMicrosecond);
    EXPECT_EQ(report.ledger.get(Role::kClient, Work::kRequest), 50u);
    EXPECT_EQ(report.cpu_ns[static_cast<std::size_t>(Role::kClient)], 50'000u);
    EXPECT_EQ(world.core_report(NodeId{0}).turns, 50u);
  }
}

// Asks for its next turn at once, ten times, and works 1 us in each.
class Scanner : public Node {
 public:
  void step(TimeNs, std::span<const Event>, Outbox& out) override {
    out.work(Work::kRequest, 1);
    ++turns_;
  }
  TimeNs deadline() const override { return done() ? kNever : 0; }
  bool done() const override { return turns_ == 10; }
  std::string describe() const override { return "scanner"; }
  std::uint64_t state_hash() const override { return turns_; }

 private:
  std::uint64_t turns_ = 0;
};

TEST(World, APassedDeadlineAsksForATurnWhenThisOneIsDone) {
  // Given turns of 1 us that each ask for the next one at once. Expect one per us, in either model.
  for (const Threading threading : {Threading::kRunToCompletion, Threading::kDispatchWorkers}) {
    SimOptions options;
    options.threading = threading;
    World world(plain_hardware(), options, 1);
    world.add(NodeKind::kServer);
    world.place(NodeId{0}, std::make_unique<Scanner>());
    EXPECT_EQ(world.run(), Ending::kDone);
    EXPECT_EQ(world.now_ps(), 9 * 1000 * kPsPerNs);
  }
}

TEST(World, EndsAreTold) {
  // Given a node in trouble, one that is never done, and a time limit. Expect the ending that says so, with the words.
  World troubled(plain_hardware(), {}, 1);
  troubled.add(NodeKind::kServer);
  auto node = std::make_unique<Ticker>();
  node->trouble_at = 100;
  troubled.place(NodeId{0}, std::move(node));
  EXPECT_EQ(troubled.run(), Ending::kTrouble);
  EXPECT_EQ(troubled.trouble(), "node 0: out of ticks");

  SimOptions options;
  options.limit_ns = 50 * kMicrosecond;
  World limited(plain_hardware(), options, 1);
  limited.add(NodeKind::kServer);
  limited.place(NodeId{0}, std::make_unique<Ticker>());
  EXPECT_EQ(limited.run(), Ending::kLimit);

  // An asker whose server does not exist hears nothing more once its channel is down.
  World silent(plain_hardware(), {}, 1);
  silent.add(NodeKind::kClient);
  silent.place(NodeId{0}, std::make_unique<Asker>(AskOptions{.server = NodeId{9}}));
  EXPECT_EQ(silent.run(), Ending::kSilence);
}

TEST(World, RefusesWhatCannotWork) {
  // Given options and profiles out of bounds. Expect an error that names the option or key.
  const auto error = [](const HardwareProfile& hw, const SimOptions& options) -> std::string {
    try {
      World world(hw, options, 1);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  };
  HardwareProfile hw = plain_hardware();
  EXPECT_EQ(error(hw, {}), "");
  hw.network_mtu = 0;
  EXPECT_EQ(error(hw, {}).rfind("network.mtu", 0), 0u);
  SimOptions one;
  one.workers = 0;
  EXPECT_EQ(error(plain_hardware(), one).rfind("workers", 0), 0u);
  one.workers = 1;
  EXPECT_EQ(error(plain_hardware(), one), "");
  one.batch = 0;
  EXPECT_EQ(error(plain_hardware(), one).rfind("batch", 0), 0u);
}

}  // namespace
}  // namespace slipstream::sim
