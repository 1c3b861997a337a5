// The simulated network: NICs, links and one switch in a star, and the state of all connections. It carries the ops of
// core/fabric/fabric.h between nodes, really moves their bytes, and puts what a node is to be told into its inbox.
//
// The way of a message, in picoseconds (fields of sim/hardware.h):
//   posted -> [fetch, when above the inline limit] -> the NIC's send engine (one message per send gap, queue-pair
//   cache) -> uplink, packet by packet -> half the wire -> switch hop, output port (a queue: incast waits here)
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

#include "core/fabric/fabric.h"
#include "sim/buffer_pool.h"
#include "sim/event_queue.h"
#include "sim/events.h"
#include "sim/hardware.h"
#include "sim/network_state.h"
#include "sim/rate.h"

namespace slipstream::sim {

class Network {
 public:
  Network(EventQueue& queue, const HardwareProfile& hardware);

  NodeId add_node();
  std::size_t nodes() const { return nics_.size(); }
  void add_region(NodeId node, Bytes memory);

  // Takes an op from a node; heads and messages' bytes are copied now. Gives a transfer to be launched later, or
  // kNone when the op is dropped because its channel is not up.
  TransferId prepare(NodeId node, const Op& op);
  // The core has rung the doorbell at `time` (now or later). Must be called for every prepared transfer.
  void launch(TransferId transfer, TimePs time);

  // For one of the network's events: carries it out; gives the node whose inbox got something, or kNoNode.
  NodeId handle(Happening kind, std::uint32_t what);

  // The node dies without a word: what has not left its NIC never arrives (a write may be torn between packets),
  // nothing lands in it, and each living peer's channel goes down when its NIC gives up.
  void kill(NodeId node);

  // Events that wait for the node, oldest first. A message's bytes belong to whoever takes it, until release().
  Ring<Event>& inbox(NodeId node) { return nics_[index(node)].inbox; }
  void release(const Event& event) {
    if (event.kind != EventKind::kMessage) return;
    messages_.give(const_cast<std::byte*>(event.bytes.data()), event.bytes.size());
  }

  OpKind op_kind(TransferId transfer) const { return transfers_[transfer].op; }
  TransferId& next(TransferId transfer) { return transfers_[transfer].next; }  // free for use until launch
  NodeId sender(TransferId transfer) const {
    return connections_[transfers_[transfer].connection].ends[transfers_[transfer].from].node;
  }
  // For who launches later, and must do so in the order of prepare(): the latest time promised to an op of that end.
  TimePs& last_ready(TransferId transfer) {
    return connections_[transfers_[transfer].connection].ends[transfers_[transfer].from].last_ready;
  }

  std::uint64_t bytes_sent(NodeId node) const { return nics_[index(node)].bytes_sent; }
  std::uint64_t queue_pair_misses(NodeId node) const { return nics_[index(node)].queue_pairs.misses(); }

 private:
  using Kind = TransferKind;

  void push(TimePs time, Happening kind, std::uint32_t what) {
    queue_.push(time, static_cast<std::uint32_t>(kind), what);
  }
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
