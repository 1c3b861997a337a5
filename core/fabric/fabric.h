// The network seam. A node sees a fabric as batches of data: ops go in, events come out; nothing blocks and nothing
// calls back. One fabric object is one node's end of the network. Every implementation (sim, shm, tcp, verbs) passes
// the same conformance suite (conformance.h).
//
// The contract:
//  1. post() never blocks and never calls back. At most kWindowOps ops of a channel may be unacknowledged.
//  2. An acknowledgement means that the other side's NIC answered; not that its CPU can see the bytes, not that they
//     survive a crash there.
//  3. Acknowledgements are cumulative per channel, in post order. Only an op with a ticket is sure to raise an event.
//  4. After a failure the channel is dead: kDown is raised once on each living end; everything not yet acknowledged is
//     of unknown outcome; ops posted to a dead channel are dropped, but kRevoke is always answered by one kRevoked.
//  5. If the writer dies, any subset of an unacknowledged write's bytes may be there. Readers must verify.
//  6. A write from a peer thought dead may land late. Only after kRevoked is the memory still; revoke, then read.
//  7. A received message is a view, valid until the next poll.
//  8. A write or read outside the granted range, or with a withdrawn or foreign key, kills the channel and changes
//     nothing.
//  9. Messages of a channel arrive whole, once and in post order; a message does not overtake a write posted before it
//     (RC ordering: what a message's receiver reads of earlier writes on that channel has landed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/ids.h"
#include "core/base/units.h"

namespace slipstream {

// One end of a connection, named locally. A node that connects picks a number below kFirstAccepted, unused or dead;
// the accepting end's number is picked by its fabric, from kFirstAccepted up, and is not used again.
using Channel = std::uint16_t;
inline constexpr Channel kFirstAccepted = 0x8000;

// Picked by the node; tickets of one channel rise. 0: no acknowledgement event wanted.
using Ticket = std::uint64_t;

// Names a range of a peer's memory that was granted to one channel. Opaque; may travel in messages.
using RemoteKey = std::uint64_t;

inline constexpr std::size_t kWindowOps = 1024;              // unacknowledged ops per channel
inline constexpr std::size_t kMaxMessage = 1 * kMiB + 4096;  // head and body of one send
inline constexpr std::size_t kMaxSlices = 8;                 // gather list of one op

// What a region is for. Least is best: local memory need not be reachable for anybody else.
enum class Access : std::uint8_t {
  kLocal,      // source of our writes and messages, destination of our reads
  kGrantable,  // parts of it may be granted to a channel, too
  kDurable,    // grantable, and kept over a crash of its node, as battery-backed memory is: a later life of the node
               //   that creates a region of this name and size finds in it what was there
};

// Memory that the fabric may read from and write to. Lives as long as the fabric.
struct Region {
  std::uint32_t id = 0;
  Bytes memory;
};

// Bytes of a region of ours. They must not change before the op is acknowledged.
struct Slice {
  const std::byte* data = nullptr;
  std::size_t size = 0;
};

enum class OpKind : std::uint8_t {
  kSend,      // head and body become one message at the peer
  kWrite,     // body goes to (key, offset) in the peer's memory; the peer's node is not told
  kRead,      // local.size() bytes from (key, offset) of the peer's memory to local; then kReadDone
  kConnect,   // open `channel` to `peer`; kConnected, or kDown when it cannot be
  kRevoke,    // kill the channel from this side; kRevoked when nothing can land through it any more
  kGrant,     // let this channel's peer write and read local (within a region of ours); kGranted brings the key
  kWithdraw,  // end a grant; kWithdrawn when nothing can land through it any more
};

// One wish. `head` and the list `body` need to live only until post() returns; what the slices point to, until the ack.
struct Op {
  OpKind kind = OpKind::kSend;
  Channel channel = 0;
  NodeId peer = kNoNode;          // kConnect
  ConstBytes head;                // kSend
  std::span<const Slice> body;    // kSend, kWrite
  Bytes local;                    // kRead: destination; kGrant: what is granted
  RemoteKey key = 0;              // kWrite, kRead, kWithdraw
  std::uint64_t offset = 0;       // kWrite, kRead: from the start of the granted range
  Ticket ticket = 0;              // kSend, kWrite, kRead; kGrant, kWithdraw: comes back in the event
  std::uint64_t answers = 0;      // kSend: the tag of the message that this one answers; 0: it is a request
  std::int64_t transport_ps = 0;  // work done in this turn before the op was issued, as the world's
  std::int64_t compute_ps = 0;    //   cost table prices it (0 where time is real)
};

enum class EventKind : std::uint8_t {
  // From the fabric.
  kMessage,    // bytes: the message; tag: names it, never 0, unique at this node; is_answer: it answers one of ours
  kAcked,      // everything on the channel up to and including `ticket` was acknowledged
  kReadDone,   // the read with `ticket` has filled its memory
  kConnected,  // the channel is up; peer: who is at the other end. Raised at both ends
  kDown,       // the channel is dead
  kRevoked,    // nothing can land through the channel any more. After kRevoke also the end of the channel: no kDown
  kGranted,    // key; ticket as in the op
  kWithdrawn,  // ticket as in the op
  // From the storage (core/storage/storage.h).
  kStored,         // frame `tag` is durable up to `amount` bytes
  kStorageRead,    // frame `tag`: the read with `ticket` has filled its memory
  kFreed,          // frame `tag` is gone
  kStorageFailed,  // frame `tag`: append, read or free failed; amount: the errno
};

struct Event {
  EventKind kind = EventKind::kMessage;
  Channel channel = 0;
  NodeId peer = kNoNode;
  bool is_answer = false;
  ConstBytes bytes;
  std::uint64_t tag = 0;
  Ticket ticket = 0;
  RemoteKey key = 0;
  std::uint64_t amount = 0;
};

// What a fabric promises of the order in which the bytes of one write become visible. Readers that trust in more than
// they were promised lose data; nothing of Slipstream but the policies that are there to be refuted does.
enum class WriteOrder : std::uint8_t {
  kNone,    // any subset may be there before the acknowledgement
  kBlocks,  // whole 128-byte aligned blocks, in any order
  kWhole,   // in rising address order
};

std::string_view name(WriteOrder order);  // "none promised", ...
std::string_view name(OpKind kind);
std::string_view name(EventKind kind);

class Fabric {
 public:
  virtual ~Fabric() = default;

  // Zeroed memory (kDurable: see there), registered, aligned to a page. `name` is unique at this node; where memory
  // lives in files, it is the file's name. Throws std::runtime_error with cause and remedy when the memory cannot be
  // had.
  virtual Region create_region(std::string_view name, std::size_t bytes, Access access) = 0;

  virtual void post(std::span<const Op> ops) = 0;

  virtual WriteOrder write_order() const { return WriteOrder::kNone; }

  // Fills at most events.size() events, oldest first; returns how many. Ends the life of the views of the last poll.
  virtual std::size_t poll(std::span<Event> events) = 0;
};

}  // namespace slipstream
