// Conformance: one-sided writes and reads land exactly where they should, in order with messages, and the target's node
// is not told.
#include <cstring>

#include "core/fabric/conformance_stage.h"

namespace slipstream::conformance {

namespace {

void writes_land_exactly_in_place(const MakeFabricBench& make) {
  // Given a grant of the middle of a region, expect random writes to change their bytes and no other, whole up to the
  // last byte of the grant, and the target's node to see no event.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  constexpr std::size_t kSize = 96 * kKiB;
  constexpr std::size_t kStart = 4096 + 24;
  constexpr std::size_t kGranted = 64 * kKiB + 5;
  const Bytes source = stage[0].region(kSize);
  const Bytes target = stage[1].region(kSize);
  fill(source, 7);
  fill(target, 8);
  const RemoteKey key = stage.grant(stage[1], link.far, target.subspan(kStart, kGranted));
  const std::size_t events = stage[1].seen.size();
  std::string model = text(target);
  Rng rng(4, "conformance");
  for (Ticket i = 1; i <= 400; ++i) {
    const std::size_t size = i == 1 ? kGranted : i == 2 ? 0 : rng.below(i % 40 == 0 ? kGranted : 700);
    const std::size_t to = i == 2 ? kGranted : i % 7 == 0 ? kGranted - size : rng.below(kGranted - size + 1);
    const std::size_t from = rng.below(kSize - size + 1);
    stage[0].write(link.near, source.subspan(from, size), key, to, i);
    std::memcpy(model.data() + kStart + to, source.data() + from, size);
  }
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == 400; }));
  EXPECT_TRUE(text(target) == model);
  EXPECT_EQ(stage[1].seen.size(), events);
}

void writes_are_gathered(const MakeFabricBench& make) {
  // Given a write of kMaxSlices slices, expect them one behind the other at the target.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes source = stage[0].region(16 * kKiB);
  const Bytes target = stage[1].region(16 * kKiB);
  fill(source, 9);
  const RemoteKey key = stage.grant(stage[1], link.far, target);
  Slice slices[kMaxSlices];
  std::string whole;
  for (std::size_t i = 0; i < kMaxSlices; ++i) {
    slices[i] = {source.data() + (kMaxSlices - i) * 1500, i * 100};
    whole += text({slices[i].data, slices[i].size});
  }
  Op op;
  op.kind = OpKind::kWrite;
  op.channel = link.near;
  op.body = slices;
  op.key = key;
  op.offset = 77;
  op.ticket = 1;
  stage[0].fabric().post({&op, 1});
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == 1; }));
  EXPECT_EQ(text(target), std::string(77, '\0') + whole + std::string(target.size() - 77 - whole.size(), '\0'));
}

void a_source_is_free_after_the_ack(const MakeFabricBench& make) {
  // Given a source that changes as soon as its write was acknowledged, expect the old bytes at the target.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes source = stage[0].region(4096);
  const Bytes target = stage[1].region(64 * 4096);
  const RemoteKey key = stage.grant(stage[1], link.far, target);
  for (Ticket i = 1; i <= 64; ++i) {
    fill(source, i);
    stage[0].write(link.near, source, key, (i - 1) * 4096, i);
    ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == i; }));
  }
  fill(source, 0);
  for (std::uint64_t i = 1; i <= 64; ++i) EXPECT_TRUE(text(target.subspan((i - 1) * 4096, 4096)) == pattern(i, 4096));
}

void a_message_does_not_overtake_a_write(const MakeFabricBench& make) {
  // Given a write and then a message on one channel, expect the bytes to be there when the message is.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  constexpr std::size_t kSize = 80 * kKiB;
  const Bytes source = stage[0].region(kSize);
  const Bytes target = stage[1].region(kSize);
  const RemoteKey key = stage.grant(stage[1], link.far, target);
  for (std::size_t i = 1; i <= 60; ++i) {
    const std::size_t size = i % 3 == 0 ? kSize : 128 * i;
    fill(source, i);
    stage[0].write(link.near, source.first(size), key, 0);
    stage[0].send(link.near, "written", i);
    ASSERT_TRUE(stage.until([&] { return stage[1].count(EventKind::kMessage, link.far) == i; }));
    ASSERT_TRUE(text(target.first(size)) == pattern(i, size)) << "round " << i;
    ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == i; }));
  }
}

void reads_bring_what_is_there(const MakeFabricBench& make) {
  // Given writes and reads mixed on one channel, expect each read to bring all writes posted before it and none after.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  constexpr std::size_t kSize = 70 * kKiB;
  const Bytes target = stage[1].region(kSize);
  fill(target, 11);
  const RemoteKey key = stage.grant(stage[1], link.far, target);
  const Bytes source = stage[0].region(400 * 64);
  const Bytes into = stage[0].region(kSize + 400 * 256);
  fill(source, 12);
  std::string model = text(target);
  Rng rng(5, "conformance");
  std::vector<std::pair<Ticket, std::pair<Bytes, std::string>>> expected;
  stage[0].read(link.near, into.first(kSize), key, 0, 1);
  expected.push_back({1, {into.first(kSize), model}});
  for (Ticket i = 2; i <= 400; ++i) {
    if (rng.chance(1, 2)) {
      const std::size_t to = rng.below(kSize - 64);
      const std::size_t size = rng.below(65);
      stage[0].write(link.near, source.subspan((i - 1) * 64, size), key, to, i);
      std::memcpy(model.data() + to, source.data() + (i - 1) * 64, size);
    } else {
      const std::size_t size = rng.below(257);
      const std::size_t from = rng.below(kSize - size + 1);
      const Bytes place = into.subspan(kSize + (i - 1) * 256, size);
      stage[0].read(link.near, place, key, from, i);
      expected.push_back({i, {place, model.substr(from, size)}});
    }
  }
  ASSERT_TRUE(stage.until([&] { return stage[0].count(EventKind::kReadDone, link.near) == expected.size(); }));
  std::size_t next = 0;
  for (const Seen& s : stage[0].seen) {
    if (s.kind == EventKind::kReadDone) {
      EXPECT_EQ(s.ticket, expected[next++].first);
    } else if (s.kind == EventKind::kAcked && next < expected.size()) {
      EXPECT_LT(s.ticket, expected[next].first) << "acknowledged beyond a read that was not done";
    }
  }
  for (const auto& [ticket, read] : expected) EXPECT_TRUE(text(read.first) == read.second) << "ticket " << ticket;
  EXPECT_EQ(stage[1].count(EventKind::kMessage, link.far), 0u);
}

void grants_are_independent(const MakeFabricBench& make) {
  // Given several grants, of overlapping ranges and to different peers, expect each key to lead to its own range, and
  // the others to go on when one is withdrawn.
  Stage stage(make, 3);
  const Link a = stage.connect(stage[0], stage[2]);
  const Link b = stage.connect(stage[1], stage[2]);
  const Bytes target = stage[2].region(8192);
  const Bytes from_a = stage[0].region(4096);
  const Bytes from_b = stage[1].region(4096);
  fill(from_a, 13);
  fill(from_b, 14);
  const RemoteKey low = stage.grant(stage[2], a.far, target.first(4096));
  const RemoteKey shifted = stage.grant(stage[2], a.far, target.subspan(1024, 4096));
  const RemoteKey high = stage.grant(stage[2], b.far, target.subspan(6000));
  stage[0].write(a.near, from_a.first(100), low, 0, 1);
  stage[0].write(a.near, from_a.first(100), shifted, 0, 2);
  stage[1].write(b.near, from_b.first(100), high, 0, 1);
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(a.near) == 2 && stage[1].acked(b.near) == 1; }));
  EXPECT_TRUE(text(target.first(100)) == pattern(13, 100));
  EXPECT_TRUE(text(target.subspan(1024, 100)) == pattern(13, 100));
  EXPECT_TRUE(text(target.subspan(6000, 100)) == pattern(14, 100));
  stage[2].withdraw(a.far, low, 99);
  ASSERT_TRUE(stage.until([&] { return stage[2].has(EventKind::kWithdrawn, a.far); }));
  EXPECT_EQ(stage[2].last(EventKind::kWithdrawn, a.far)->ticket, 99u);
  stage[0].write(a.near, from_a.subspan(200, 100), shifted, 4000 - 100, 3);
  ASSERT_TRUE(stage.until([&] { return stage[0].acked(a.near) == 3; }));
  EXPECT_TRUE(text(target.subspan(1024 + 3900, 100)) == pattern(13, 300).substr(200));
}

void many_grants_come_and_go(const MakeFabricBench& make) {
  // Given grants made and withdrawn 2000 times, as replicas open and close, expect no key twice and each to work.
  Stage stage(make, 2);
  const Link link = stage.connect(stage[0], stage[1]);
  const Bytes target = stage[1].region(64 * 64);
  const Bytes source = stage[0].region(4096);
  fill(source, 15);
  std::vector<RemoteKey> keys;
  for (std::size_t i = 0; i < 2000; ++i) {
    keys.push_back(stage.grant(stage[1], link.far, target.subspan(i % 64 * 64, 64)));
    for (std::size_t j = i > 200 ? i - 200 : 0; j < i; ++j) ASSERT_NE(keys[j], keys[i]);
    stage[0].write(link.near, source.subspan(i, 64), keys[i], 0, i + 1);
    ASSERT_TRUE(stage.until([&] { return stage[0].acked(link.near) == i + 1; }));
    ASSERT_TRUE(std::memcmp(target.data() + i % 64 * 64, source.data() + i, 64) == 0);
    stage[0].seen.clear();
    stage[1].seen.clear();
    if (i < 50) continue;
    stage[1].withdraw(link.far, keys[i - 50], i);
    ASSERT_TRUE(stage.until([&] { return stage[1].has(EventKind::kWithdrawn, link.far); }));
  }
}

}  // namespace

const CaseList& memory_cases() {
  static const CaseList kCases = {
      {"writes_land_exactly_in_place", writes_land_exactly_in_place},
      {"writes_are_gathered", writes_are_gathered},
      {"a_source_is_free_after_the_ack", a_source_is_free_after_the_ack},
      {"a_message_does_not_overtake_a_write", a_message_does_not_overtake_a_write},
      {"reads_bring_what_is_there", reads_bring_what_is_there},
      {"grants_are_independent", grants_are_independent},
      {"many_grants_come_and_go", many_grants_come_and_go},
  };
  return kCases;
}

}  // namespace slipstream::conformance
