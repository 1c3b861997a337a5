#include "core/storage/conformance.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "core/base/rng.h"

namespace slipstream {

namespace {

constexpr std::uint64_t kTurns = 20'000'000;

// A storage, what it said, and ops one by one.
class Desk {
 public:
  explicit Desk(const MakeStorageBench& make) : bench_(make()) {}

  void append(FrameId frame, ConstBytes source) {
    StorageOp op;
    op.kind = StorageOpKind::kAppend;
    op.frame = frame;
    op.source = source;
    post(op);
  }
  void read(FrameId frame, Bytes destination, std::uint64_t offset, Ticket ticket) {
    StorageOp op;
    op.kind = StorageOpKind::kRead;
    op.frame = frame;
    op.destination = destination;
    op.offset = offset;
    op.ticket = ticket;
    post(op);
  }
  void free(FrameId frame) {
    StorageOp op;
    op.kind = StorageOpKind::kFree;
    op.frame = frame;
    post(op);
  }
  void post(const StorageOp& op) { bench_->storage().post({&op, 1}); }

  bool until(const std::function<bool()>& condition, std::size_t most = 16) {
    for (std::uint64_t i = 0; i < kTurns && !condition(); ++i) {
      Event events[16];
      const std::size_t n = bench_->storage().poll({events, most});
      seen.insert(seen.end(), events, events + n);
      bench_->pump();
    }
    return condition();
  }

  std::size_t count(EventKind kind, FrameId frame) const {
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [&](const Event& e) { return e.kind == kind && e.tag == frame; }));
  }
  // Up to where the frame is durable, as told last.
  std::uint64_t stored(FrameId frame) const {
    std::uint64_t amount = 0;
    for (const Event& e : seen) {
      if (e.kind == EventKind::kStored && e.tag == frame) amount = e.amount;
    }
    return amount;
  }
  bool read_done(Ticket ticket) const {
    return std::any_of(seen.begin(), seen.end(),
                       [&](const Event& e) { return e.kind == EventKind::kStorageRead && e.ticket == ticket; });
  }
  std::uint64_t failure(FrameId frame) const {
    for (const Event& e : seen) {
      if (e.kind == EventKind::kStorageFailed && e.tag == frame) return e.amount;
    }
    return 0;
  }
  std::vector<StoredFrame> found() { return bench_->storage().frames(); }
  std::vector<FrameId> frames() {
    std::vector<FrameId> ids;
    for (const StoredFrame& frame : found()) ids.push_back(frame.id);
    return ids;
  }
  bool restart() {
    seen.clear();
    return bench_->restart();
  }

  std::vector<Event> seen;

 private:
  std::unique_ptr<StorageBench> bench_;
};

std::vector<std::byte> pattern(std::uint64_t seed, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>(mix64((seed << 32) + i / 8 + 1) >> i % 8 * 8);
  return bytes;
}

void appended_bytes_become_durable(const MakeStorageBench& make) {
  // Given appends of all sizes to one frame, expect the durable mark to rise to the full length and the bytes to be
  // there.
  Desk desk(make);
  std::vector<std::vector<std::byte>> parts;
  std::vector<std::byte> whole;
  for (const std::size_t size : {std::size_t{1}, std::size_t{511}, 4096 + std::size_t{7}, std::size_t{100}, 3 * kMiB}) {
    parts.push_back(pattern(size, size));
    whole.insert(whole.end(), parts.back().begin(), parts.back().end());
  }
  for (const auto& part : parts) desk.append(7, part);
  ASSERT_TRUE(desk.until([&] { return desk.stored(7) == whole.size(); }));
  std::uint64_t before = 0;
  for (const Event& e : desk.seen) {
    EXPECT_EQ(e.kind, EventKind::kStored);
    EXPECT_EQ(e.tag, 7u);
    EXPECT_GE(e.amount, before);
    before = e.amount;
  }
  std::vector<std::byte> back(whole.size());
  desk.read(7, back, 0, 1);
  ASSERT_TRUE(desk.until([&] { return desk.read_done(1); }));
  EXPECT_TRUE(back == whole);
}

void a_source_is_free_when_it_is_stored(const MakeStorageBench& make) {
  // Given one buffer used for append after append, each time as soon as kStored covers it, expect the bytes of each
  // time.
  Desk desk(make);
  std::vector<std::byte> buffer;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    buffer = pattern(i, 5000);
    desk.append(1, buffer);
    ASSERT_TRUE(desk.until([&] { return desk.stored(1) == i * 5000; }));
  }
  for (std::uint64_t i = 1; i <= 20; ++i) {
    std::vector<std::byte> back(5000);
    desk.read(1, back, (i - 1) * 5000, i);
    ASSERT_TRUE(desk.until([&] { return desk.read_done(i); }));
    EXPECT_TRUE(back == pattern(i, 5000));
  }
}

void ops_of_a_frame_keep_their_order(const MakeStorageBench& make) {
  // Given append, read, free, append, read of one frame in one post, expect each to see what came before it.
  Desk desk(make);
  const auto first = pattern(1, 9000);
  const auto second = pattern(2, 300);
  std::vector<std::byte> a(9000);
  std::vector<std::byte> b(300);
  desk.append(5, first);
  desk.read(5, a, 0, 1);
  desk.free(5);
  desk.append(5, second);
  desk.read(5, b, 0, 2);
  ASSERT_TRUE(desk.until([&] { return desk.read_done(1) && desk.read_done(2) && desk.stored(5) == 300; }));
  EXPECT_TRUE(a == first);
  EXPECT_TRUE(b == second);
  EXPECT_EQ(desk.count(EventKind::kFreed, 5), 1u);
  EXPECT_EQ(desk.count(EventKind::kStorageFailed, 5), 0u);
}

void frames_are_listed_in_order(const MakeStorageBench& make) {
  // Given frames made and freed in any order, expect those that are there, in rising order.
  Desk desk(make);
  const auto bytes = pattern(3, 100);
  EXPECT_TRUE(desk.frames().empty());
  const std::vector<FrameId> ids = {9, 3, ~FrameId{0}, 1000, 0, 77};
  for (const FrameId id : ids) desk.append(id, bytes);
  ASSERT_TRUE(desk.until(
      [&] { return std::all_of(ids.begin(), ids.end(), [&](FrameId id) { return desk.stored(id) == 100; }); }));
  EXPECT_EQ(desk.frames(), (std::vector<FrameId>{0, 3, 9, 77, 1000, ~FrameId{0}}));
  desk.free(9);
  desk.free(0);
  ASSERT_TRUE(
      desk.until([&] { return desk.count(EventKind::kFreed, 9) == 1 && desk.count(EventKind::kFreed, 0) == 1; }));
  EXPECT_EQ(desk.frames(), (std::vector<FrameId>{3, 77, 1000, ~FrameId{0}}));
}

void what_cannot_be_done_fails_once(const MakeStorageBench& make) {
  // Given reads and frees of what is not there, expect one failure each, with the errno, and the rest to go on.
  Desk desk(make);
  std::vector<std::byte> into(64);
  desk.read(1, into, 0, 1);
  desk.free(2);
  ASSERT_TRUE(desk.until([&] { return desk.failure(1) != 0 && desk.failure(2) != 0; }));
  EXPECT_EQ(desk.failure(1), static_cast<std::uint64_t>(ENOENT));
  EXPECT_EQ(desk.failure(2), static_cast<std::uint64_t>(ENOENT));
  const auto bytes = pattern(1, 50);
  desk.append(3, bytes);
  desk.read(3, into, 0, 2);
  ASSERT_TRUE(desk.until([&] { return desk.failure(3) != 0; })) << "a read of more than there is";
  desk.read(3, Bytes(into).first(50), 0, 3);
  ASSERT_TRUE(desk.until([&] { return desk.read_done(3); }));
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), into.begin()));
  EXPECT_FALSE(desk.read_done(1));
  EXPECT_FALSE(desk.read_done(2));
  for (const FrameId id : {1, 2, 3}) EXPECT_EQ(desk.count(EventKind::kStorageFailed, id), 1u);
}

void one_event_at_a_time(const MakeStorageBench& make) {
  // Given polls of one event, expect none to be lost.
  Desk desk(make);
  const auto bytes = pattern(4, 1000);
  for (FrameId id = 0; id < 40; ++id) desk.append(id, bytes);
  ASSERT_TRUE(desk.until(
      [&] {
        for (FrameId id = 0; id < 40; ++id) {
          if (desk.stored(id) != 1000) return false;
        }
        return true;
      },
      1));
}

void durable_frames_outlive_a_restart(const MakeStorageBench& make) {
  // Given frames that were told to be durable, expect a restarted node to find them, read them, and append to them.
  Desk desk(make);
  const auto one = pattern(5, 70000);
  const auto two = pattern(6, 10);
  desk.append(11, one);
  desk.append(4, two);
  desk.append(8, two);
  desk.free(8);
  ASSERT_TRUE(desk.until([&] {
    return desk.stored(11) == one.size() && desk.stored(4) == two.size() && desk.count(EventKind::kFreed, 8) == 1;
  }));
  if (!desk.restart()) GTEST_SKIP() << "this bench cannot restart";
  EXPECT_EQ(desk.found(), (std::vector<StoredFrame>{{4, two.size()}, {11, one.size()}}));
  desk.append(4, one);
  ASSERT_TRUE(desk.until([&] { return desk.stored(4) == one.size() + two.size(); }));
  std::vector<std::byte> back(one.size());
  desk.read(11, back, 0, 1);
  ASSERT_TRUE(desk.until([&] { return desk.read_done(1); }));
  EXPECT_TRUE(back == one);
  desk.read(4, back, two.size(), 2);
  ASSERT_TRUE(desk.until([&] { return desk.read_done(2); }));
  EXPECT_TRUE(back == one);
}

void a_random_mix_follows_the_model(const MakeStorageBench& make) {
  // Given random appends, reads and frees over a few frames, expect reads to bring what a map of frames holds.
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Desk desk(make);
    Rng rng(seed, "storage-conformance");
    const auto source = pattern(seed, 64 * kKiB);
    std::map<FrameId, std::vector<std::byte>> model;
    std::map<Ticket, std::pair<std::vector<std::byte>, std::vector<std::byte>>> reads;
    std::map<FrameId, std::size_t> freed;
    for (Ticket i = 1; i <= 400; ++i) {
      const FrameId frame = rng.below(6);
      const std::uint64_t dice = rng.below(10);
      auto& bytes = model[frame];
      if (bytes.empty() || dice < 5) {
        const std::size_t size = 1 + rng.below(3000);
        const std::size_t at = rng.below(source.size() - size);
        desk.append(frame, ConstBytes(source).subspan(at, size));
        bytes.insert(bytes.end(), source.begin() + static_cast<std::ptrdiff_t>(at),
                     source.begin() + static_cast<std::ptrdiff_t>(at + size));
      } else if (dice < 9) {
        const std::size_t size = 1 + rng.below(bytes.size());
        const std::size_t at = rng.below(bytes.size() - size + 1);
        auto& [into, expected] = reads[i];
        into.resize(size);
        const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        expected.assign(first, first + static_cast<std::ptrdiff_t>(size));
        desk.read(frame, into, at, i);
      } else {
        desk.free(frame);
        ++freed[frame];
        bytes.clear();
      }
    }
    ASSERT_TRUE(desk.until([&] {
      return std::all_of(reads.begin(), reads.end(), [&](const auto& r) { return desk.read_done(r.first); }) &&
             std::all_of(freed.begin(), freed.end(),
                         [&](const auto& f) { return desk.count(EventKind::kFreed, f.first) == f.second; }) &&
             std::all_of(model.begin(), model.end(),
                         [&](const auto& m) { return m.second.empty() || desk.stored(m.first) == m.second.size(); });
    }));
    for (const auto& [ticket, read] : reads) EXPECT_TRUE(read.first == read.second) << "ticket " << ticket;
    for (const Event& e : desk.seen) EXPECT_NE(e.kind, EventKind::kStorageFailed);
  }
}

}  // namespace

std::vector<StorageCase> storage_conformance(const MakeStorageBench& make) {
  return {
      {"appended_bytes_become_durable", make, appended_bytes_become_durable},
      {"a_source_is_free_when_it_is_stored", make, a_source_is_free_when_it_is_stored},
      {"ops_of_a_frame_keep_their_order", make, ops_of_a_frame_keep_their_order},
      {"frames_are_listed_in_order", make, frames_are_listed_in_order},
      {"what_cannot_be_done_fails_once", make, what_cannot_be_done_fails_once},
      {"one_event_at_a_time", make, one_event_at_a_time},
      {"durable_frames_outlive_a_restart", make, durable_frames_outlive_a_restart},
      {"a_random_mix_follows_the_model", make, a_random_mix_follows_the_model},
  };
}

TEST_P(StorageConformance, Holds) { GetParam().run(GetParam().make); }

}  // namespace slipstream
