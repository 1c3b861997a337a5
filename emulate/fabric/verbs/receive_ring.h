// Where a channel receives: a ring of slots that are posted to its queue pair, each filled by one SEND, and the frames
// in them. Frames are views until release(), which posts their slots again.
//
// A frame that covers several slots is a view, too, for the ring is mapped twice; one that is longer than half the ring
// is put together in memory of its own, so that its slots are free before it is whole.
#pragma once

#include <infiniband/verbs.h>

#include <cstdint>
#include <vector>

#include "emulate/fabric/verbs/device.h"
#include "emulate/fabric/verbs/mirrored_memory.h"
#include "emulate/fabric/verbs/wire.h"

namespace slipstream::emulate::verbs {

struct Frame {
  FrameHeader header;
  ConstBytes bytes;
};

class ReceiveRing {
 public:
  enum class Next : std::uint8_t { kFrame, kNothing, kGarbled };

  // In the low half of a receive's wr_id; `id` is in the high half.
  static constexpr std::uint32_t kReceived = 0x80000000;

  // `bytes` is a power of two. Throws with cause and remedy.
  ReceiveRing(const Device& device, std::uint32_t id, std::size_t bytes);

  std::uint32_t slots() const { return static_cast<std::uint32_t>(lengths_.size()); }
  // Of the n-th slot since the start.
  std::size_t place_of(std::uint64_t n) const { return index(n) * kSlotBytes; }
  // Posts all slots. False: the device refuses.
  bool post_all(ibv_qp& pair) { return post(pair, slots()); }
  void on_received(std::uint32_t bytes);
  // The next frame. One put together in memory of its own is the last until release().
  Next next(Frame& frame);
  bool is_assembled() const { return assembled_; }
  bool needs_release() const { return taken_ != released_ || assembled_; }
  // Ends the life of views. False: the device refuses.
  bool release(ibv_qp& pair);
  // Slots posted again since the start.
  std::uint64_t released() const { return released_; }

 private:
  std::size_t index(std::uint64_t n) const { return n & (slots() - 1); }
  const std::byte* slot(std::uint64_t n) const { return memory_.data() + place_of(n); }
  std::size_t length(std::uint64_t n) const { return lengths_[index(n)]; }
  bool post(ibv_qp& pair, std::uint64_t count);

  MirroredMemory memory_;
  Owned<ibv_mr> registration_;
  std::vector<ibv_recv_wr> receives_;
  std::vector<ibv_sge> places_;
  std::vector<std::uint32_t> lengths_;
  std::uint64_t received_ = 0;  // slots that SENDs have filled
  std::uint64_t taken_ = 0;     // slots whose frames were all taken
  std::uint64_t released_ = 0;  // slots that are posted again
  std::size_t taken_in_slot_ = 0;
  std::vector<std::byte> assembly_;
  std::size_t assembling_ = 0;  // bytes still missing of the frame in assembly_
  FrameHeader assembling_header_;
  bool assembled_ = false;
};

}  // namespace slipstream::emulate::verbs
