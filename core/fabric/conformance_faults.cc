// Conformance: access that was not granted kills the channel and changes nothing; revocation and withdrawal leave still
// memory; a channel's death is told once.
#include "core/fabric/conformance_stage.h"

namespace slipstream::conformance {

namespace {

// A writer (node 0), a granter (node 1), a channel between them, one grant in the middle of a patterned region, and a
// second channel that must survive.
struct Scene {
  static constexpr std::size_t kSize = 16 * kKiB;
  static constexpr std::size_t kStart = 4096;
  static constexpr std::size_t kGranted = 8192;

  explicit Scene(const MakeFabricBench& make) : stage(make, 2) {
    link = stage.connect(writer, granter);
    second = stage.connect(writer, granter);
    source = writer.region(kSize);
    target = granter.region(kSize);
    fill(source, 21);
    fill(target, 22);
    key = stage.grant(granter, link.far, target.subspan(kStart, kGranted));
  }

  // The channel is down at both ends, told once; target and source are as given; the second channel works.
  void expect_killed(const std::string& target_bytes) {
    ASSERT_TRUE(stage.until(
        [&] { return writer.has(EventKind::kDown, link.near) && granter.has(EventKind::kDown, link.far); }));
    stage.settle();
    EXPECT_TRUE(text(target) == target_bytes) << "a refused access changed memory";
    EXPECT_TRUE(text(source) == pattern(21, kSize)) << "a refused read changed memory";
    EXPECT_EQ(writer.count(EventKind::kDown, link.near), 1u);
    EXPECT_EQ(granter.count(EventKind::kDown, link.far), 1u);
    EXPECT_EQ(writer.count(EventKind::kReadDone, link.near), 0u);
    writer.send(second.near, "alive", 1);
    EXPECT_TRUE(stage.until([&] { return granter.has(EventKind::kMessage, second.far); }));
    EXPECT_EQ(writer.count(EventKind::kDown, second.near), 0u);
  }

  Stage stage;
  Player& writer = stage[0];
  Player& granter = stage[1];
  Link link;
  Link second;
  Bytes source;
  Bytes target;
  RemoteKey key = 0;
};

void access_outside_the_grant_kills(const MakeFabricBench& make) {
  // Given writes and reads that leave the granted range by one byte, begin behind it, or wrap around, expect refusal.
  struct Bad {
    std::uint64_t offset;
    std::size_t size;
  };
  const Bad bad[] = {{Scene::kGranted, 1},         {0, Scene::kGranted + 1},  {Scene::kGranted - 10, 11},
                     {Scene::kGranted + 1, 0},     {~std::uint64_t{0}, 2},    {~std::uint64_t{0} - 7, 8},
                     {std::uint64_t{1} << 63, 64}, {Scene::kGranted * 2, 100}};
  for (const bool is_read : {false, true}) {
    for (const Bad& b : bad) {
      SCOPED_TRACE(std::to_string(b.offset) + "+" + std::to_string(b.size) + (is_read ? " read" : " write"));
      Scene scene(make);
      if (is_read) {
        scene.writer.read(scene.link.near, scene.source.first(b.size), scene.key, b.offset, 1);
      } else {
        scene.writer.write(scene.link.near, scene.source.first(b.size), scene.key, b.offset, 1);
      }
      scene.expect_killed(pattern(22, Scene::kSize));
    }
  }
}

void a_gathered_write_is_checked_as_a_whole(const MakeFabricBench& make) {
  // Given a write whose first slice fits and whose second does not, expect nothing of it.
  Scene scene(make);
  const Slice slices[] = {{scene.source.data(), 100}, {scene.source.data(), Scene::kGranted}};
  Op op;
  op.kind = OpKind::kWrite;
  op.channel = scene.link.near;
  op.body = slices;
  op.key = scene.key;
  op.ticket = 1;
  scene.writer.fabric().post({&op, 1});
  scene.expect_killed(pattern(22, Scene::kSize));
}

void unknown_keys_kill(const MakeFabricBench& make) {
  // Given keys that were never handed out, expect refusal.
  for (const std::uint64_t change :
       {std::uint64_t{1}, std::uint64_t{1} << 20, std::uint64_t{1} << 33, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    Scene scene(make);
    scene.writer.write(scene.link.near, scene.source.first(8), scene.key ^ change, 0, 1);
    scene.expect_killed(pattern(22, Scene::kSize));
  }
  Scene scene(make);
  scene.writer.write(scene.link.near, scene.source.first(8), 0, 0, 1);
  scene.expect_killed(pattern(22, Scene::kSize));
}

void withdrawn_keys_kill(const MakeFabricBench& make) {
  // Given a key that was withdrawn, and its place in the table used again, expect refusal.
  Scene scene(make);
  scene.granter.withdraw(scene.link.far, scene.key, 5);
  ASSERT_TRUE(scene.stage.until([&] { return scene.granter.has(EventKind::kWithdrawn, scene.link.far); }));
  EXPECT_EQ(scene.granter.last(EventKind::kWithdrawn, scene.link.far)->ticket, 5u);
  scene.stage.grant(scene.granter, scene.link.far, scene.target.first(4096));
  scene.writer.write(scene.link.near, scene.source.first(8), scene.key, 0, 1);
  scene.expect_killed(pattern(22, Scene::kSize));
}

void keys_of_another_channel_kill(const MakeFabricBench& make) {
  // Given a key that was granted to another channel of the same peer, expect refusal: the right is the channel's.
  Scene scene(make);
  const RemoteKey foreign = scene.stage.grant(scene.granter, scene.second.far, scene.target.first(4096));
  scene.writer.write(scene.link.near, scene.source.first(8), foreign, 0, 1);
  scene.expect_killed(pattern(22, Scene::kSize));
}

void nothing_follows_a_refused_op(const MakeFabricBench& make) {
  // Given good, bad and good writes and a message in one post, expect those before the bad one and none after.
  Scene scene(make);
  const Slice slice{scene.source.data(), 64};
  Op ops[4];
  for (Op& op : ops) {
    op.kind = OpKind::kWrite;
    op.channel = scene.link.near;
    op.body = {&slice, 1};
    op.key = scene.key;
  }
  ops[0].ticket = 1;
  ops[1].offset = Scene::kGranted;
  ops[2].offset = 1000;
  ops[3].kind = OpKind::kSend;
  scene.writer.fabric().post(ops);
  const std::string before = pattern(22, Scene::kSize);
  std::string after = before;
  after.replace(Scene::kStart, 64, pattern(21, 64));
  scene.expect_killed(after);
  EXPECT_EQ(scene.granter.count(EventKind::kMessage, scene.link.far), 0u);
}

void revoked_memory_is_still(const MakeFabricBench& make) {
  // Given a writer that does not stop, revoked at a random moment: expect one kRevoked, memory that never changes after
  // it, kDown at the writer, no kDown at the revoker, and no message after kRevoked.
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Scene scene(make);
    Rng rng(seed, "conformance");
    const std::uint64_t moment = rng.below(20);
    std::string at_revoked;
    for (std::uint64_t turn = 0; turn < 60; ++turn) {
      if (turn == moment) scene.granter.revoke(scene.link.far);
      for (int i = 0; i < 4; ++i) {
        scene.writer.write(scene.link.near, scene.source.subspan(rng.below(4096), rng.below(4000)), scene.key,
                           rng.below(4096));
        scene.writer.send(scene.link.near, "written");
      }
      scene.writer.poll();
      scene.granter.poll();
      scene.stage.bench().pump();
      if (at_revoked.empty() && scene.granter.has(EventKind::kRevoked, scene.link.far)) at_revoked = text(scene.target);
    }
    ASSERT_TRUE(scene.stage.until([&] { return scene.granter.has(EventKind::kRevoked, scene.link.far); }));
    if (at_revoked.empty()) at_revoked = text(scene.target);
    ASSERT_TRUE(scene.stage.until([&] { return scene.writer.has(EventKind::kDown, scene.link.near); }));
    scene.stage.settle();
    EXPECT_TRUE(text(scene.target) == at_revoked);
    EXPECT_EQ(scene.granter.count(EventKind::kRevoked, scene.link.far), 1u);
    EXPECT_EQ(scene.granter.count(EventKind::kDown, scene.link.far), 0u);
    EXPECT_EQ(scene.writer.count(EventKind::kDown, scene.link.near), 1u);
    bool revoked = false;
    for (const Seen& s : scene.granter.seen) {
      if (s.channel != scene.link.far) continue;
      EXPECT_FALSE(revoked) << "a " << name(s.kind) << " after kRevoked";
      revoked = s.kind == EventKind::kRevoked;
    }
  }
}

void the_revoker_may_be_the_connecting_end(const MakeFabricBench& make) {
  // Given a revoke by the end that connected, expect the same as by the other.
  Scene scene(make);
  scene.writer.revoke(scene.link.near);
  ASSERT_TRUE(scene.stage.until([&] {
    return scene.writer.has(EventKind::kRevoked, scene.link.near) &&
           scene.granter.has(EventKind::kDown, scene.link.far);
  }));
  scene.stage.settle();
  EXPECT_EQ(scene.writer.count(EventKind::kDown, scene.link.near), 0u);
  EXPECT_EQ(scene.granter.count(EventKind::kDown, scene.link.far), 1u);
}

void a_dead_channel_can_be_revoked(const MakeFabricBench& make) {
  // Given a channel that is down already, expect kRevoked all the same: recovery revokes whatever the channel's state
  // is.
  Scene scene(make);
  scene.writer.revoke(scene.link.near);
  ASSERT_TRUE(scene.stage.until([&] { return scene.granter.has(EventKind::kDown, scene.link.far); }));
  scene.granter.revoke(scene.link.far);
  ASSERT_TRUE(scene.stage.until([&] { return scene.granter.has(EventKind::kRevoked, scene.link.far); }));
  const std::string at_revoked = text(scene.target);
  scene.stage.settle();
  EXPECT_TRUE(text(scene.target) == at_revoked);
  EXPECT_EQ(scene.granter.count(EventKind::kDown, scene.link.far), 1u);
}

void a_killed_peer_is_down(const MakeFabricBench& make) {
  // Given a peer killed while writes and messages are under way, expect one kDown at each survivor that had a channel,
  // bytes outside the grant untouched, a revocation that still answers, and other channels alive.
  Stage stage(make, 3);
  const Link link = stage.connect(stage[0], stage[1]);
  const Link other = stage.connect(stage[2], stage[1]);
  const Link towards = stage.connect(stage[1], stage[0]);
  const Bytes source = stage[0].region(8192);
  const Bytes target = stage[1].region(16 * kKiB);
  fill(source, 21);
  fill(target, 22);
  const RemoteKey key = stage.grant(stage[1], link.far, target.subspan(4096, 8192));
  for (Ticket i = 1; i <= 50; ++i) {
    stage[0].write(link.near, source, key, 0, i);
    stage[1].send(towards.near, "unheard", i);
  }
  if (!stage.kill(stage[0])) GTEST_SKIP() << "nodes of this bench cannot be killed";
  ASSERT_TRUE(stage.until(
      [&] { return stage[1].has(EventKind::kDown, link.far) && stage[1].has(EventKind::kDown, towards.near); }));
  stage[1].revoke(link.far);
  ASSERT_TRUE(stage.until([&] { return stage[1].has(EventKind::kRevoked, link.far); }));
  const std::string at_revoked = text(target);
  stage.settle();
  EXPECT_TRUE(text(target) == at_revoked);
  EXPECT_TRUE(text(target.first(4096)) == pattern(22, 4096));
  EXPECT_TRUE(at_revoked.substr(12288) == pattern(22, 16 * kKiB).substr(12288));
  EXPECT_EQ(stage[1].count(EventKind::kDown, link.far), 1u);
  EXPECT_EQ(stage[1].count(EventKind::kDown, towards.near), 1u);
  EXPECT_EQ(stage[1].count(EventKind::kDown, other.far), 0u);
  stage[2].send(other.near, "alive");
  EXPECT_TRUE(stage.until([&] { return stage[1].has(EventKind::kMessage, other.far); }));
}

void a_withdrawal_leaves_still_memory(const MakeFabricBench& make) {
  // Given a writer that does not stop, expect memory that never changes after kWithdrawn, and the writer's channel
  // down.
  Scene scene(make);
  std::string at_withdrawn;
  for (int turn = 0; turn < 60; ++turn) {
    if (turn == 10) scene.granter.withdraw(scene.link.far, scene.key, 9);
    scene.writer.write(scene.link.near, scene.source.first(100 * (turn + 1)), scene.key, 0);
    scene.writer.poll();
    scene.granter.poll();
    scene.stage.bench().pump();
    if (at_withdrawn.empty() && scene.granter.has(EventKind::kWithdrawn, scene.link.far)) {
      at_withdrawn = text(scene.target);
    }
  }
  ASSERT_TRUE(scene.stage.until([&] { return scene.writer.has(EventKind::kDown, scene.link.near); }));
  scene.stage.settle();
  if (!at_withdrawn.empty()) {
    EXPECT_TRUE(text(scene.target) == at_withdrawn);
  }
  EXPECT_LE(scene.granter.count(EventKind::kWithdrawn, scene.link.far), 1u);
}

}  // namespace

const CaseList& fault_cases() {
  static const CaseList kCases = {
      {"access_outside_the_grant_kills", access_outside_the_grant_kills},
      {"a_gathered_write_is_checked_as_a_whole", a_gathered_write_is_checked_as_a_whole},
      {"unknown_keys_kill", unknown_keys_kill},
      {"withdrawn_keys_kill", withdrawn_keys_kill},
      {"keys_of_another_channel_kill", keys_of_another_channel_kill},
      {"nothing_follows_a_refused_op", nothing_follows_a_refused_op},
      {"revoked_memory_is_still", revoked_memory_is_still},
      {"the_revoker_may_be_the_connecting_end", the_revoker_may_be_the_connecting_end},
      {"a_dead_channel_can_be_revoked", a_dead_channel_can_be_revoked},
      {"a_killed_peer_is_down", a_killed_peer_is_down},
      {"a_withdrawal_leaves_still_memory", a_withdrawal_leaves_still_memory},
  };
  return kCases;
}

}  // namespace slipstream::conformance
