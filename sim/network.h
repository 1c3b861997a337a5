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
#include "core/node/trace.h"

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
  // nothing lands in it, and each living peer's channel goes down when its NIC gives up. Regions are no more.
  void kill(NodeId node);
  // A new life of a dead node: a NIC without connections, grants and regions. Nothing of the old life reaches it.
  void revive(NodeId node);
  bool alive(NodeId node) const { return nics_[index(node)].alive; }
  // Of an op that was prepared and is never to be launched.
  void discard(TransferId transfer) { drop(transfer); }

  // Nothing passes the switch from one node to the other, until as many heal()s: it is held back, and passes then. A
  // NIC that waits for an acknowledgement longer than nic.timeout gives up, and its channel is dead.
  void cut(NodeId from, NodeId to);
  void heal(NodeId from, NodeId to);
  // Kills the channels between two nodes, or all of the one; what is not acknowledged is of unknown outcome. How many.
  std::size_t lose_channels(NodeId node, NodeId peer);
  void set_interference(Interference* interference);
  void observe(Observer* observer);

  // Before the first op: a write is visible in any order of its bytes or blocks until all of it is, `settle` after it
  // arrived; only then it is acknowledged. WriteOrder::kWhole: packet by packet, at once.
  void set_write_order(WriteOrder order, TimePs settle, std::uint64_t seed);
  WriteOrder write_order() const { return order_; }

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
  NodeId write_refused(TransferId id, std::uint32_t bytes);
  void hand_over(const Transfer& message, const End& to);
  NodeId read_requested(TransferId id, End& to);
  NodeId read_landed(TransferId id, End& to, std::uint32_t bytes);
  NodeId acknowledged(TransferId id, End& to);
  NodeId control_landed(TransferId id, End& to);
  NodeId nic_done(TransferId id);
  NodeId local_done(TransferId id);
  NodeId accept(TransferId id);
  void land(std::byte* to, const Transfer& write, std::uint32_t from, std::uint32_t bytes) const;
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

  // network_trace.cc: only with an observer.
  void saw(TraceKind kind, const Transfer& transfer, NodeId node, NodeId peer, TimePs time) const;
  void saw_sent(const Transfer& transfer, TimePs time) const;
  void saw_down(std::uint32_t end) const;

  // network_faults.cc: deaths, partitions, late and torn writes.
  void cut_uplink(std::uint32_t node);
  void cut_acks(std::uint32_t node);
  void stop_nic(NodeId node);
  void keep_last_words(NodeId node);
  void own_bytes(Transfer& write);
  bool held_back(TransferId id, std::int64_t wire_bytes, bool first, bool last);
  NodeId give_up(std::uint32_t what);
  void let_go(std::uint32_t source);
  void break_off(std::uint32_t source, Hold& hold);
  void make_void(TransferId id);
  void swallow(TransferId id);
  NodeId echoed(TransferId id);
  TransferId interfere(TransferId id);
  bool message_lost(TransferId id, NodeId to);
  void lose(std::uint32_t connection);
  void begin_late(TransferId id, Hold& hold, bool fresh);
  void release_late(std::uint32_t source);
  NodeId land_torn(TransferId id, std::byte* memory);
  void overtake(TransferId torn, WriteOrder order, Rng& draws);
  void scatter(std::byte* to, const Transfer& write, std::uint32_t from, std::uint32_t until, WriteOrder order,
               Rng& draws) const;
  NodeId message_landed_unusually(TransferId id, End& to);
  NodeId write_landed_unusually(TransferId id, std::byte* memory, std::uint32_t bytes);
  void forget_unsettled(std::uint32_t at);
  void settle(std::uint32_t at, bool all);
  void tell(NodeId node);
  bool is_cut(NodeId from, NodeId to) const { return odd_.cuts.contains({index(from), index(to)}); }
  void note_unusual() { unusual_ = interference_ != nullptr || observer_ != nullptr || order_ != WriteOrder::kWhole; }
  void note_disturbance() { disturbed_ = !odd_.cuts.empty() || !odd_.holds.empty() || odd_.late > 0; }

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
  bool unusual_ = false;    // somebody interferes or looks on, or writes keep less order
  bool disturbed_ = false;  // something may be held back at the switch
  Interference* interference_ = nullptr;
  Observer* observer_ = nullptr;
  WriteOrder order_ = WriteOrder::kWhole;
  Anomalies odd_;
};

}  // namespace slipstream::sim
