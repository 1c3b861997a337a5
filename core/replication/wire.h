// Requests of a primary to its backups. Open and close are requests under every policy; the bytes between are what the
// policies differ in.
#pragma once

#include <cstdint>

#include "core/rpc/wire.h"

namespace slipstream {

// Id of an open or close request: the segment. Id of a write request: a number of the channel's own.
struct BackupOpen {
  std::uint64_t segment = 0;
  std::uint32_t epoch = 0;          // of the segment when it was opened: the chain's start
  std::uint32_t replica_epoch = 0;  // rises when a replica of the segment was lost
  std::uint16_t master = 0;
  std::uint16_t one_sided = 0;  // 1: grant the buffer to this channel
  std::uint32_t capacity = 0;
};
static_assert(sizeof(BackupOpen) == 24);

struct BackupOpenAnswer {
  RemoteKey key = 0;  // one-sided: of the granted buffer; else the buffer's number
  std::uint32_t free_buffers = 0;
  std::uint32_t closed_bytes = 0;  // not 0: the replica is here already, closed with so many bytes
};
static_assert(sizeof(BackupOpenAnswer) == 16);

// Followed by the bytes, which go to `offset`.
struct BackupWrite {
  std::uint64_t segment = 0;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint16_t master = 0;
  std::uint16_t buffer = 0;  // as the open's answer told
  std::uint32_t epoch = 0;
};
static_assert(sizeof(BackupWrite) == 24);

struct BackupClose {
  std::uint64_t segment = 0;
  std::uint32_t epoch = 0;
  std::uint32_t length = 0;
  std::uint32_t crc = 0;  // of the certificate that ends the segment
  std::uint16_t master = 0;
  std::uint16_t reserved = 0;
};
static_assert(sizeof(BackupClose) == 24);

struct BackupAnswer {
  std::uint32_t free_buffers = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(BackupAnswer) == 8);

}  // namespace slipstream
