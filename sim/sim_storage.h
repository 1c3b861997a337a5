// The simulated world's Storage: one medium per node that serves one operation at a time, at the profile's rate, each
// done one latency after it was served. Bytes are kept, unless the run says that nobody will read them: then only
// lengths are, and a read fails with EIO.
//
// Units: picoseconds, bytes. Invariant: operations are done in post order, so kStored rises per frame.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "core/base/ring.h"
#include "core/storage/storage.h"
#include "sim/event_queue.h"
#include "sim/events.h"
#include "sim/hardware.h"

namespace slipstream::sim {

// What is durable: outlives the node's storage, as a disk outlives a crash.
struct Frame {
  std::uint64_t size = 0;
  std::vector<std::byte> bytes;  // empty when they are not kept
};
struct Medium {
  bool keeps_bytes = true;
  std::map<FrameId, Frame> frames;
};

class SimStorage : public Storage {
 public:
  // `node` is what this storage's events carry in the queue; queue and medium outlive the storage.
  SimStorage(EventQueue& queue, Medium& medium, const HardwareProfile& hardware, std::uint32_t node)
      : queue_(queue), medium_(medium), latency_(hardware.storage_latency), rate_(hardware.storage_rate), node_(node) {}

  void post(std::span<const StorageOp> ops) override { post_at(ops, queue_.now()); }
  void post_at(std::span<const StorageOp> ops, TimePs time);  // times of one storage rise
  std::size_t poll(std::span<Event> events) override;
  std::vector<FrameId> frames() const override;

  // For Happening::kStorageDone: carries out the first operation.
  void done();
  Ring<Event>& inbox() { return inbox_; }

 private:
  struct Pending {
    StorageOp op;
    TimePs time = 0;
  };

  Event carry_out(const StorageOp& op);

  EventQueue& queue_;
  Medium& medium_;
  TimePs latency_;
  std::int64_t rate_;
  std::uint32_t node_;
  TimePs free_ = 0;
  Ring<Pending> pending_;
  Ring<Event> inbox_;
};

}  // namespace slipstream::sim
