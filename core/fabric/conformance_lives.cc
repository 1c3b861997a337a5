// Conformance: what a node's next life finds of the one before, and what peers that have not noticed can still do to
// it.
#include "core/fabric/conformance_stage.h"

namespace slipstream::conformance {

namespace {

constexpr std::size_t kSize = 24 * kKiB + 5;

void durable_memory_is_found_again(const MakeFabricBench& make) {
  // Given a node that dies and is back, three times, expect its durable memory as it left it and, under its other name,
  // as empty as it was; a region that is not durable zeroed, and a durable one zeroed when it has another size now.
  Stage stage(make, 2);
  std::string model = pattern(60, kSize);
  fill(stage[1].durable("durable", kSize), 60);
  fill(stage[1].durable("resized", kSize), 61);
  fill(stage[1].region(kSize), 62);
  stage[1].durable("empty", kSize);
  for (std::size_t life = 1; life <= 3; ++life) {
    ASSERT_TRUE(stage[1].alive);
    if (!stage.kill(stage[1]) || !stage.restart(1)) GTEST_SKIP() << "nodes of this bench have one life";
    const Bytes found = stage[1].durable("durable", kSize);
    EXPECT_TRUE(text(found) == model) << "life " << life;
    EXPECT_EQ(text(stage[1].durable("resized", kSize + life)), std::string(kSize + life, '\0'));
    EXPECT_EQ(text(stage[1].region(kSize)), std::string(kSize, '\0'));
    EXPECT_EQ(text(stage[1].durable("empty", kSize)), std::string(kSize, '\0'));
    fill(found, 60 + life * 10);
    model = pattern(60 + life * 10, kSize);
  }
}

void acknowledged_writes_are_found_and_late_ones_do_not_land(const MakeFabricBench& make) {
  // Given a writer that does not notice the death of its peer, nor its next life, expect what it was acknowledged to be
  // in the memory of the next life, and nothing more to land there; then its channels to be down, and new ones to work.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Link unused = stage.connect(stage[0], stage[1]);
  const Bytes source = stage[0].region(64 * 256);
  fill(source, 63);
  const Bytes before = stage[1].durable("durable", kSize);
  const RemoteKey key = stage.grant(stage[1], link.far, before);
  const RemoteKey first_use = stage.grant(stage[1], unused.far, stage[1].durable("unused", kSize));
  stage[0].write(link.near, source.first(256), key, 0, 1);
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == 1; }));
  if (!stage.kill(stage[1])) GTEST_SKIP() << "nodes of this bench cannot be killed";
  stage[0].write(link.near, source.subspan(256, 256), key, 256, 2);
  if (!stage.restart(1)) GTEST_SKIP() << "nodes of this bench have one life";
  const Bytes memory = stage[1].durable("durable", kSize);
  const Bytes never_written = stage[1].durable("unused", kSize);
  const std::string found = text(memory);
  EXPECT_TRUE(found.substr(0, 256) == pattern(63, 256));
  stage[0].write(unused.near, source.first(256), first_use, 0, 1);
  for (Ticket i = 3; i <= 20; ++i) {
    stage[0].write(link.near, source.subspan((i - 1) * 256, 256), key, (i - 1) * 256, i);
    stage[0].poll();
  }
  ASSERT_TRUE(stage.until(
      [&] { return stage[0].has(EventKind::kDown, link.near) && stage[0].has(EventKind::kDown, unused.near); }));
  const std::size_t acknowledged = stage[0].acked(link.near) * 256;
  EXPECT_TRUE(text(memory.first(acknowledged)) == text(source.first(acknowledged)));
  EXPECT_EQ(stage[0].acked(unused.near), 0u);
  EXPECT_EQ(text(never_written), std::string(kSize, '\0'));
  EXPECT_TRUE(text(memory) == found) << "a write of an old channel landed in the next life";
  stage.settle();
  EXPECT_TRUE(text(memory) == found);
  const Link next = stage.connect(stage[0], stage[1]);
  const RemoteKey fresh = stage.grant(stage[1], next.far, memory);
  stage[0].write(next.near, source.first(256), fresh, 4096, 1);
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(next.near) == 1; }));
  EXPECT_TRUE(text(memory.subspan(4096, 256)) == pattern(63, 256));
}

void the_next_life_is_met_anew(const MakeFabricBench& make) {
  // Given nodes that connect to one another and die in turn, some with a channel that the other end has not taken yet,
  // expect every old channel down once at the living end, and each new life to be served under its own channels alone.
  Stage stage(make, 2);
  for (std::size_t round = 0; round < 6; ++round) {
    const std::size_t dying = round % 2;
    Player& living = stage[1 - dying];
    const Link out = stage.connect(living, stage[dying]);
    const Link in = stage.connect(stage[dying], living);
    stage[dying].connect(stage[dying].next_channel(), living.id());
    if (!stage.kill(stage[dying])) GTEST_SKIP() << "nodes of this bench cannot be killed";
    living.send(out.near, "to the dead");
    if (!stage.restart(dying)) GTEST_SKIP() << "nodes of this bench have one life";
    ASSERT_TRUE(
        stage.until([&] { return living.has(EventKind::kDown, out.near) && living.has(EventKind::kDown, in.far); }));
    stage.settle();
    EXPECT_EQ(living.count(EventKind::kDown, out.near), 1u);
    EXPECT_EQ(living.count(EventKind::kDown, in.far), 1u);
    for (const Seen& s : stage[dying].seen) EXPECT_NE(s.bytes, "to the dead");
    std::size_t up = 0;  // of the channels that the living end accepted
    for (const Seen& s : living.seen) {
      if (s.channel < kFirstAccepted) continue;
      if (s.kind == EventKind::kConnected) ++up;
      if (s.kind == EventKind::kDown) --up;
    }
    EXPECT_EQ(up, 1u) << "besides that of settle(), a channel of a life that is over is up";
  }
}

}  // namespace

const CaseList& life_cases() {
  static const CaseList kCases = {
      {"durable_memory_is_found_again", durable_memory_is_found_again},
      {"acknowledged_writes_are_found_and_late_ones_do_not_land",
       acknowledged_writes_are_found_and_late_ones_do_not_land},
      {"the_next_life_is_met_anew", the_next_life_is_met_anew},
  };
  return kCases;
}

}  // namespace slipstream::conformance
