// The simulated network: NICs, links and one switch in a star, and the state of all connections. It carries the ops of
// core/fabric/fabric.h between nodes, really moves their bytes, and puts what a node is to be told into its inbox.
//
// The way of a message, in picoseconds (fields of sim/hardware.h):
//   posted -> [fetch, when above the inline limit] -> the NIC's send engine (one message per send gap, queue-pair cache)
//   -> uplink, packet by packet -> half the wire -> switch hop, output port (a queue: incast waits here)
//   -> half the wire -> the receiver's engine (receive gap, DMA) -> memory.
// Acknowledgements are packets of their own: ahead of data on the responder's uplink, behind it at the switch's port.
// Each queue keeps its own order and only its first packet is in the event queue.
//
// Invariants: per channel, ops take effect in the order of launch(); launches of one node happen in rising time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "core/base/ring.h"
#include "core/fabric/fabric.h"
#include "sim/buffer_pool.h"
#include "sim/event_queue.h"
#include "sim/events.h"
#include "sim/hardware.h"
#include "sim/queue_pair_cache.h"

namespace slipstream::sim {

using TransferId = std::uint32_t;
inline constexpr std::uint32_t kNone = 0xffffffff;

class Network {
 public:
  Network(EventQueue& queue, const HardwareProfile& hardware);

  NodeId add_node();
  std::size_t nodes() const { return nics_.size(); }
  void add_region(NodeId node, Bytes memory);

  // Takes an op from a node; heads and messages' bytes are copied now. Gives a transfer to be launched later, or kNone when
  // the op is dropped because its channel is dead.
  TransferId prepare(NodeId node, const Op& op);
  // The core has rung the doorbell at `time` (now or later). Must be called for every prepared transfer.
  void launch(TransferId transfer, TimePs time);

  // For one of the network's events: carries it out; gives the node whose inbox got something, or kNoNode.
  NodeId handle(Happening kind, std::uint32_t what);

  // The node dies without a word: what has not left its NIC never arrives (a write may be torn between packets), nothing
  // lands in it, and each living peer's channel goes down when its NIC gives up.
  void kill(NodeId node);

  // Events that wait for the node, oldest first. A message's bytes belong to whoever takes it, until release().
  Ring<Event>& inbox(NodeId node) { return nics_[index(node)].inbox; }
  void release(const Event& event) {
    if (event.kind == EventKind::kMessage) messages_.give(const_cast<std::byte*>(event.bytes.data()), event.bytes.size());
  }

  // Who is at the other end of a channel that exists.
  NodeId peer(NodeId node, Channel channel) const;
  // The connection's end behind a prepared transfer: ops of one end must be launched in the order of prepare().
  std::uint32_t end_of(TransferId transfer) const { return transfers_[transfer].connection * 2 + transfers_[transfer].from; }
  OpKind op_kind(TransferId transfer) const { return transfers_[transfer].op; }
  TransferId& next(TransferId transfer) { return transfers_[transfer].next; }  // free for use until launch
  NodeId sender(TransferId transfer) const {
    return connections_[transfers_[transfer].connection].ends[transfers_[transfer].from].node;
  }
  // For who launches later: the latest time at which an op of the same end is to be launched.
  TimePs& last_ready(TransferId transfer) { return end(end_of(transfer)).last_ready; }

  std::uint64_t bytes_sent(NodeId node) const { return nics_[index(node)].bytes_sent; }
  std::uint64_t queue_pair_misses(NodeId node) const { return nics_[index(node)].queue_pairs.misses(); }

 private:
  enum class Kind : std::uint8_t {
    kMessage, kWrite, kReadRequest, kReadReply, kAck,    // between connected ends
    kConnect, kAccept, kClose,                           // the connection manager's
    kLocal,                                              // grant, withdraw, revoke: never on the wire
  };
  enum class EndState : std::uint8_t { kUnmade, kConnecting, kUp, kRevoking, kDead };

  struct Transfer {
    Kind kind = Kind::kMessage;
    OpKind op = OpKind::kSend;
    std::uint8_t from = 0;         // the connection's end that sends it (0 or 1)
    std::uint8_t slices = 0;
    bool answers = false;
    bool torn = false;             // its sender died in the middle: what is on its way lands, no more
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
    Bytes memory;                  // kSend: the message; kRead: destination; kGrant: what is granted
    Slice body[kMaxSlices];        // kWrite
  };

  struct End {
    NodeId node = kNoNode;
    Channel channel = 0;
    EndState state = EndState::kUnmade;
    bool connected = false;        // counted among its NIC's queue pairs
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

  struct Grant {
    std::uint32_t end = kNone;  // the granting end; kNone: free
    std::uint32_t generation = 0;
    Bytes memory;
  };

  struct Packet {
    TransferId transfer = kNone;
    TimePs time = 0;
  };

  struct Nic {
    TimePs engine_free = 0;   // send engine
    TimePs uplink_free = 0;
    TransferId first_data = kNone, last_data = kNone;
    TransferId first_ack = kNone, last_ack = kNone;
    TimePs port_free = 0;     // the switch's output port towards this node
    TimePs receive_free = 0;
    Ring<Packet> downlink;
    Ring<Event> inbox;
    std::uint64_t bytes_sent = 0;
    std::uint64_t next_tag = 1;
    std::int64_t connected = 0;
    TimePs died = kPsNever;
    QueuePairCache queue_pairs;
    std::vector<std::uint32_t> dialled;   // channel -> end + 1
    std::vector<std::uint32_t> accepted;  // channel - kFirstAccepted -> end + 1
    std::vector<Grant> grants;
    std::vector<std::uint32_t> free_grants;
    std::vector<Bytes> regions;

    explicit Nic(std::int64_t cached) : queue_pairs(cached) {}
  };

  End& end(std::uint32_t id) { return connections_[id / 2].ends[id % 2]; }
  std::uint32_t find_end(const Nic& nic, Channel channel) const;
  TransferId take_transfer();
  void free_transfer(TransferId id) { free_transfers_.push_back(id); }
  TransferId prepare_connect(NodeId node, const Op& op);
  TransferId prepare_revoke(NodeId node, Channel channel, std::uint32_t end);
  void fill(Transfer& transfer, const Op& op);

  // network.cc: the way of packets.
  void send(TransferId id, TimePs time);  // onto the sender's uplink
  void send_ack(TransferId id);           // turns a landed op into its acknowledgement
  void at_switch(std::uint32_t node);
  void ack_at_switch(std::uint32_t node);
  void to_port(NodeId node, TransferId id, std::int64_t wire_bytes, bool first, bool last);
  NodeId delivered(std::uint32_t node);
  std::uint32_t packet_bytes(const Transfer& transfer, std::uint32_t done) const {
    return std::min(static_cast<std::uint32_t>(hw_.network_mtu), transfer.size - done);
  }

  // network_ends.cc: connections, grants, and what an arrival does.
  NodeId message_landed(TransferId id, End& to);
  NodeId write_landed(TransferId id, End& to, std::uint32_t bytes);
  NodeId read_requested(TransferId id, End& to);
  NodeId read_landed(TransferId id, End& to, std::uint32_t bytes);
  NodeId acknowledged(TransferId id, End& to);
  NodeId control_landed(TransferId id, End& to);
  NodeId nic_done(TransferId id);
  NodeId local_done(TransferId id);
  NodeId accept(TransferId id);
  void land(std::byte* to, const Transfer& write, std::uint32_t bytes) const;
  std::byte* granted(const Transfer& transfer, const End& at, std::uint64_t size);
  RemoteKey make_grant(std::uint32_t end, Bytes memory);
  void release_held(End& at);
  NodeId take_down(std::uint32_t end);
  void send_close(std::uint32_t from_end);
  void time_out(TransferId id, std::uint32_t silent_end);
  void became_up(std::uint32_t end);
  void became_dead(std::uint32_t end);
  void raise(const End& at, Event event);
  void drop(TransferId id);
  void tear(std::uint32_t node);

  // Times per byte as 48.16 fixed point.
  struct Rate {
    std::int64_t ps_16 = 0;
    explicit Rate(std::int64_t bits_per_second) : ps_16((8'000'000'000'000 << 16) / bits_per_second) {}
    TimePs time(std::int64_t bytes) const { return (bytes * ps_16) >> 16; }
  };

  EventQueue& queue_;
  const HardwareProfile hw_;
  const Rate uplink_rate_;  // the slower of port and DMA
  const Rate port_rate_;
  const Rate dma_rate_;
  std::deque<Nic> nics_;
  std::vector<Connection> connections_;
  std::vector<Transfer> transfers_;
  std::vector<TransferId> free_transfers_;
  BufferPool messages_;
};

}  // namespace slipstream::sim
