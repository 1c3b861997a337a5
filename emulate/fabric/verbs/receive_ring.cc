#include "emulate/fabric/verbs/receive_ring.h"

#include <cstring>

#include "core/fabric/fabric.h"

namespace slipstream::emulate::verbs {

ReceiveRing::ReceiveRing(const Device& device, std::uint32_t id, std::size_t bytes)
    : memory_(bytes),
      registration_(register_memory(device, memory_.data(), bytes, false)),
      receives_(bytes / kSlotBytes),
      places_(receives_.size()),
      lengths_(receives_.size()) {
  for (std::uint32_t i = 0; i < slots(); ++i) {
    places_[i] = {reinterpret_cast<std::uint64_t>(slot(i)), kSlotBytes, registration_->lkey};
    receives_[i].wr_id = static_cast<std::uint64_t>(id) << 32 | kReceived | i;
    receives_[i].sg_list = &places_[i];
    receives_[i].num_sge = 1;
  }
}

void ReceiveRing::on_received(std::uint32_t bytes) {
  lengths_[index(received_)] = bytes;
  ++received_;
}

ReceiveRing::Next ReceiveRing::next(Frame& frame) {
  while (!assembled_ && taken_ != received_) {
    const std::size_t filled = length(taken_);
    const std::byte* const begin = slot(taken_);
    if (filled == 0) {  // only gave slots back
      ++taken_;
      continue;
    }
    if (assembling_ > 0) {
      if (filled > assembling_ || (filled < kSlotBytes && filled != assembling_)) return Next::kGarbled;
      assembly_.insert(assembly_.end(), begin, begin + filled);
      assembling_ -= filled;
      ++taken_;
      if (assembling_ > 0) continue;
      assembled_ = true;
      frame = {assembling_header_, assembly_};
      return Next::kFrame;
    }
    if (taken_in_slot_ + sizeof(FrameHeader) > filled) {
      if (taken_in_slot_ < filled) return Next::kGarbled;
      ++taken_;
      taken_in_slot_ = 0;
      continue;
    }
    std::memcpy(&frame.header, begin + taken_in_slot_, sizeof(FrameHeader));
    const std::size_t whole = sizeof(FrameHeader) + frame.header.size;
    if (whole <= filled - taken_in_slot_) {
      frame.bytes = {begin + taken_in_slot_ + sizeof(FrameHeader), frame.header.size};
      taken_in_slot_ += aligned(whole);
      return Next::kFrame;
    }
    if (taken_in_slot_ != 0 || filled != kSlotBytes || frame.header.size > kMaxMessage) return Next::kGarbled;
    const std::size_t covered = (whole + kSlotBytes - 1) / kSlotBytes;
    if (covered > slots() / 2) {
      assembling_header_ = frame.header;
      assembling_ = whole - kSlotBytes;
      assembly_.assign(begin + sizeof(FrameHeader), begin + kSlotBytes);
      ++taken_;
      continue;
    }
    if (received_ - taken_ < covered) return Next::kNothing;
    for (std::size_t i = 1; i < covered; ++i) {
      if (length(taken_ + i) != (i + 1 < covered ? kSlotBytes : whole - i * kSlotBytes)) return Next::kGarbled;
    }
    frame.bytes = {begin + sizeof(FrameHeader), frame.header.size};
    taken_ += covered;
    return Next::kFrame;
  }
  return Next::kNothing;
}

// The next `count` slots, in the order of the ring, as one chain.
bool ReceiveRing::post(ibv_qp& pair, std::uint64_t count) {
  if (count == 0) return true;
  for (std::uint64_t i = 0; i < count; ++i) {
    receives_[index(released_ + i)].next = i + 1 == count ? nullptr : &receives_[index(released_ + i + 1)];
  }
  ibv_recv_wr* bad = nullptr;
  return ibv_post_recv(&pair, &receives_[index(released_)], &bad) == 0;
}

bool ReceiveRing::release(ibv_qp& pair) {
  assembled_ = false;
  const bool good = post(pair, taken_ - released_);
  released_ = taken_;
  return good;
}

}  // namespace slipstream::emulate::verbs
