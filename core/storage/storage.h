// The durable-medium seam, in the shape of the network seam: ops in, events out (their kinds are in
// core/fabric/fabric.h). A frame is an append-only run of bytes with a name; a backup keeps one frame for each closed
// replica.
//
// The contract:
//  1. post() never blocks on the medium.
//  2. Bytes appended to a frame become durable in order; kStored tells up to where and may be raised more than once,
//     the last time with the frame's full length. The source of an append must not change until kStored covers it.
//  3. After a crash any prefix of the bytes that were not yet durable may be there, and a torn piece behind it.
//  4. An op on a frame that cannot be carried out raises kStorageFailed with the errno (ENOENT, ENOSPC, EIO, ...) once.
//  5. Ops on one frame take effect in post order; ops on different frames in any order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/units.h"
#include "core/fabric/fabric.h"

namespace slipstream {

using FrameId = std::uint64_t;

// A frame as it is found: its durable bytes.
struct StoredFrame {
  FrameId id = 0;
  std::uint64_t bytes = 0;
  bool operator==(const StoredFrame&) const = default;
};

enum class StorageOpKind : std::uint8_t { kAppend, kRead, kFree };

struct StorageOp {
  StorageOpKind kind = StorageOpKind::kAppend;
  FrameId frame = 0;
  ConstBytes source;         // kAppend: behind what the frame holds; an absent frame is created
  Bytes destination;         // kRead
  std::uint64_t offset = 0;  // kRead
  Ticket ticket = 0;         // kRead: comes back in the event
};

class Storage {
 public:
  virtual ~Storage() = default;
  virtual void post(std::span<const StorageOp> ops) = 0;
  virtual std::size_t poll(std::span<Event> events) = 0;
  // Frames that are here now, in rising order; what a restarted node finds.
  virtual std::vector<StoredFrame> frames() const = 0;
};

}  // namespace slipstream
