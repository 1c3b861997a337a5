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
#include "core/base/rng.h"
#include "core/storage/storage.h"
#include "sim/event_queue.h"
#include "sim/events.h"
#include "sim/hardware.h"
#include "sim/interference.h"

namespace slipstream::sim {

// What is durable: outlives the node's storage, as a disk outlives a crash.
struct Frame {
  std::uint64_t size = 0;
  std::uint64_t missing = 0;     // acknowledged behind `size`, and not there: a fault
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
  std::vector<StoredFrame> frames() const override;

  // The node dies: of each frame's operations under way, in their order, some are done, and the one behind them in
  // part: any prefix of an append, and behind it perhaps a torn piece (draws say). What is durable stays.
  void crash(Rng& draws);

  void set_interference(Interference* interference) { interference_ = interference; }

  // For Happening::kStorageDone: carries out the first operation.
  void done();
  // What it was, for who wants to tell: of the operation that done() carried out last.
  std::uint64_t last_bytes() const { return last_bytes_; }
  Ring<Event>& inbox() { return inbox_; }

 private:
  struct Pending {
    StorageOp op;
    TimePs time = 0;
  };

  Event carry_out(const StorageOp& op);
  void append(const StorageOp& op, Event& event);
  void fill_hole(Frame& frame);
  void add(Frame& frame, ConstBytes bytes);
  void append_some(Frame& frame, ConstBytes source, Rng& draws);

  EventQueue& queue_;
  Medium& medium_;
  TimePs latency_;
  std::int64_t rate_;
  std::uint32_t node_;
  Interference* interference_ = nullptr;
  std::uint64_t last_bytes_ = 0;
  TimePs free_ = 0;
  Ring<Pending> pending_;
  Ring<Event> inbox_;
};

}  // namespace slipstream::sim
