// Conformance: channels come up, name who is at the other end, are independent of each other, and can be had again.
#include <set>

#include "core/fabric/conformance_stage.h"

namespace slipstream::conformance {

namespace {

void connect_names_both_ends(const MakeFabricBench& make) {
  // Given two nodes, expect a connect to raise kConnected once at each end, with the other's name.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  ASSERT_NE(link.far, 0);
  EXPECT_LT(link.near, kFirstAccepted);
  EXPECT_GE(link.far, kFirstAccepted);
  EXPECT_EQ(stage[0].last(EventKind::kConnected, link.near)->peer, NodeId{1});
  EXPECT_EQ(stage[1].last(EventKind::kConnected, link.far)->peer, NodeId{0});
  stage.settle();
  EXPECT_EQ(stage[0].count(EventKind::kConnected, link.near), 1u);
  EXPECT_EQ(stage[1].count(EventKind::kConnected, link.far), 1u);
}

void absent_peer_is_down(const MakeFabricBench& make) {
  // Given no node 2, expect a connect to it to end in one kDown, and the channel's number to be free again.
  Stage stage(make, 2);
  stage[0].connect(7, NodeId{2});
  ASSERT_TRUE(stage.until([&] { return stage[0].has(EventKind::kDown, 7); }));
  stage[0].connect(7, NodeId{1});
  ASSERT_TRUE(stage.until([&] { return stage[0].has(EventKind::kConnected, 7); }));
  stage.settle();
  EXPECT_EQ(stage[0].count(EventKind::kDown, 7), 1u);
}

void every_pair_both_ways(const MakeFabricBench& make) {
  // Given four nodes that all connect to all others at once, expect every channel to lead to the node that it names.
  Stage stage(make, 4);
  for (std::uint16_t a = 0; a < 4; ++a) {
    for (std::uint16_t b = 0; b < 4; ++b) {
      if (a != b) stage[a].connect(static_cast<Channel>(b + 1), NodeId{b});
    }
  }
  ASSERT_TRUE(stage.until([&] {
    for (std::size_t a = 0; a < 4; ++a) {
      std::size_t up = 0;
      for (const Seen& s : stage[a].seen) up += s.kind == EventKind::kConnected ? 1 : 0;
      if (up < 6) return false;
    }
    return true;
  }));
  for (std::uint16_t a = 0; a < 4; ++a) {
    for (std::uint16_t b = 0; b < 4; ++b) {
      if (a != b) stage[a].send(static_cast<Channel>(b + 1), "from " + std::to_string(a));
    }
  }
  stage.settle();
  for (std::size_t b = 0; b < 4; ++b) {
    std::set<Channel> accepted;
    for (const Seen& s : stage[b].seen) {
      if (s.kind != EventKind::kConnected || s.channel < kFirstAccepted) continue;
      EXPECT_TRUE(accepted.insert(s.channel).second) << "an accepted number was used twice";
      const auto messages = stage[b].messages(s.channel);
      if (messages.empty() || messages[0] == "there") continue;
      EXPECT_EQ(messages, std::vector<std::string>{"from " + std::to_string(index(s.peer))});
    }
  }
}

void many_channels_of_a_pair(const MakeFabricBench& make) {
  // Given 40 channels between two nodes, expect each to keep its own messages in order, whatever the others carry.
  Stage stage(make, 2);
  constexpr int kChannels = 40;
  constexpr int kEach = 25;
  std::vector<Link> links;
  for (int i = 0; i < kChannels; ++i) links.push_back(stage.connect(stage[0], stage[1]));
  for (int n = 0; n < kEach; ++n) {
    for (int i = 0; i < kChannels; ++i) {
      const std::string body = std::to_string(i) + ":" + std::to_string(n);
      stage[0].send(links[static_cast<std::size_t>(i)].near, body);
      stage[1].send(links[static_cast<std::size_t>(kChannels - 1 - i)].far, body);
    }
  }
  ASSERT_TRUE(stage.until([&] {
    for (const Link& link : links) {
      if (stage[1].count(EventKind::kMessage, link.far) < kEach) return false;
      if (stage[0].count(EventKind::kMessage, link.near) < kEach) return false;
    }
    return true;
  }));
  for (int i = 0; i < kChannels; ++i) {
    std::vector<std::string> there;
    std::vector<std::string> back;
    for (int n = 0; n < kEach; ++n) {
      there.push_back(std::to_string(i) + ":" + std::to_string(n));
      back.push_back(std::to_string(kChannels - 1 - i) + ":" + std::to_string(n));
    }
    EXPECT_EQ(stage[1].messages(links[static_cast<std::size_t>(i)].far), there);
    EXPECT_EQ(stage[0].messages(links[static_cast<std::size_t>(i)].near), back);
  }
}

void many_connects_at_once(const MakeFabricBench& make) {
  // Given 200 connects in one post to a peer that does not poll meanwhile, expect all of them to come up.
  Stage stage(make, 2);
  constexpr Channel kChannels = 200;
  std::vector<Op> ops(kChannels);
  for (Channel i = 0; i < kChannels; ++i) {
    ops[i].kind = OpKind::kConnect;
    ops[i].channel = static_cast<Channel>(i + 1);
    ops[i].peer = NodeId{1};
  }
  stage[0].fabric().post(ops);
  ASSERT_TRUE(stage.until([&] {
    for (Channel i = 1; i <= kChannels; ++i) {
      if (!stage[0].has(EventKind::kConnected, i)) return false;
    }
    return true;
  }));
  std::set<Channel> far;
  for (const Seen& s : stage[1].seen) {
    if (s.kind == EventKind::kConnected) far.insert(s.channel);
  }
  EXPECT_EQ(far.size(), kChannels);
}

void a_dead_number_can_be_used_again(const MakeFabricBench& make) {
  // Given a channel that was revoked, expect its number to carry a new channel, time and again, and the accepting end
  // to give a number that it never gave before.
  Stage stage(make, 2);
  std::set<Channel> far;
  for (std::size_t round = 1; round <= 20; ++round) {
    stage[0].connect(5, NodeId{1});
    ASSERT_TRUE(stage.until([&] { return stage[0].count(EventKind::kConnected, 5) == round; }));
    const std::string hello = "round " + std::to_string(round);
    stage[0].send(5, hello);
    Channel there = 0;
    ASSERT_TRUE(stage.until([&] {
      for (const Seen& s : stage[1].seen) {
        if (s.kind == EventKind::kMessage && s.bytes == hello) there = s.channel;
      }
      return there != 0;
    }));
    EXPECT_TRUE(far.insert(there).second);
    stage[0].revoke(5);
    ASSERT_TRUE(stage.until(
        [&] { return stage[0].count(EventKind::kRevoked, 5) == round && stage[1].has(EventKind::kDown, there); }));
  }
  EXPECT_EQ(stage[0].count(EventKind::kDown, 5), 0u);
}

void posts_to_a_dead_channel_are_dropped(const MakeFabricBench& make) {
  // Given a channel that is down at this end, expect ops on it to bring nothing, here or there.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes target = stage[1].region(4096);
  const Bytes source = stage[0].region(4096);
  fill(source, 3);
  const RemoteKey key = stage.grant(stage[1], link.far, target);
  stage[1].revoke(link.far);
  ASSERT_TRUE(stage.until([&] { return stage[0].has(EventKind::kDown, link.near); }));
  const std::size_t before = stage[0].seen.size();
  const std::string untouched = text(target);
  stage[0].send(link.near, "lost", 1);
  stage[0].write(link.near, source, key, 0, 2);
  stage[0].read(link.near, source, key, 0, 3);
  stage[0].grant(link.near, source, 4);
  stage[1].send(link.far, "lost", 1);
  stage.settle();
  for (std::size_t i = before; i < stage[0].seen.size(); ++i) EXPECT_NE(stage[0].seen[i].channel, link.near);
  EXPECT_EQ(text(target), untouched);
  EXPECT_EQ(stage[1].count(EventKind::kMessage, link.far), 0u);
}

}  // namespace

const CaseList& channel_cases() {
  static const CaseList kCases = {
      {"connect_names_both_ends", connect_names_both_ends},
      {"absent_peer_is_down", absent_peer_is_down},
      {"every_pair_both_ways", every_pair_both_ways},
      {"many_channels_of_a_pair", many_channels_of_a_pair},
      {"many_connects_at_once", many_connects_at_once},
      {"a_dead_number_can_be_used_again", a_dead_number_can_be_used_again},
      {"posts_to_a_dead_channel_are_dropped", posts_to_a_dead_channel_are_dropped},
  };
  return kCases;
}

}  // namespace slipstream::conformance
