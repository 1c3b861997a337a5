#include "sim/sim_storage.h"

#include <array>
#include <cerrno>
#include <optional>

#include "core/storage/conformance.h"
#include "sim/test_hardware.h"

namespace slipstream::sim {
namespace {

class SimStorageBench : public StorageBench {
 public:
  SimStorageBench() { restart(); }
  Storage& storage() override { return *storage_; }
  void pump() override {
    if (queue_.empty()) return;
    queue_.pop();
    storage_->done();
  }
  bool restart() override {
    queue_ = EventQueue();  // what was under way is gone
    storage_.emplace(queue_, medium_, plain_hardware(), 0);
    return true;
  }

 private:
  EventQueue queue_;
  Medium medium_;
  std::optional<SimStorage> storage_;
};

INSTANTIATE_TEST_SUITE_P(Sim, StorageConformance,
                         testing::ValuesIn(storage_conformance([] { return std::make_unique<SimStorageBench>(); })),
                         storage_case_name);

TEST(SimStorage, OperationsQueueForTheMedium) {
  // Given two appends of 1 MB at 1 GB/s and 10 us of latency, posted at once: expect them after 1 ms and 2 ms, and 10
  // us.
  EventQueue queue;
  Medium medium;
  SimStorage storage(queue, medium, plain_hardware(), 3);
  const std::vector<std::byte> bytes(1'000'000, std::byte{1});
  StorageOp ops[2];
  for (StorageOp& op : ops) op.source = bytes;
  ops[0].frame = 1;
  ops[1].frame = 2;
  storage.post(ops);
  for (const FrameId frame : {1, 2}) {
    const QueuedEvent event = queue.pop();
    EXPECT_EQ(event.time, static_cast<TimePs>(frame) * 1'000'000'000 + 10'000'000);
    EXPECT_EQ(event.what, 3u);
    storage.done();
    std::array<Event, 4> events;
    ASSERT_EQ(storage.poll(events), 1u);
    EXPECT_EQ(events[0].kind, EventKind::kStored);
    EXPECT_EQ(events[0].tag, frame);
    EXPECT_EQ(events[0].amount, bytes.size());
  }
  EXPECT_TRUE(queue.empty());
}

TEST(SimStorage, BytesThatAreNotKeptCannotBeRead) {
  // Given a medium that keeps lengths only: expect the length in kStored, and a read that fails with EIO.
  EventQueue queue;
  Medium medium{.keeps_bytes = false, .frames = {}};
  SimStorage storage(queue, medium, plain_hardware(), 0);
  std::vector<std::byte> bytes(100, std::byte{1});
  StorageOp ops[2];
  ops[0].source = bytes;
  ops[1].kind = StorageOpKind::kRead;
  ops[1].destination = bytes;
  storage.post(ops);
  storage.done();
  storage.done();
  std::array<Event, 4> events;
  ASSERT_EQ(storage.poll(events), 2u);
  EXPECT_EQ(events[0].amount, 100u);
  EXPECT_EQ(events[1].kind, EventKind::kStorageFailed);
  EXPECT_EQ(events[1].amount, static_cast<std::uint64_t>(EIO));
}

}  // namespace
}  // namespace slipstream::sim
