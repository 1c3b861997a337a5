#include "sim/network.h"

#include <array>
#include <deque>
#include <string>

#include <gtest/gtest.h>

#include "sim/sim_fabric.h"
#include "sim/test_hardware.h"

namespace slipstream::sim {
namespace {

constexpr TimePs kNs = kPsPerNs;

// What a node was told, and when.
struct Told {
  TimePs time = 0;
  Event event;
};

// A network alone: no cores, so that times are those of NICs and links.
class Wires {
 public:
  explicit Wires(std::uint16_t nodes, const HardwareProfile& hardware = plain_hardware()) : network(queue, hardware) {
    for (std::uint16_t i = 0; i < nodes; ++i) fabrics.emplace_back(network, queue);
    for (std::uint16_t i = 0; i < nodes; ++i)
      memory.push_back(fabrics[i].create_region("memory", kBytes, Access::kGrantable).memory);
    told.resize(nodes);
  }

  bool event() {
    if (queue.empty()) return false;
    const QueuedEvent next = queue.pop();
    const NodeId node = network.handle(static_cast<Happening>(next.kind), next.what);
    if (node == kNoNode) return true;
    std::array<Event, 16> events;
    const std::size_t n = fabrics[index(node)].poll(events);
    for (std::size_t i = 0; i < n; ++i) told[index(node)].push_back({queue.now(), events[i]});
    return true;
  }
  void drain() {
    while (event()) {
    }
  }
  TimePs last(std::size_t node, EventKind kind) const {
    TimePs time = -1;
    for (const Told& t : told[node]) time = t.event.kind == kind ? t.time : time;
    return time;
  }

  // A channel `number` from `from` to `to`, and the key of all of `to`'s memory.
  RemoteKey dial(std::size_t from, Channel number, std::size_t to) {
    Op op;
    op.kind = OpKind::kConnect;
    op.channel = number;
    op.peer = NodeId{static_cast<std::uint16_t>(to)};
    fabrics[from].post({&op, 1});
    drain();
    Op grant;
    grant.kind = OpKind::kGrant;
    for (const Told& t : told[to]) {
      if (t.event.kind == EventKind::kConnected && t.event.channel >= kFirstAccepted) grant.channel = t.event.channel;
    }
    grant.local = memory[to];
    fabrics[to].post({&grant, 1});
    drain();
    return told[to].back().event.key;
  }
  void write(std::size_t from, Channel channel, RemoteKey key, std::size_t size, Ticket ticket = 1) {
    const Slice slice{memory[from].data(), size};
    Op op;
    op.kind = OpKind::kWrite;
    op.channel = channel;
    op.body = {&slice, 1};
    op.key = key;
    op.ticket = ticket;
    fabrics[from].post({&op, 1});
  }
  void send(std::size_t from, Channel channel, std::size_t size) {
    Op op;
    op.channel = channel;
    op.head = ConstBytes(memory[from]).first(size);
    fabrics[from].post({&op, 1});
  }

  static constexpr std::size_t kBytes = 1 << 20;
  EventQueue queue;
  Network network;
  std::deque<SimFabric> fabrics;
  std::vector<Bytes> memory;
  std::vector<std::vector<Told>> told;
};

TEST(Network, AMessageTakesTheSumOfItsParts) {
  // Given 64 B: expect (64 + 36) B at 100 ps, two halves of a 600 ns wire, and a 300 ns hop.
  Wires w(2);
  w.dial(0, 1, 1);
  const TimePs start = w.queue.now();
  w.send(0, 1, 64);
  w.drain();
  EXPECT_EQ(w.last(1, EventKind::kMessage) - start, 10 * kNs + 600 * kNs + 300 * kNs);
}

TEST(Network, AWriteAboveTheInlineLimitIsFetchedAndAcknowledged) {
  // Given 240 B: expect 350 ns of fetching, 27.6 ns on the link, 900 ns of way, and an answer of 30 B that takes 3 ns
  // and the way back.
  Wires w(2);
  const RemoteKey key = w.dial(0, 1, 1);
  const TimePs start = w.queue.now();
  w.write(0, 1, key, 240);
  w.drain();
  EXPECT_EQ(w.last(0, EventKind::kAcked) - start, 350'000 + 27'600 + 900'000 + 3'000 + 900'000);
}

TEST(Network, ALinkIsFilledToItsRate) {
  // Given 100 writes of 10 packets: expect the last one acknowledged after 1000 packets' time and one way there and
  // back.
  Wires w(2);
  const RemoteKey key = w.dial(0, 1, 1);
  const TimePs start = w.queue.now();
  for (Ticket i = 1; i <= 100; ++i) w.write(0, 1, key, 10'000, i);
  w.drain();
  EXPECT_EQ(w.last(0, EventKind::kAcked) - start, 350'000 + 1000 * 103'600 + 900'000 + 903'000);
  EXPECT_EQ(w.network.bytes_sent(NodeId{0}) / 1000, 100u * 10'360 / 1000);
}

TEST(Network, SmallMessagesAreBoundByTheGap) {
  // Given 1000 messages of 64 B, 10 ns each on the link: expect one per 50 ns, the receiving engine's gap.
  Wires w(2);
  w.dial(0, 1, 1);
  const TimePs start = w.queue.now();
  for (int i = 0; i < 1000; ++i) w.send(0, 1, 64);
  w.drain();
  EXPECT_EQ(w.last(1, EventKind::kMessage) - start, 910 * kNs + 999 * 50 * kNs);
}

TEST(Network, IncastWaitsAtTheOutputPort) {
  // Given four nodes that each write ten packets to one at the same time: expect forty packets' time at its port. A
  // message to another node is not held up.
  Wires w(6);
  std::array<RemoteKey, 4> keys{};
  for (std::size_t i = 0; i < 4; ++i) keys[i] = w.dial(i + 1, 1, 0);
  w.dial(1, 2, 5);
  const TimePs start = w.queue.now();
  w.send(1, 2, 64);
  for (std::size_t i = 0; i < 4; ++i) w.write(i + 1, 1, keys[i], 10'000);
  w.drain();
  TimePs last = 0;
  for (std::size_t i = 1; i <= 4; ++i) last = std::max(last, w.last(i, EventKind::kAcked));
  EXPECT_EQ(last - start, 350'000 + 40 * 103'600 + 900'000 + 903'000);
  EXPECT_EQ(w.last(5, EventKind::kMessage) - start, 910 * kNs);
}

TEST(Network, AWriteLandsPacketByPacket) {
  // Given a write of three packets: expect, after each event, a whole number of packets at the target, from its start.
  Wires w(2);
  const RemoteKey key = w.dial(0, 1, 1);
  std::fill(w.memory[0].begin(), w.memory[0].end(), std::byte{7});
  w.write(0, 1, key, 3000);
  std::vector<std::size_t> seen;
  while (w.event()) {
    const auto landed = static_cast<std::size_t>(std::count(w.memory[1].begin(), w.memory[1].end(), std::byte{7}));
    EXPECT_TRUE(std::all_of(w.memory[1].begin(), w.memory[1].begin() + static_cast<std::ptrdiff_t>(landed),
                            [](std::byte b) { return b == std::byte{7}; }));
    if (seen.empty() || seen.back() != landed) seen.push_back(landed);
  }
  EXPECT_EQ(seen, (std::vector<std::size_t>{0, 1000, 2000, 3000}));
}

TEST(Network, QueuePairsThatDoNotFitAreFetched) {
  // Given a cache of two at the sender and four channels: expect a miss for each message in turns around all four, and
  // none while two take turns.
  HardwareProfile hw = plain_hardware();
  hw.nic_queue_pairs = 2;
  hw.nic_queue_pair_miss = 700 * kNs;
  Wires w(5, hw);
  for (Channel c = 1; c <= 4; ++c) w.dial(0, c, c);
  const auto misses_of = [&w](std::initializer_list<Channel> channels, int rounds) {
    const std::uint64_t before = w.network.queue_pair_misses(NodeId{0});
    for (int round = 0; round < rounds; ++round) {
      for (const Channel c : channels) w.send(0, c, 64);
    }
    w.drain();
    return w.network.queue_pair_misses(NodeId{0}) - before;
  };
  EXPECT_EQ(misses_of({1, 2, 3, 4}, 10), 40u);
  misses_of({1, 2}, 1);
  EXPECT_EQ(misses_of({1, 2}, 10), 0u);
  // One miss more on the way of a message: it comes that much later.
  const TimePs start = w.queue.now();
  w.send(0, 3, 64);
  w.drain();
  EXPECT_EQ(w.last(3, EventKind::kMessage) - start, 910 * kNs + 700 * kNs);
}

TEST(Network, EveryConnectedQueuePairAddsToTheLatency) {
  // Given 1 ns for each queue pair, and three of them at the sender: expect 3 ns more.
  HardwareProfile hw = plain_hardware();
  hw.nic_per_queue_pair = 1 * kNs;
  Wires w(4, hw);
  for (Channel c = 1; c <= 3; ++c) w.dial(0, c, c);
  const TimePs start = w.queue.now();
  w.send(0, 1, 64);
  w.drain();
  EXPECT_EQ(w.last(1, EventKind::kMessage) - start, 913 * kNs);
}

TEST(Network, AReadBringsBytesAtTheResponder) {
  // Given a read of 500 B: expect a request of 36 B, the responder's fetch, an answer of 536 B and two ways.
  HardwareProfile hw = plain_hardware();
  hw.nic_pcie_round_trip = 300 * kNs;
  Wires w(2, hw);
  const RemoteKey key = w.dial(0, 1, 1);
  std::fill(w.memory[1].begin(), w.memory[1].end(), std::byte{9});
  Op op;
  op.kind = OpKind::kRead;
  op.channel = 1;
  op.local = w.memory[0].first(500);
  op.key = key;
  op.ticket = 5;
  const TimePs start = w.queue.now();
  w.fabrics[0].post({&op, 1});
  w.drain();
  EXPECT_EQ(w.last(0, EventKind::kReadDone) - start, 3'600 + 900'000 + 300'000 + 53'600 + 900'000);
  EXPECT_EQ(w.memory[0][499], std::byte{9});
  EXPECT_EQ(w.memory[0][500], std::byte{0});
}

TEST(Network, ADeadSenderLeavesATornWrite) {
  // Given a sender that dies while the third of a write's ten packets leaves: expect exactly those before it at the
  // target, no acknowledgement, and the channel down at the peer after the time-out.
  Wires w(2);
  const RemoteKey key = w.dial(0, 1, 1);
  std::fill(w.memory[0].begin(), w.memory[0].end(), std::byte{7});
  const TimePs start = w.queue.now();
  w.write(0, 1, key, 10'000);
  w.queue.push(start + 350'000 + 250'000, static_cast<std::uint32_t>(Happening::kAlarm), 0);
  while (!w.queue.empty()) {
    if (w.queue.next_time() != start + 600'000) {
      w.event();
      continue;
    }
    w.queue.pop();
    w.network.kill(NodeId{0});
  }
  EXPECT_EQ(std::count(w.memory[1].begin(), w.memory[1].end(), std::byte{7}), 2000);
  EXPECT_EQ(w.last(0, EventKind::kAcked), -1);
  EXPECT_EQ(w.last(1, EventKind::kDown), start + 600'000 + plain_hardware().nic_timeout);
}

}  // namespace
}  // namespace slipstream::sim
