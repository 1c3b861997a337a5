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
  std::uint16_t flags = 0;
  std::uint32_t capacity = 0;
};
static_assert(sizeof(BackupOpen) == 24);
inline constexpr std::uint16_t kOpenOneSided = 1;  // grant the buffer to this channel
inline constexpr std::uint16_t kOpenCopy = 2;      // replaces a lost replica, or is a side segment's: of no use for
                                                   //   recovery before it is closed or updated
inline constexpr std::uint16_t kOpenUpdate = 4;    // the replica is there: it has all that counts, and gets this epoch

struct BackupOpenAnswer {
  RemoteKey key = 0;  // one-sided: of the granted buffer; else the buffer's number
  std::uint32_t free_buffers = 0;
  std::uint32_t closed_bytes = 0;  // not 0: the replica is here already, closed with so many bytes
  std::uint32_t epoch = 0;         // of the replica
  std::uint32_t reserved = 0;
};
static_assert(sizeof(BackupOpenAnswer) == 24);

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

// The replicas of this life of the master on this backup that are of use; all others of it are to be freed. Followed by
// the ids (u64). The answer is followed by those that are not here (u64), after BackupAnswer.
struct BackupInventory {
  std::uint16_t master = 0;
  std::uint16_t life = 0;
  std::uint32_t segments = 0;
};
static_assert(sizeof(BackupInventory) == 8);

// kBackupFree: the replica is of no use any more; no answer. kBackupLost, from a backup to the primary at the channel's
// other end: the replica does not verify and is gone; no answer.
struct BackupSegment {
  std::uint64_t segment = 0;
  std::uint16_t master = 0;
  std::uint16_t reserved[3] = {};
};
static_assert(sizeof(BackupSegment) == 16);

// kReplicasOf: fences a dead master out, then tells its replicas here. The answer: ReplicasAnswer, the replicas, then
// the digest of the newest head that is here (u64 ids).
struct ReplicasOf {
  std::uint16_t master = 0;
  std::uint16_t life = 0;  // and all earlier ones
  std::uint32_t reserved = 0;
};
static_assert(sizeof(ReplicasOf) == 8);

struct ReplicasAnswer {
  std::uint64_t head = 0;  // whose digest follows
  std::uint32_t replicas = 0;
  std::uint32_t digest = 0;  // ids that it names; 0: there is none here
};
static_assert(sizeof(ReplicasAnswer) == 16);

struct ReplicaInfo {
  std::uint64_t segment = 0;
  std::uint32_t epoch = 0;  // of the replica
  std::uint32_t flags = 0;
  std::uint32_t bytes = 0;  // closed: as closed; open: that verify
  std::uint32_t crc = 0;    // of the last certificate of these
};
static_assert(sizeof(ReplicaInfo) == 24);
inline constexpr std::uint32_t kReplicaClosed = 1;
inline constexpr std::uint32_t kReplicaCopy = 2;

// kRecoveryData: entries of a segment whose keys lie in one of the ranges. Followed by `ranges` KeyRange, the same in
// every request of a recovery. The answer: RecoveryDataAnswer, then whole entries; all ranges get the segment's header.
struct RecoveryData {
  std::uint64_t segment = 0;
  std::uint16_t master = 0;
  std::uint16_t ranges = 0;
  std::uint32_t range = 0;   // which is asked for
  std::uint32_t bytes = 0;   // of the segment that count
  std::uint32_t cursor = 0;  // 0, or as an answer told
};
static_assert(sizeof(RecoveryData) == 24);

struct KeyRange {
  std::uint64_t table = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive
  bool holds(std::uint64_t of_table, std::uint64_t hash) const {
    return table == of_table && first <= hash && hash <= last;
  }
  bool operator==(const KeyRange&) const = default;
};
static_assert(sizeof(KeyRange) == 24);

struct RecoveryDataAnswer {
  std::uint32_t next = 0;  // cursor of the next request; 0: that was all
  std::uint32_t bytes = 0;
};
static_assert(sizeof(RecoveryDataAnswer) == 8);

struct BackupAnswer {
  std::uint32_t free_buffers = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(BackupAnswer) == 8);

}  // namespace slipstream
