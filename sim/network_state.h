// The parts that a Network is made of, as plain data. Only the Network changes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/ring.h"
#include "core/base/rng.h"
#include "core/fabric/fabric.h"
#include "sim/hardware.h"
#include "sim/interference.h"
#include "sim/queue_pair_cache.h"

namespace slipstream::sim {

using TransferId = std::uint32_t;
inline constexpr std::uint32_t kNone = 0xffffffff;

// What a transfer is on the wire.
enum class TransferKind : std::uint8_t {
  kMessage,
  kWrite,
  kReadRequest,
  kReadReply,
  kAck,  // between connected ends
  kConnect,
  kAccept,
  kClose,  // the connection manager's
  kLocal,  // grant, withdraw, revoke: never on the wire
  kEcho,   // a message that comes a second time
  kVoid,   // its packets have no effect any more
};
// What has been decided about an op, against its nature.
enum class Fate : std::uint8_t {
  kWhole,  // nothing
  kCut,    // its sender died in the middle: what is on its way lands, no more
  kLate,   // a write that its sender takes for lost, and that lands later
  kTorn,   // a write of which some bytes will land
};
enum class EndState : std::uint8_t { kUnmade, kConnecting, kUp, kRevoking, kDead };

// An op, or an answer to one, from the moment it is prepared until its last effect.
struct Transfer {
  TransferKind kind = TransferKind::kMessage;
  OpKind op = OpKind::kSend;
  std::uint8_t from = 0;  // the connection's end that sends it (0 or 1)
  std::uint8_t slices = 0;
  bool answers = false;
  bool listed = false;  // a read in its end's list
  Fate fate = Fate::kWhole;
  std::uint32_t connection = 0;
  TransferId next = kNone;       // in its uplink's queue
  TransferId next_read = kNone;  // in its end's list of reads not done
  std::uint32_t size = 0;        // payload bytes on the wire
  std::uint32_t switched = 0;    // payload bytes that reached the switch
  std::uint32_t landed = 0;      // payload bytes that reached memory
  TimePs at_switch = 0;          // when the next packet reaches the switch
  std::uint64_t sequence = 0;    // of the op at its end
  Ticket ticket = 0;
  RemoteKey key = 0;
  std::uint64_t offset = 0;
  Bytes memory;            // kSend: the message; kRead: destination; kGrant: what is granted
  Slice body[kMaxSlices];  // kWrite
};

// One end of a connection.
struct End {
  NodeId node = kNoNode;
  Channel channel = 0;
  EndState state = EndState::kUnmade;
  bool connected = false;        // counted among its NIC's queue pairs
  bool silent = false;           // its node's life is over: nobody answers here
  std::uint32_t queue_pair = 0;  // its slot in the NIC's cache
  std::uint32_t unacknowledged = 0;
  std::uint64_t next_sequence = 0;
  TimePs last_ready = 0;
  TransferId first_read = kNone, last_read = kNone;
  TransferId first_held = kNone, last_held = kNone;  // acknowledgements that wait for a read before them
};

struct Connection {
  End ends[2];
};

// A right that was given to the peer of one end.
struct Grant {
  std::uint32_t end = kNone;  // the granting end; kNone: free
  std::uint32_t generation = 0;
  Bytes memory;
};

// A packet behind the switch, and when it is in memory.
struct Packet {
  TransferId transfer = kNone;
  TimePs time = 0;
};

// What a partition holds back, or a late write, of what one end sent.
struct HeldPacket {
  TransferId transfer = kNone;
  std::int64_t wire_bytes = 0;
  bool first = false;
  bool last = false;
};
struct Hold {
  std::vector<HeldPacket> packets;
  TimePs release_at = kPsNever;                  // of a late write; a partition's hold ends with the partition
  TimePs gives_up_at[2] = {kPsNever, kPsNever};  // the sending NIC; the one that waits for what it sends
};

// What is not as in a world where all goes well.
struct Anomalies {
  std::map<std::pair<std::uint16_t, std::uint16_t>, int> cuts;  // from, to: partitions
  std::map<std::uint32_t, Hold> holds;                          // by the end that sent it
  std::map<TransferId, OpVerdict> rigged;                       // writes to be torn or late
  int late = 0;                                                 // of them, late ones that have not reached the switch
  std::vector<std::unique_ptr<std::byte[]>> last_words;         // bytes of writes that outlive their writer's memory
  std::map<std::uint32_t, std::deque<TransferId>> unsettled;    // by target end: writes that are here, not all visible
  TimePs settle = 0;
  Rng scatter{0, "write-order"};
};

// One node's NIC, its two links, and the switch's port towards it.
struct Nic {
  TimePs engine_free = 0;  // send engine
  TimePs uplink_free = 0;
  TransferId first_data = kNone, last_data = kNone;
  TransferId first_ack = kNone, last_ack = kNone;
  TimePs port_free = 0;  // the switch's output port towards this node
  TimePs receive_free = 0;
  Ring<Packet> downlink;
  Ring<Event> inbox;
  std::uint64_t bytes_sent = 0;
  std::uint64_t next_tag = 1;
  std::int64_t connected = 0;
  bool alive = true;
  QueuePairCache queue_pairs;
  std::vector<std::uint32_t> dialled;   // channel -> end + 1
  std::vector<std::uint32_t> accepted;  // channel - kFirstAccepted -> end + 1
  std::vector<Grant> grants;
  std::vector<std::uint32_t> free_grants;
  std::vector<Bytes> regions;

  explicit Nic(std::int64_t cached) : queue_pairs(cached) {}
};

}  // namespace slipstream::sim
