// Conformance of the fault-injecting wrapper over any fabric: transparent without faults; each fault is what it says.
#include <algorithm>
#include <map>
#include <set>

#include "core/fabric/conformance_stage.h"
#include "core/fabric/faulty_fabric.h"

namespace slipstream {

namespace {

using conformance::fill;
using conformance::Link;
using conformance::pattern;
using conformance::Player;
using conformance::Stage;
using conformance::text;

// Wraps every fabric of another bench; node 0 fails as asked, or every node.
class FaultyBench : public FabricBench {
 public:
  FaultyBench(const MakeFabricBench& make, const FaultyOptions& options, std::uint16_t nodes, std::uint16_t failing)
      : inner_(make(nodes)) {
    for (std::uint16_t i = 0; i < nodes; ++i) {
      options_.push_back(i < failing ? options : FaultyOptions{});
      fabrics_.push_back(std::make_unique<FaultyFabric>(inner_->fabric(NodeId{i}), options_.back(), NodeId{i}));
    }
  }
  Fabric& fabric(NodeId node) override { return *fabrics_[index(node)]; }
  FaultyFabric& faulty(NodeId node) { return *fabrics_[index(node)]; }
  void pump() override { inner_->pump(); }
  bool kill(NodeId node) override { return inner_->kill(node); }
  bool restart(NodeId node) override {
    if (!inner_->restart(node)) return false;
    fabrics_[index(node)] = std::make_unique<FaultyFabric>(inner_->fabric(node), options_[index(node)], node);
    return true;
  }

 private:
  std::unique_ptr<FabricBench> inner_;
  std::vector<FaultyOptions> options_;
  std::vector<std::unique_ptr<FaultyFabric>> fabrics_;
};

MakeFabricBench with(const MakeFabricBench& make, const FaultyOptions& options, std::uint16_t failing) {
  return [make, options, failing](std::uint16_t nodes) {
    return std::make_unique<FaultyBench>(make, options, nodes, failing);
  };
}

// Sends messages from a sound node 1 to a failing node 0, all acknowledged; returns what node 0 saw of them.
std::vector<conformance::Seen> receive_with(const MakeFabricBench& make, const FaultyOptions& options,
                                            std::size_t at_least) {
  Stage stage(with(make, options, 1), 2);
  const Link link = stage.connect(stage[1], stage[0]);
  for (Ticket i = 1; i <= 600; ++i) stage[1].send(link.near, "message " + std::to_string(i), i);
  EXPECT_TRUE(stage.until(
      [&] { return stage[1].acked(link.near) == 600 && stage[0].count(EventKind::kMessage, link.far) >= at_least; }));
  for (std::uint32_t i = 0; i < 4 * options.longest_delay_polls; ++i) {
    stage[0].poll();
    stage.bench().pump();
  }
  std::vector<conformance::Seen> messages;
  for (const auto& s : stage[0].seen) {
    if (s.kind == EventKind::kMessage && s.channel == link.far) messages.push_back(s);
  }
  return messages;
}

std::uint64_t number_of(const conformance::Seen& message) { return std::stoull(message.bytes.substr(8)); }

void lost_messages_are_lost(const MakeFabricBench& make) {
  // Given a loss of 30 %, expect the others once and in order, all acknowledged, and the same seed to lose the same.
  FaultyOptions options;
  options.message_loss_ppm = 300'000;
  const auto messages = receive_with(make, options, 300);
  EXPECT_GT(messages.size(), 350u);
  EXPECT_LT(messages.size(), 490u);
  for (std::size_t i = 1; i < messages.size(); ++i) EXPECT_LT(number_of(messages[i - 1]), number_of(messages[i]));
  const auto again = receive_with(make, options, messages.size());
  ASSERT_EQ(again.size(), messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) EXPECT_EQ(again[i].bytes, messages[i].bytes);
}

void messages_come_twice(const MakeFabricBench& make) {
  // Given second copies of 30 %, expect every message at least once, some twice, none three times, no tag twice.
  FaultyOptions options;
  options.message_twice_ppm = 300'000;
  std::map<std::uint64_t, int> times;
  std::set<std::uint64_t> tags;
  const auto messages = receive_with(make, options, 600);
  for (const auto& message : messages) {
    ++times[number_of(message)];
    EXPECT_TRUE(tags.insert(message.tag).second);
  }
  EXPECT_EQ(times.size(), 600u);
  for (const auto& [number, n] : times) EXPECT_LE(n, 2) << "message " << number;
  EXPECT_GT(messages.size(), 700u);
  EXPECT_LT(messages.size(), 860u);
}

void messages_come_late(const MakeFabricBench& make) {
  // Given delays for 30 %, expect every message once, and not all in order.
  FaultyOptions options;
  options.message_late_ppm = 300'000;
  const auto messages = receive_with(make, options, 600);
  std::set<std::uint64_t> numbers;
  bool in_order = true;
  for (const auto& message : messages) {
    in_order = in_order && (numbers.empty() || number_of(message) > *numbers.rbegin());
    EXPECT_TRUE(numbers.insert(number_of(message)).second);
  }
  EXPECT_EQ(numbers.size(), 600u);
  EXPECT_FALSE(in_order);
}

void a_channel_is_lost_at_its_op(const MakeFabricBench& make) {
  // Given a loss at the 10th op, expect one kDown at each end, nothing of op 10 and later, a revocation that is
  // answered, and a new channel that works.
  FaultyOptions options;
  options.schedule = {{10, FabricFault::kChannelLoss}};
  Stage stage(with(make, options, 1), 2);
  const Link link = stage.connect(stage[0], stage[1]);
  for (int i = 1; i <= 20; ++i) stage[0].send(link.near, std::to_string(i));
  ASSERT_TRUE(stage.until(
      [&] { return stage[0].has(EventKind::kDown, link.near) && stage[1].has(EventKind::kDown, link.far); }));
  stage[0].revoke(link.near);
  ASSERT_TRUE(stage.until([&] { return stage[0].has(EventKind::kRevoked, link.near); }));
  stage.settle();
  EXPECT_EQ(stage[0].count(EventKind::kDown, link.near), 1u);
  EXPECT_EQ(stage[1].count(EventKind::kDown, link.far), 1u);
  EXPECT_EQ(stage[0].count(EventKind::kRevoked, link.near), 1u);
  const auto messages = stage[1].messages(link.far);
  EXPECT_LT(messages.size(), 10u);
  for (std::size_t i = 0; i < messages.size(); ++i) EXPECT_EQ(messages[i], std::to_string(i + 1));
  const Link next = stage.connect(stage[0], stage[1]);
  stage[0].send(next.near, "again", 1);
  EXPECT_TRUE(stage.until([&] { return stage[1].has(EventKind::kMessage, next.far); }));
}

// One run: nine whole writes, the tenth torn over old bytes. Returns the torn range, checked against old and new.
std::string torn_bytes(const MakeFabricBench& make, FabricFault fault, std::uint64_t seed, std::string& mask) {
  constexpr std::size_t kBlock = 1024;
  constexpr std::size_t kOffset = 9 * kBlock + 40;
  constexpr std::size_t kTorn = 700;
  FaultyOptions options;
  options.seed = seed;
  options.schedule = {{10, fault}};
  Stage stage(with(make, options, 1), 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes source = stage[0].region(16 * kBlock);
  const Bytes target = stage[1].region(16 * kBlock);
  fill(source, 1);
  for (std::byte& b : source) b |= std::byte{1};  // new bytes are never 0, as old ones are
  const RemoteKey key = stage.grant(stage[1], link.far, target);
  for (std::size_t i = 0; i < 9; ++i)
    stage[0].write(link.near, source.subspan(i * kBlock, kBlock), key, i * kBlock, i + 1);
  EXPECT_TRUE(stage.until([&] { return stage[0].acked(link.near) == 9; }));
  const Slice slices[] = {{source.data() + kOffset, 300}, {source.data() + kOffset + 300, kTorn - 300}};
  Op op;
  op.kind = OpKind::kWrite;
  op.channel = link.near;
  op.body = slices;
  op.key = key;
  op.offset = kOffset;
  op.ticket = 10;
  stage[0].fabric().post({&op, 1});
  stage[0].write(link.near, source.first(100), key, 15 * kBlock, 11);
  EXPECT_TRUE(stage.until(
      [&] { return stage[0].has(EventKind::kDown, link.near) && stage[1].has(EventKind::kDown, link.far); }));
  stage.settle();
  EXPECT_EQ(stage[0].acked(link.near), 9u);
  EXPECT_TRUE(text(target.first(9 * kBlock)) == text(source.first(9 * kBlock)));
  EXPECT_EQ(text(target.subspan(9 * kBlock, 40)), std::string(40, '\0'));
  const Bytes rest = target.subspan(kOffset + kTorn);
  EXPECT_EQ(text(rest), std::string(rest.size(), '\0'));
  mask.clear();
  for (std::size_t i = kOffset; i < kOffset + kTorn; ++i) {
    EXPECT_TRUE(target[i] == source[i] || target[i] == std::byte{0});
    mask += target[i] == source[i] ? '1' : '0';
  }
  return text(target.subspan(kOffset, kTorn));
}

void a_torn_write_lands_in_part(const MakeFabricBench& make) {
  // Given a write torn at a byte or in blocks, expect new bytes where it landed, old ones elsewhere, borders only where
  // the fault allows them, all else whole, and different seeds to tear differently.
  for (const FabricFault fault :
       {FabricFault::kTornByte, FabricFault::kTornBlocks64, FabricFault::kTornBlocks128, FabricFault::kTornAnywhere}) {
    std::set<std::string> outcomes;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      std::string mask;
      outcomes.insert(torn_bytes(make, fault, seed, mask));
      const std::size_t block = fault == FabricFault::kTornBlocks64 ? 64 : 128;
      for (std::size_t i = 1; i < mask.size(); ++i) {
        if (mask[i] == mask[i - 1]) continue;
        if (fault == FabricFault::kTornByte) {
          EXPECT_EQ(mask[i], '0') << "bytes behind the cut";
        } else if (fault != FabricFault::kTornAnywhere) {
          EXPECT_EQ((9 * 1024 + 40 + i) % block, 0u) << "torn inside a block";
        }
      }
    }
    EXPECT_GT(outcomes.size(), 4u);
  }
}

void advance(Stage& stage, NodeId node, TimeNs now) {
  dynamic_cast<FaultyBench&>(stage.bench()).faulty(node).advance(now);
}

void channels_are_lost_at_a_time(const MakeFabricBench& make) {
  // Given a loss of the channels with node 1 at a time, expect nothing before, then each of them down at both ends,
  // without an op; the channel with node 2 to stay; and a new one with node 1 to work.
  FaultyOptions options;
  options.timed = {{1000, FabricFault::kChannelLoss, NodeId{1}, 0, 0}};
  Stage stage(with(make, options, 1), 3);
  const Link out = stage.connect(stage[0], stage[1]);
  const Link in = stage.connect(stage[1], stage[0]);
  const Link other = stage.connect(stage[0], stage[2]);
  advance(stage, NodeId{0}, 999);
  stage.settle();
  EXPECT_FALSE(stage[0].has(EventKind::kDown, out.near));
  advance(stage, NodeId{0}, 1000);
  ASSERT_TRUE(stage.until([&] {
    return stage[0].has(EventKind::kDown, out.near) && stage[1].has(EventKind::kDown, out.far) &&
           stage[1].has(EventKind::kDown, in.near) && stage[0].has(EventKind::kDown, in.far);
  }));
  advance(stage, NodeId{0}, 2000);
  stage.settle();
  EXPECT_EQ(stage[0].count(EventKind::kDown, out.near), 1u);
  stage[0].send(other.near, "alive");
  EXPECT_TRUE(stage.until([&] { return stage[2].has(EventKind::kMessage, other.far); }));
}

void messages_are_lost_and_doubled_at_a_time(const MakeFabricBench& make) {
  // Given, at one time, a loss of the next message of node 2 and a second copy of the next of node 1, expect these and
  // no other to be lost and to come twice.
  FaultyOptions options;
  options.timed = {{10, FabricFault::kMessageLoss, NodeId{2}, 0, 0}, {10, FabricFault::kMessageTwice, NodeId{1}, 0, 0}};
  Stage stage(with(make, options, 1), 3);
  const Link one = stage.connect(stage[1], stage[0]);
  const Link two = stage.connect(stage[2], stage[0]);
  const auto send = [&](const std::string& text) {
    stage[1].send(one.near, text);
    stage[1].send(one.near, text + " behind");
    stage[2].send(two.near, text);
    stage[2].send(two.near, text + " behind");
  };
  send("before");
  ASSERT_TRUE(stage.until([&] { return stage[0].messages(one.far).size() + stage[0].messages(two.far).size() == 4; }));
  advance(stage, NodeId{0}, 10);
  send("after");
  EXPECT_TRUE(
      stage.until([&] { return stage[0].messages(one.far).size() == 5 && stage[0].messages(two.far).size() == 3; }));
  stage.settle();
  EXPECT_EQ(std::count_if(stage[0].seen.begin(), stage[0].seen.end(), [](const auto& s) { return s.bytes == "after"; }),
            2);
}

// A write of node 0 that is held back, over the second half of what a first one wrote.
struct LateWrite {
  static constexpr std::size_t kHalf = 3000;

  LateWrite(const MakeFabricBench& make, const FaultyOptions& options) : stage(with(make, options, 1), 2) {
    link = stage.connect(stage[0], stage[1]);
    source = stage[0].region(2 * kHalf);
    target = stage[1].region(2 * kHalf);
    fill(source, 1);
    key = stage.grant(stage[1], link.far, target);
    stage[0].write(link.near, source.first(kHalf), key, 0, 1);
    EXPECT_TRUE(stage.until([&] { return stage[0].acked(link.near) == 1; }));
    advance(stage, NodeId{0}, 1000);
    stage[0].write(link.near, source.subspan(kHalf), key, kHalf, 2);
    EXPECT_TRUE(stage.until([&] { return stage[0].has(EventKind::kDown, link.near); }));
    EXPECT_FALSE(stage[1].has(EventKind::kDown, link.far));
    fill(source.subspan(kHalf), 2);  // its writer has given it up
  }
  static FaultyOptions options() {
    FaultyOptions o;
    o.timed = {{1000, FabricFault::kLateWrite, kNoNode, 500, 0}};
    return o;
  }

  Stage stage;
  Link link;
  Bytes source;
  Bytes target;
  RemoteKey key = 0;
};

void a_late_write_lands_though_its_writer_goes_on(const MakeFabricBench& make) {
  // Given a write that lands 500 ns late, expect its channel down for the writer at once; a new channel of the same
  // number to work meanwhile; its bytes, as they were, to land at their time and not before; then the other end down.
  LateWrite late(make, LateWrite::options());
  late.stage[0].connect(late.link.near, NodeId{1});
  ASSERT_TRUE(late.stage.until([&] { return late.stage[0].count(EventKind::kConnected, late.link.near) == 2; }));
  late.stage[0].send(late.link.near, "new", 7);
  ASSERT_TRUE(late.stage.until([&] { return late.stage[0].acked(late.link.near) == 7; }));
  advance(late.stage, NodeId{0}, 1499);
  late.stage.settle();
  EXPECT_EQ(text(late.target.subspan(LateWrite::kHalf)), std::string(LateWrite::kHalf, '\0'));
  advance(late.stage, NodeId{0}, 1500);
  ASSERT_TRUE(late.stage.until([&] { return late.stage[1].has(EventKind::kDown, late.link.far); }));
  EXPECT_TRUE(text(late.target) == pattern(1, 2 * LateWrite::kHalf));
  late.stage.settle();
  EXPECT_EQ(late.stage[0].count(EventKind::kDown, late.link.near), 1u);
  late.stage[0].send(late.link.near, "alive", 8);
  EXPECT_TRUE(late.stage.until([&] { return late.stage[0].acked(late.link.near) == 8; }));
}

void a_revoked_late_write_does_not_land(const MakeFabricBench& make) {
  // Given a late write, and its channel revoked by the other end before, expect memory that is still.
  LateWrite late(make, LateWrite::options());
  late.stage[1].revoke(late.link.far);
  ASSERT_TRUE(late.stage.until([&] { return late.stage[1].has(EventKind::kRevoked, late.link.far); }));
  const std::string at_revoked = text(late.target);
  late.stage.settle();
  advance(late.stage, NodeId{0}, 2000);
  late.stage.settle();
  EXPECT_TRUE(text(late.target) == at_revoked);
  EXPECT_EQ(late.stage[0].count(EventKind::kDown, late.link.near), 1u);
}

void a_bit_of_durable_memory_is_inverted(const MakeFabricBench& make) {
  // Given durable memory and other, expect one bit of the first to differ, where there is something.
  FaultyOptions options;
  options.timed = {{5, FabricFault::kBitFlip, kNoNode, 0, 77}};
  Stage stage(with(make, options, 1), 1);
  const Bytes durable = stage[0].durable("durable", 5000);
  const Bytes other = stage[0].region(5000);
  for (const Bytes memory : {durable, other}) fill(memory.first(300), 3);
  const std::string before = text(durable);
  advance(stage, NodeId{0}, 5);
  EXPECT_TRUE(text(other.first(300)) == pattern(3, 300));
  const std::string after = text(durable);
  int bits = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto changed = static_cast<unsigned char>(before[i] ^ after[i]);
    for (int bit = 0; bit < 8; ++bit) bits += changed >> bit & 1;
    if (changed != 0) {
      EXPECT_LT(i, 300u);
    }
  }
  EXPECT_EQ(bits, 1);
}

// As settle(), while there are nodes that do not reach each other.
void let_go_on(Stage& stage) {
  int turns = 0;
  stage.until([&] { return ++turns == 300; });
}

FaultyOptions cut(FabricFault fault, NodeId peer) {
  FaultyOptions options;
  options.patience_ns = 500;
  options.timed = {{1000, fault, peer, 2000, 0}};
  return options;
}

void a_cut_peer_is_not_reached(const MakeFabricBench& make) {
  // Given nothing that passes to node 1 for a while, expect what is posted then not to arrive, nor to be acknowledged;
  // its channel to die a patience later, a dial to fail; what goes to node 2 and a channel without traffic to live on.
  Stage stage(with(make, cut(FabricFault::kCutOut, NodeId{1}), 1), 3);
  const Link link = stage.connect(stage[0], stage[1]);
  const Link idle = stage.connect(stage[0], stage[1]);
  const Link other = stage.connect(stage[0], stage[2]);
  const Bytes source = stage[0].region(4096);
  const Bytes target = stage[1].region(4096);
  fill(source, 1);
  const RemoteKey key = stage.grant(stage[1], link.far, target);
  stage[0].send(link.near, "before", 1);
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == 1 && !stage[1].messages(link.far).empty(); }));
  advance(stage, NodeId{0}, 1000);
  stage[0].send(link.near, "lost", 2);
  stage[0].write(link.near, source, key, 0, 3);
  stage[1].send(link.far, "heard");
  stage[0].send(other.near, "other", 1);
  const Channel dialled = 77;
  stage[0].connect(dialled, NodeId{1});
  ASSERT_TRUE(stage.until(
      [&] { return stage[2].has(EventKind::kMessage, other.far) && stage[0].has(EventKind::kMessage, link.near); }));
  let_go_on(stage);
  advance(stage, NodeId{0}, 1499);
  let_go_on(stage);
  EXPECT_EQ(stage[0].acked(link.near), 1u);
  EXPECT_FALSE(stage[0].has(EventKind::kDown, link.near));
  EXPECT_FALSE(stage[0].has(EventKind::kDown, dialled));
  advance(stage, NodeId{0}, 1500);
  ASSERT_TRUE(stage.until([&] {
    return stage[0].has(EventKind::kDown, link.near) && stage[0].has(EventKind::kDown, dialled) &&
           stage[1].has(EventKind::kDown, link.far);
  }));
  EXPECT_EQ(stage[1].messages(link.far), std::vector<std::string>{"before"});
  EXPECT_EQ(text(target), std::string(4096, '\0'));
  // and once it has healed
  advance(stage, NodeId{0}, 3000);
  stage[0].send(idle.near, "idle", 1);
  EXPECT_TRUE(stage.until([&] { return stage[1].has(EventKind::kMessage, idle.far); }));
  stage[0].connect(dialled, NodeId{1});
  EXPECT_TRUE(stage.until([&] { return stage[0].has(EventKind::kConnected, dialled); }));
  EXPECT_EQ(stage[0].count(EventKind::kDown, link.near), 1u);
  EXPECT_EQ(stage[0].count(EventKind::kDown, dialled), 1u);
}

void a_cut_peer_is_not_heard(const MakeFabricBench& make) {
  // Given nothing that comes from any peer, expect a message and the acknowledgement of a write to vanish, the write
  // itself to land, and the channels of both to die; and a peer's dial to be refused until it has healed.
  Stage stage(with(make, cut(FabricFault::kCutIn, kNoNode), 1), 3);
  const Link one = stage.connect(stage[1], stage[0]);
  const Link two = stage.connect(stage[0], stage[2]);
  const Bytes source = stage[0].region(4096);
  const Bytes target = stage[2].region(4096);
  fill(source, 1);
  const RemoteKey key = stage.grant(stage[2], two.far, target);
  advance(stage, NodeId{0}, 1000);
  stage[1].send(one.near, "lost");
  stage[0].write(two.near, source, key, 0, 1);
  ASSERT_TRUE(stage.until([&] { return text(target) == text(source); }));
  const Channel dialled = 77;
  stage[1].connect(dialled, NodeId{0});
  ASSERT_TRUE(stage.until([&] { return stage[1].has(EventKind::kDown, dialled); }));
  let_go_on(stage);
  EXPECT_FALSE(stage[0].has(EventKind::kMessage, one.far));
  EXPECT_EQ(stage[0].acked(two.near), 0u);
  advance(stage, NodeId{0}, 1500);
  ASSERT_TRUE(stage.until([&] {
    return stage[0].has(EventKind::kDown, one.far) && stage[0].has(EventKind::kDown, two.near) &&
           stage[1].has(EventKind::kDown, one.near) && stage[2].has(EventKind::kDown, two.far);
  }));
  advance(stage, NodeId{0}, 3000);
  const Link next = stage.connect(stage[1], stage[0]);
  stage[1].send(next.near, "again");
  EXPECT_TRUE(stage.until([&] { return stage[0].has(EventKind::kMessage, next.far); }));
}

void chances_are_drawn_for_every_op(const MakeFabricBench& make) {
  // Given channels that are lost and writes that are torn by chance, over and over, expect each end of each channel to
  // see one kDown, and every new channel to come up.
  FaultyOptions options;
  options.channel_loss_ppm = 20'000;
  options.torn_write_ppm = 20'000;
  Stage stage(with(make, options, 1), 2);
  const Bytes source = stage[0].region(4096);
  const Bytes target = stage[1].region(4096);
  for (int round = 0; round < 10; ++round) {
    const Link link = stage.connect(stage[0], stage[1]);
    const RemoteKey key = stage.grant(stage[1], link.far, target);
    Ticket ticket = 0;
    ASSERT_TRUE(stage.until([&] {
      if (ticket == stage[0].acked(link.near) && !stage[0].has(EventKind::kDown, link.near)) {
        stage[0].send(link.near, "message");
        stage[0].write(link.near, source, key, 0, ++ticket);
      }
      return stage[0].has(EventKind::kDown, link.near) && stage[1].has(EventKind::kDown, link.far);
    }));
    EXPECT_EQ(stage[0].count(EventKind::kDown, link.near), 1u);
    EXPECT_EQ(stage[1].count(EventKind::kDown, link.far), 1u);
  }
}

}  // namespace

std::vector<FabricCase> faulty_conformance(const MakeFabricBench& make) {
  // All wrapped, none failing; then node 0 with a fault that never comes, so that every op and event is looked at.
  FaultyOptions never;
  never.schedule = {{~std::uint64_t{0}, FabricFault::kChannelLoss}};
  std::vector<FabricCase> cases = fabric_conformance(with(make, {}, 0));
  for (FabricCase& c : fabric_conformance(with(make, never, 99))) {
    c.name += "_while_watched";
    cases.push_back(std::move(c));
  }
  cases.push_back({"lost_messages_are_lost", make, lost_messages_are_lost});
  cases.push_back({"messages_come_twice", make, messages_come_twice});
  cases.push_back({"messages_come_late", make, messages_come_late});
  cases.push_back({"a_channel_is_lost_at_its_op", make, a_channel_is_lost_at_its_op});
  cases.push_back({"a_torn_write_lands_in_part", make, a_torn_write_lands_in_part});
  cases.push_back({"channels_are_lost_at_a_time", make, channels_are_lost_at_a_time});
  cases.push_back({"messages_are_lost_and_doubled_at_a_time", make, messages_are_lost_and_doubled_at_a_time});
  cases.push_back({"a_late_write_lands_though_its_writer_goes_on", make, a_late_write_lands_though_its_writer_goes_on});
  cases.push_back({"a_revoked_late_write_does_not_land", make, a_revoked_late_write_does_not_land});
  cases.push_back({"a_bit_of_durable_memory_is_inverted", make, a_bit_of_durable_memory_is_inverted});
  cases.push_back({"a_cut_peer_is_not_reached", make, a_cut_peer_is_not_reached});
  cases.push_back({"a_cut_peer_is_not_heard", make, a_cut_peer_is_not_heard});
  cases.push_back({"chances_are_drawn_for_every_op", make, chances_are_drawn_for_every_op});
  return cases;
}

}  // namespace slipstream
