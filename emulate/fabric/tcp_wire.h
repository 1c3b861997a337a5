// What one tcp channel carries: frames of an 8-byte header, a fixed part that depends on the kind, and bytes. Both ends
// are the same build on machines of the same byte order; the greeting's magic number tells if not.
//
// Ops (message, write, read) are counted from 1 in post order at both ends; acknowledgements name the last op done.
#pragma once

#include <cstdint>

#include "emulate/fabric/run_secret.h"

namespace slipstream::emulate::tcp {

inline constexpr std::uint32_t kMagic = 0x736c7433;

enum class FrameKind : std::uint8_t {
  kHello = 1,  // Greeting; from the end that connected, first of all
  kWelcome,    // Greeting; the answer, first of all
  kMessage,    // the message's bytes
  kWrite,      // WriteHead, then the bytes
  kRead,       // ReadHead
  kReadData,   // AckHead, then the bytes
  kAck,        // AckHead
};

enum : std::uint8_t {
  kWantsAck = 1,  // an op with a ticket
  kIsAnswer = 2,  // kMessage
};

struct FrameHeader {
  std::uint32_t size = 0;  // of what follows
  FrameKind kind = FrameKind::kMessage;
  std::uint8_t flags = 0;
  std::uint16_t unused = 0;
};

struct Greeting {
  std::uint32_t magic = kMagic;
  std::uint16_t from = 0;
  std::uint16_t to = 0;
  RunSecret secret{};
};

struct WriteHead {
  std::uint64_t key = 0;
  std::uint64_t offset = 0;
};

struct ReadHead {
  std::uint64_t key = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

struct AckHead {
  std::uint64_t op = 0;  // this one and all before it are done
};

static_assert(sizeof(FrameHeader) == 8 && sizeof(Greeting) == 24 && sizeof(WriteHead) == 16 && sizeof(ReadHead) == 24 &&
              sizeof(AckHead) == 8);

}  // namespace slipstream::emulate::tcp
