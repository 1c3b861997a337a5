// Conformance of the fault-injecting wrapper over any storage: transparent without faults; each fault is what it says.
#include <algorithm>
#include <functional>

#include "core/storage/conformance.h"
#include "core/storage/faulty_storage.h"

namespace slipstream {

namespace {

constexpr std::uint64_t kTurns = 20'000'000;

class FaultyBench : public StorageBench {
 public:
  FaultyBench(const MakeStorageBench& make, FaultyStorageOptions options)
      : inner_(make()), options_(std::move(options)) {
    storage_ = std::make_unique<FaultyStorage>(inner_->storage(), options_, NodeId{3});
  }
  FaultyStorage& storage() override { return *storage_; }
  void pump() override { inner_->pump(); }
  // Its next life has no faults.
  bool restart() override {
    if (!inner_->restart()) return false;
    storage_ = std::make_unique<FaultyStorage>(inner_->storage(), FaultyStorageOptions{}, NodeId{3});
    return true;
  }

  void append(FrameId frame, ConstBytes source) {
    StorageOp op;
    op.frame = frame;
    op.source = source;
    storage_->post({&op, 1});
  }
  void free(FrameId frame) {
    StorageOp op;
    op.kind = StorageOpKind::kFree;
    op.frame = frame;
    storage_->post({&op, 1});
  }
  // True: it was done; false: it failed.
  bool read(FrameId frame, Bytes into) {
    StorageOp op;
    op.kind = StorageOpKind::kRead;
    op.frame = frame;
    op.destination = into;
    op.ticket = ++ticket_;
    storage_->post({&op, 1});
    const auto is_mine = [this](const Event& e) { return e.ticket == ticket_; };
    EXPECT_TRUE(until([&] { return std::any_of(seen.begin(), seen.end(), is_mine); }));
    return std::find_if(seen.begin(), seen.end(), is_mine)->kind == EventKind::kStorageRead;
  }
  bool until(const std::function<bool()>& condition) {
    for (std::uint64_t i = 0; i < kTurns && !condition(); ++i) {
      Event events[16];
      const std::size_t n = storage_->poll(events);
      seen.insert(seen.end(), events, events + n);
      pump();
    }
    return condition();
  }
  bool stored(FrameId frame, std::uint64_t amount) {
    return until([&] {
      return std::any_of(seen.begin(), seen.end(), [&](const Event& e) {
        return e.kind == EventKind::kStored && e.tag == frame && e.amount == amount;
      });
    });
  }
  std::size_t count(EventKind kind) const {
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [kind](const Event& e) { return e.kind == kind; }));
  }

  std::vector<Event> seen;

 private:
  std::unique_ptr<StorageBench> inner_;
  FaultyStorageOptions options_;
  std::unique_ptr<FaultyStorage> storage_;
  Ticket ticket_ = 0;
};

MakeStorageBench with(const MakeStorageBench& make, const FaultyStorageOptions& options) {
  return [=] { return std::make_unique<FaultyBench>(make, options); };
}

std::vector<std::byte> numbered(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256 + 1);
  return bytes;
}

void a_lost_append_is_acknowledged_and_not_there(const MakeStorageBench& make) {
  // Given a second append of a frame that is lost and a third behind it, both told to be durable, and a frame whose
  // only append is lost, expect the next life to find the first append alone; and frees of both to be told.
  FaultyStorageOptions options;
  options.schedule = {{2, StorageFault::kLost}, {4, StorageFault::kLost}};
  FaultyBench bench(make, options);
  const auto bytes = numbered(6000);
  bench.append(1, ConstBytes(bytes).first(1000));
  bench.append(1, ConstBytes(bytes).subspan(1000, 2000));
  bench.append(1, ConstBytes(bytes).subspan(3000, 3000));
  bench.append(2, bytes);
  bench.append(3, bytes);
  EXPECT_TRUE(bench.stored(1, 6000));
  EXPECT_TRUE(bench.stored(2, 6000));
  EXPECT_TRUE(bench.stored(3, 6000));
  std::vector<std::byte> back(6000);
  EXPECT_FALSE(bench.read(1, back));
  EXPECT_TRUE(bench.read(3, back));
  EXPECT_TRUE(back == bytes);
  if (bench.restart()) {
    EXPECT_EQ(bench.storage().frames(), (std::vector<StoredFrame>{{1, 1000}, {3, 6000}}));
    return;
  }
  bench.free(2);
  EXPECT_TRUE(bench.until([&] { return bench.count(EventKind::kFreed) == 1; }));
}

void a_lying_frame_can_be_freed_and_used_again(const MakeStorageBench& make) {
  // Given frames whose appends were lost or cut, freed, and made again, expect each to be told, and the new bytes.
  FaultyStorageOptions options;
  options.schedule = {{1, StorageFault::kLost}, {3, StorageFault::kShort}};
  FaultyBench bench(make, options);
  const auto bytes = numbered(500);
  for (const FrameId frame : {1, 2}) {
    bench.append(frame, bytes);
    EXPECT_TRUE(bench.stored(frame, 500));
    bench.free(frame);
    EXPECT_TRUE(bench.until([&] { return bench.count(EventKind::kFreed) == frame; }));
    bench.append(frame, ConstBytes(bytes).first(499));
    EXPECT_TRUE(bench.stored(frame, 499));
  }
  EXPECT_EQ(bench.storage().frames(), (std::vector<StoredFrame>{{1, 499}, {2, 499}}));
  EXPECT_EQ(bench.count(EventKind::kStorageFailed), 0u);
}

void a_short_append_is_acknowledged_and_cut(const MakeStorageBench& make) {
  // Given appends that are cut, by several seeds, expect them told in full, and a whole prefix of their bytes kept.
  const auto bytes = numbered(6000);
  std::vector<std::uint64_t> lengths;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    FaultyStorageOptions options;
    options.seed = seed;
    options.schedule = {{2, StorageFault::kShort}};
    FaultyBench bench(make, options);
    bench.append(9, ConstBytes(bytes).first(1000));
    bench.append(9, ConstBytes(bytes).subspan(1000));
    ASSERT_TRUE(bench.stored(9, 6000));
    const std::vector<StoredFrame> kept = bench.storage().frames();
    ASSERT_EQ(kept.size(), 1u);
    EXPECT_GE(kept[0].bytes, 1000u);
    EXPECT_LT(kept[0].bytes, 6000u);
    lengths.push_back(kept[0].bytes);
    std::vector<std::byte> back(kept[0].bytes);
    ASSERT_TRUE(bench.read(9, back));
    EXPECT_TRUE(std::equal(back.begin(), back.end(), bytes.begin()));
  }
  EXPECT_NE(*std::min_element(lengths.begin(), lengths.end()), *std::max_element(lengths.begin(), lengths.end()));
}

void a_failed_append_changes_nothing(const MakeStorageBench& make) {
  // Given an append that fails at a time, expect the errno once, the frame as it was, and the next one to go on.
  FaultyStorageOptions options;
  options.timed = {{1000, StorageFault::kFailed, 0}};
  FaultyBench bench(make, options);
  const auto bytes = numbered(100);
  bench.storage().advance(999);
  EXPECT_EQ(bench.storage().next_due(), 1000);
  bench.append(1, bytes);
  bench.storage().advance(1000);
  EXPECT_EQ(bench.storage().next_due(), kNever);
  bench.append(1, bytes);
  bench.append(1, bytes);
  EXPECT_TRUE(bench.stored(1, 200));
  EXPECT_EQ(bench.count(EventKind::kStorageFailed), 1u);
  for (const Event& event : bench.seen) {
    if (event.kind == EventKind::kStorageFailed) {
      EXPECT_EQ(event.amount, 28u);
      EXPECT_EQ(event.tag, 1u);
    }
  }
  EXPECT_EQ(bench.storage().frames(), (std::vector<StoredFrame>{{1, 200}}));
}

void a_stored_bit_is_inverted(const MakeStorageBench& make) {
  // Given a bit of what is stored inverted at a time, expect every read of its byte to show it, and all else whole.
  FaultyStorageOptions options;
  options.timed = {{50, StorageFault::kBitFlip, 5}};
  FaultyBench bench(make, options);
  const auto bytes = numbered(3000);
  bench.append(1, bytes);
  ASSERT_TRUE(bench.stored(1, 3000));
  std::vector<std::byte> back(3000);
  EXPECT_TRUE(bench.read(1, back));
  EXPECT_TRUE(back == bytes);
  bench.storage().advance(50);
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(bench.read(1, back));
    std::size_t differing = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto changed = static_cast<unsigned>(bytes[i] ^ back[i]);
      if (changed == 0) continue;
      ++differing;
      EXPECT_EQ(changed & (changed - 1), 0u) << "more than one bit";
    }
    EXPECT_EQ(differing, 1u);
  }
  EXPECT_EQ(bench.storage().faults(), 1u);
}

}  // namespace

std::vector<StorageCase> faulty_storage_conformance(const MakeStorageBench& make) {
  // Without faults; then with one that never comes, so that every op and event is looked at.
  FaultyStorageOptions never;
  never.schedule = {{~std::uint64_t{0}, StorageFault::kLost}};
  std::vector<StorageCase> cases = storage_conformance(with(make, {}));
  for (StorageCase& c : storage_conformance(with(make, never))) {
    c.name += "_while_watched";
    cases.push_back(std::move(c));
  }
  cases.push_back({"a_lost_append_is_acknowledged_and_not_there", make, a_lost_append_is_acknowledged_and_not_there});
  cases.push_back({"a_lying_frame_can_be_freed_and_used_again", make, a_lying_frame_can_be_freed_and_used_again});
  cases.push_back({"a_short_append_is_acknowledged_and_cut", make, a_short_append_is_acknowledged_and_cut});
  cases.push_back({"a_failed_append_changes_nothing", make, a_failed_append_changes_nothing});
  cases.push_back({"a_stored_bit_is_inverted", make, a_stored_bit_is_inverted});
  return cases;
}

}  // namespace slipstream
