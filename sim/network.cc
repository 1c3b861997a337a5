#include "sim/network.h"

#include <cstring>

namespace slipstream::sim {

Network::Network(EventQueue& queue, const HardwareProfile& hardware)
    : queue_(queue),
      hw_(hardware),
      uplink_rate_(std::min(hardware.network_port_rate, hardware.nic_dma_rate)),
      port_rate_(hardware.network_port_rate),
      dma_rate_(hardware.nic_dma_rate) {}

NodeId Network::add_node() {
  nics_.emplace_back(hw_.nic_queue_pairs);
  return NodeId{static_cast<std::uint16_t>(nics_.size() - 1)};
}

void Network::add_region(NodeId node, Bytes memory) { nics_[index(node)].regions.push_back(memory); }

NodeId Network::handle(Happening kind, std::uint32_t what) {
  switch (kind) {
    case Happening::kDataAtSwitch: at_switch(what); return kNoNode;
    case Happening::kAckAtSwitch: ack_at_switch(what); return kNoNode;
    case Happening::kDelivery: return delivered(what);
    case Happening::kNicDone: return nic_done(what);
    case Happening::kTold: return NodeId{static_cast<std::uint16_t>(what)};
    case Happening::kGiveUp: return give_up(what);
    case Happening::kRelease: release_late(what); return kNoNode;
    case Happening::kSettle: settle(what, false); return kNoNode;
    default: SLIP_CHECK(false, "not an event of the network"); return kNoNode;
  }
}

TransferId Network::take_transfer() {
  if (free_transfers_.empty()) {
    transfers_.emplace_back();
    return static_cast<TransferId>(transfers_.size() - 1);
  }
  const TransferId id = free_transfers_.back();
  free_transfers_.pop_back();
  Transfer& t = transfers_[id];
  t.slices = 0;
  t.answers = false;
  t.listed = false;
  t.fate = Fate::kWhole;
  t.next = t.next_read = kNone;
  t.size = t.switched = t.landed = 0;
  return id;
}

TransferId Network::prepare(NodeId node, const Op& op) {
  if (op.kind == OpKind::kConnect) return prepare_connect(node, op);
  const std::uint32_t at = find_end(nics_[index(node)], op.channel);
  if (op.kind == OpKind::kRevoke) return prepare_revoke(node, op.channel, at);
  if (at == kNone || end(at).state != EndState::kUp) return kNone;
  const TransferId id = take_transfer();
  Transfer& t = transfers_[id];
  t.op = op.kind;
  t.connection = at / 2;
  t.from = at % 2;
  t.ticket = op.ticket;
  t.key = op.key;
  t.offset = op.offset;
  fill(t, op);
  End& from = end(at);
  t.sequence = from.next_sequence++;
  if (t.kind != Kind::kLocal) {
    SLIP_CHECK(from.unacknowledged < kWindowOps, "node {}, channel {}: more than the window", index(node), op.channel);
    ++from.unacknowledged;
  }
  if (unusual_) [[unlikely]]
    return interfere(id);
  return id;
}

void Network::fill(Transfer& t, const Op& op) {
  SLIP_CHECK(op.body.size() <= kMaxSlices, "{} slices", op.body.size());
  std::size_t body_bytes = 0;
  for (const Slice& slice : op.body) body_bytes += slice.size;
  switch (op.kind) {
    case OpKind::kSend: {
      const std::size_t size = op.head.size() + body_bytes;
      SLIP_CHECK(size <= kMaxMessage, "message of {} B", size);
      t.kind = Kind::kMessage;
      t.answers = op.answers != 0;
      t.size = static_cast<std::uint32_t>(size);
      t.memory = {messages_.take(size), size};
      std::byte* to = t.memory.data();
      if (!op.head.empty()) std::memcpy(to, op.head.data(), op.head.size());
      to += op.head.size();
      for (const Slice& slice : op.body) {
        if (slice.size != 0) std::memcpy(to, slice.data, slice.size);
        to += slice.size;
      }
      break;
    }
    case OpKind::kWrite:
      t.kind = Kind::kWrite;
      t.size = static_cast<std::uint32_t>(body_bytes);
      t.slices = static_cast<std::uint8_t>(op.body.size());
      std::copy(op.body.begin(), op.body.end(), t.body);
      break;
    case OpKind::kRead:
      t.kind = Kind::kReadRequest;
      t.memory = op.local;
      break;
    default: t.kind = Kind::kLocal; t.memory = op.local;
  }
}

void Network::launch(TransferId id, TimePs time) {
  Transfer& t = transfers_[id];
  switch (t.kind) {
    case Kind::kConnect: return push(time + hw_.nic_connect, Happening::kNicDone, id);
    case Kind::kLocal:
      return push(time + (t.op == OpKind::kRevoke ? hw_.nic_revoke : hw_.nic_grant), Happening::kNicDone, id);
    default: break;
  }
  End& from = connections_[t.connection].ends[t.from];
  if (from.state != EndState::kUp) return drop(id);
  if (t.kind == Kind::kReadRequest) {
    (from.first_read == kNone ? from.first_read : transfers_[from.last_read].next_read) = id;
    from.last_read = id;
    t.next_read = kNone;
    t.listed = true;
  }
  if (unusual_) [[unlikely]]
    saw_sent(t, time);
  send(id, time);
}

void Network::send(TransferId id, TimePs time) {
  Transfer& t = transfers_[id];
  const End& from = connections_[t.connection].ends[t.from];
  Nic& nic = nics_[index(from.node)];
  TimePs start = time + hw_.nic_per_queue_pair * nic.connected;
  if ((t.kind == Kind::kMessage || t.kind == Kind::kWrite) && t.size > hw_.nic_inline_limit) start += hw_.nic_fetch;
  start = std::max(start, nic.engine_free);
  if (from.connected && nic.queue_pairs.misses(from.queue_pair)) start += hw_.nic_queue_pair_miss;
  nic.engine_free = start + hw_.nic_send_gap;

  const std::uint32_t first = packet_bytes(t, 0);
  const TimePs first_time = uplink_rate_.time(first + hw_.network_packet_header);
  TimePs all_time = first_time;
  std::int64_t packets = 1;
  if (t.size > first) {
    const std::int64_t whole = t.size / hw_.network_mtu;
    const std::int64_t rest = t.size % hw_.network_mtu;
    packets = whole + (rest != 0);
    all_time = whole * first_time + (rest != 0 ? uplink_rate_.time(rest + hw_.network_packet_header) : 0);
  }
  start = std::max(start, nic.uplink_free);
  nic.uplink_free = start + all_time;
  nic.bytes_sent += static_cast<std::uint64_t>(t.size + packets * hw_.network_packet_header);
  t.next = kNone;
  t.switched = 0;
  t.landed = 0;
  t.at_switch = start + first_time + hw_.nic_send_latency + hw_.network_wire / 2;
  if (nic.first_data == kNone) {
    nic.first_data = id;
    push(t.at_switch, Happening::kDataAtSwitch, index(from.node));
  } else {
    transfers_[nic.last_data].next = id;
  }
  nic.last_data = id;
}

// The responder's NIC answers. Its answers pass ahead of the data that waits for the uplink, and push that data back.
// Nobody waits for the answer to an op without a ticket: it only takes its share of the link.
void Network::send_ack(TransferId id) {
  Transfer& t = transfers_[id];
  Connection& connection = connections_[t.connection];
  const End& responder = connection.ends[1 - t.from];
  Nic& nic = nics_[index(responder.node)];
  const TimePs now = queue_.now();
  const TimePs time = uplink_rate_.time(hw_.network_ack_packet);
  nic.uplink_free = std::max(nic.uplink_free, now) + time;
  nic.bytes_sent += static_cast<std::uint64_t>(hw_.network_ack_packet);
  if (t.ticket == 0 && !(disturbed_ && is_cut(responder.node, connection.ends[t.from].node))) {
    --connection.ends[t.from].unacknowledged;
    free_transfer(id);
    return;
  }
  t.kind = Kind::kAck;
  t.from ^= 1;
  t.next = kNone;
  t.at_switch = now + time + hw_.nic_send_latency + hw_.network_wire / 2;
  if (nic.first_ack == kNone) {
    nic.first_ack = id;
    push(t.at_switch, Happening::kAckAtSwitch, index(responder.node));
  } else {
    transfers_[nic.last_ack].next = id;
  }
  nic.last_ack = id;
}

void Network::at_switch(std::uint32_t node) {
  Nic& nic = nics_[node];
  const TransferId id = nic.first_data;
  Transfer& t = transfers_[id];
  const std::uint32_t bytes = packet_bytes(t, t.switched);
  const bool first = t.switched == 0;
  t.switched += bytes;
  const bool last = t.switched == t.size;
  if (last) {
    nic.first_data = t.next;
    if (t.next != kNone) {
      push(transfers_[t.next].at_switch, Happening::kDataAtSwitch, node);
    }
  } else {
    t.at_switch += uplink_rate_.time(packet_bytes(t, t.switched) + hw_.network_packet_header);
    push(t.at_switch, Happening::kDataAtSwitch, node);
  }
  const std::int64_t wire_bytes = bytes + hw_.network_packet_header;
  if (disturbed_ && held_back(id, wire_bytes, first, last)) [[unlikely]]
    return;
  to_port(connections_[t.connection].ends[1 - t.from].node, id, wire_bytes, first, last);
}

void Network::ack_at_switch(std::uint32_t node) {
  Nic& nic = nics_[node];
  const TransferId id = nic.first_ack;
  const Transfer& t = transfers_[id];
  nic.first_ack = t.next;
  if (t.next != kNone) {
    push(transfers_[t.next].at_switch, Happening::kAckAtSwitch, node);
  }
  if (disturbed_ && held_back(id, hw_.network_ack_packet, false, false)) [[unlikely]]
    return;
  to_port(connections_[t.connection].ends[1 - t.from].node, id, hw_.network_ack_packet, false, false);
}

// Cut-through: a packet leaves one switch hop after it came, or when the port has sent what came before it.
void Network::to_port(NodeId node, TransferId id, std::int64_t bytes, bool first, bool last) {
  Nic& nic = nics_[index(node)];
  nic.port_free = std::max(queue_.now() + hw_.network_switch_hop, nic.port_free + port_rate_.time(bytes));
  TimePs arrival = std::max(nic.port_free + hw_.network_wire / 2, nic.receive_free);
  if (first) {
    const Transfer& t = transfers_[id];
    const End& to = connections_[t.connection].ends[1 - t.from];
    if (to.connected && nic.queue_pairs.misses(to.queue_pair)) arrival += hw_.nic_queue_pair_miss;
  }
  nic.receive_free = arrival + std::max(last ? hw_.nic_receive_gap : 0, dma_rate_.time(bytes));
  const TimePs in_memory = arrival + hw_.nic_receive_latency;
  if (nic.downlink.empty()) push(in_memory, Happening::kDelivery, index(node));
  nic.downlink.push({id, in_memory});
}

NodeId Network::delivered(std::uint32_t node) {
  Nic& nic = nics_[node];
  const TransferId id = nic.downlink.front().transfer;
  nic.downlink.pop();
  if (!nic.downlink.empty()) {
    push(nic.downlink.front().time, Happening::kDelivery, node);
  }
  Transfer& t = transfers_[id];
  End& to = connections_[t.connection].ends[1 - t.from];
  switch (t.kind) {
    case Kind::kMessage:
      t.landed += packet_bytes(t, t.landed);
      return t.landed == t.size ? message_landed(id, to) : kNoNode;
    case Kind::kWrite: return write_landed(id, to, packet_bytes(t, t.landed));
    case Kind::kReadRequest: return read_requested(id, to);
    case Kind::kReadReply: return read_landed(id, to, packet_bytes(t, t.landed));
    case Kind::kAck: return acknowledged(id, to);
    case Kind::kVoid: swallow(id); return kNoNode;
    default: return control_landed(id, to);
  }
}

}  // namespace slipstream::sim
