// What the ends of a verbs channel say to each other: the bootstrap's messages, over TCP, and the frames of the
// messages that queue pairs carry. Both ends are the same build on machines of the same byte order; the greeting's
// magic number tells if not.
//
// A SEND fills one slot of the receiver's ring. Its payload is frames, each 8-byte aligned; one that is longer than a
// slot begins a SEND, fills it and as many more as it needs, and ends with the last of them. The immediate value of
// every SEND is how many slots its sender has given back since the channel began, modulo 2^32; a SEND without payload
// brings nothing else.
#pragma once

#include <cstdint>

#include "core/base/units.h"
#include "emulate/fabric/run_secret.h"

namespace slipstream::emulate::verbs {

inline constexpr std::uint32_t kMagic = 0x736c7631;
inline constexpr std::size_t kSlotBytes = 4 * kKiB;

struct Greeting {
  std::uint32_t magic = kMagic;
  std::uint16_t from = 0;
  std::uint16_t to = 0;
  RunSecret secret{};
  std::uint8_t gid[16] = {};
  std::uint32_t queue_pair = 0;
  std::uint32_t first_packet = 0;  // sequence number
  std::uint32_t ring_bytes = 0;    // both ends have the same
  std::uint16_t lid = 0;           // InfiniBand
  std::uint8_t mtu = 0;            // ibv_mtu of the port
  std::uint8_t reads = 0;          // RDMA reads that it answers at a time
};
static_assert(sizeof(Greeting) == 56);

// From the end that connected, when its queue pair can receive.
inline constexpr std::byte kReadyWord{0x52};

enum class FrameKind : std::uint8_t {
  kMessage = 1,
  kGrant,      // GrantFrame: the receiver may use this key
  kLearned,    // KeyFrame: the answer
  kWithdraw,   // KeyFrame: it may no longer
  kWithdrawn,  // KeyFrame: the answer; it does no longer, and its writes before this frame have landed
};

// Frames begin at multiples of 8 bytes of a SEND.
inline constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 7) / 8 * 8; }

inline constexpr std::uint8_t kIsAnswer = 1;

struct FrameHeader {
  std::uint32_t size = 0;  // of what follows
  FrameKind kind = FrameKind::kMessage;
  std::uint8_t flags = 0;
  std::uint16_t unused = 0;
};
static_assert(sizeof(FrameHeader) == 8);

struct GrantFrame {
  std::uint64_t key = 0;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  std::uint32_t rkey = 0;
  std::uint32_t unused = 0;
};
static_assert(sizeof(GrantFrame) == 32);

struct KeyFrame {
  std::uint64_t key = 0;
};

}  // namespace slipstream::emulate::verbs
