// What every request and answer starts with, and the outcomes an answer can tell. Little-endian; bodies are defined by
// the service that owns the opcode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/fabric/fabric.h"
#include "core/turn/outbox.h"

namespace slipstream {

enum class Opcode : std::uint16_t {
  // Key-value store (core/kv/wire.h).
  kKeyValue = 1,
  // Backups (core/replication/wire.h).
  kBackupOpen = 16,
  kBackupWrite = 17,
  kBackupClose = 18,
  kBackupFree = 19,
  kBackupInventory = 20,
  kBackupLost = 21,  // from the backup to the primary
  // Recovery of a dead master's data from its replicas (core/replication/wire.h).
  kReplicasOf = 24,    // coordinator to backup
  kRecoveryData = 25,  // recovery master to backup
  // Coordinator (core/cluster/wire.h).
  kEnlist = 32,
  kReady = 33,
  kFinished = 34,
  kWindow = 35,
  kHeartbeat = 36,
  kView = 37,     // from the coordinator: no answer
  kSuspect = 38,  // no answer
  kEpochs = 39,
  kPlan = 40,
  kRecovered = 41,
  // Between any two nodes: are you there?
  kPing = 48,
};
constexpr bool is_backup_opcode(Opcode opcode) {
  return opcode >= Opcode::kBackupOpen && opcode <= Opcode::kRecoveryData && opcode != Opcode::kBackupLost;
}

// Who lives, and what is whose: a node must hear and answer it however much else it has to do.
constexpr bool is_of_membership(Opcode opcode) { return opcode == Opcode::kView || opcode == Opcode::kPing; }

enum class Status : std::uint8_t {
  kOk = 0,
  kNotFound,         // no such object
  kVersionMismatch,  // a conditional mutation met another version; the answer tells which
  kNotANumber,       // increment of a value that is not 8 bytes long
  kWrongServer,      // the tablet is not here: ask the coordinator again
  kLogFull,          // no log memory left just now: ask again
  kNoRoom,           // the answer is too long already: ask for this item again
  kStale,            // a repeat of a request whose answer the client already had
  kRejected,         // the backup has no free buffer
  kDead,             // the sender was declared dead, or its lease has ended
  kLost,             // what is asked for is not here, or does not verify
  kBadRequest,       // malformed
};
std::string_view name(Status status);

struct RpcHeader {
  Opcode opcode{};
  std::uint8_t is_answer = 0;
  Status status = Status::kOk;
  std::uint32_t sender = 0;  // free for the service
  std::uint64_t id = 0;      // picked by the caller; the answer carries it back
};
static_assert(sizeof(RpcHeader) == 16 && offsetof(RpcHeader, id) == 8);

// A message's header and body; false when it is too short to have one.
struct RpcMessage {
  RpcHeader header;
  ConstBytes body;
};
inline bool parse(ConstBytes bytes, RpcMessage& message) {
  if (bytes.size() < sizeof(RpcHeader)) return false;
  std::memcpy(&message.header, bytes.data(), sizeof(RpcHeader));
  message.body = bytes.subspan(sizeof(RpcHeader));
  return true;
}

// Sends header and a fixed-size body.
template <typename Body>
void send_message(Outbox& out, Channel channel, const RpcHeader& header, const Body& body, std::uint64_t answers,
                  Work kind) {
  std::byte* const at = out.send(channel, sizeof(RpcHeader) + sizeof(Body), answers, kind);
  std::memcpy(at, &header, sizeof(RpcHeader));
  std::memcpy(at + sizeof(RpcHeader), &body, sizeof(Body));
}

// The body as a fixed-size struct; false when it is too short.
template <typename Body>
bool read_body(ConstBytes bytes, Body& body) {
  if (bytes.size() < sizeof(Body)) return false;
  std::memcpy(&body, bytes.data(), sizeof(Body));
  return true;
}

}  // namespace slipstream
