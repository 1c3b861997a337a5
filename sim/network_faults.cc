// What goes wrong in a network: deaths of nodes and their later lives, partitions, and what is held back by them.
#include <cstring>

#include "sim/network.h"

namespace slipstream::sim {

// Only the given node's inbox is looked at when something happens to it; a fault may fill others'.
void Network::tell(NodeId node) { push(queue_.now(), Happening::kTold, index(node)); }

// Deaths.

void Network::kill(NodeId node) {
  Nic& nic = nics_[index(node)];
  if (!nic.alive) return;
  nic.alive = false;
  cut_uplink(index(node));
  cut_acks(index(node));
  stop_nic(node);
  for (auto& [source, hold] : odd_.holds) {
    if (end(source).node == node && hold.release_at == kPsNever) break_off(source, hold);
  }
  keep_last_words(node);
  for (std::uint32_t id = 0; id < connections_.size() * 2; ++id) {
    if (end(id).node != node) continue;
    if (end(id).connected) time_out(take_transfer(), id);
    if (end(id).state != EndState::kUnmade) became_dead(id);
    end(id).silent = end(id).state == EndState::kDead;
  }
  for (; !nic.inbox.empty(); nic.inbox.pop()) release(nic.inbox.front());
  nic.regions.clear();
}

void Network::revive(NodeId node) {
  Nic& nic = nics_[index(node)];
  SLIP_CHECK(!nic.alive, "node {} lives", index(node));
  nic.alive = true;
  nic.engine_free = nic.uplink_free = queue_.now();
  nic.queue_pairs = QueuePairCache(hw_.nic_queue_pairs);
  nic.dialled.clear();
  nic.accepted.clear();  // grants stay, all ended: a key is never used again
}

// Packets that have left go on; the rest of the uplink's queue never arrives.
void Network::cut_uplink(std::uint32_t node) {
  Nic& nic = nics_[node];
  const TimePs way = hw_.nic_send_latency + hw_.network_wire / 2;
  TransferId kept = kNone;
  for (TransferId id = nic.first_data; id != kNone;) {
    Transfer& t = transfers_[id];
    const TransferId next = t.next;
    std::uint32_t left = t.switched;
    bool any = false;
    for (TimePs at = t.at_switch; at - way <= queue_.now() && (!any || left < t.size);) {
      left += packet_bytes(t, left);
      any = true;
      at += uplink_rate_.time(packet_bytes(t, left) + hw_.network_packet_header);
    }
    if (!any || left < t.size) {
      t.fate = Fate::kCut;
      t.size = left;
    }
    if (any) {
      (kept == kNone ? nic.first_data : transfers_[kept].next) = id;
      kept = id;
    } else if (t.landed == t.size) {
      drop(id);
    }
    id = next;
  }
  if (kept != kNone) {
    transfers_[kept].next = kNone;
    nic.last_data = kept;
    return;
  }
  nic.first_data = kNone;
  queue_.take_out([node](const QueuedEvent& event) {
    return static_cast<Happening>(event.kind) == Happening::kDataAtSwitch && event.what == node;
  });
}

void Network::cut_acks(std::uint32_t node) {
  Nic& nic = nics_[node];
  const TimePs way = hw_.nic_send_latency + hw_.network_wire / 2;
  TransferId kept = kNone;
  for (TransferId id = nic.first_ack; id != kNone;) {
    const TransferId next = transfers_[id].next;
    if (transfers_[id].at_switch - way <= queue_.now()) {
      (kept == kNone ? nic.first_ack : transfers_[kept].next) = id;
      kept = id;
    } else {
      drop(id);
    }
    id = next;
  }
  if (kept != kNone) {
    transfers_[kept].next = kNone;
    nic.last_ack = kept;
    return;
  }
  nic.first_ack = kNone;
  queue_.take_out([node](const QueuedEvent& event) {
    return static_cast<Happening>(event.kind) == Happening::kAckAtSwitch && event.what == node;
  });
}

// What the NIC was doing alone, it does not finish. Who dialled it waits for its time-out.
void Network::stop_nic(NodeId node) {
  const auto is_its = [this, node](const QueuedEvent& event) {
    if (static_cast<Happening>(event.kind) == Happening::kTold) return event.what == index(node);
    if (static_cast<Happening>(event.kind) != Happening::kNicDone) return false;
    const Transfer& t = transfers_[event.what];
    if (t.kind == Kind::kClose) return false;
    return connections_[t.connection].ends[t.kind == Kind::kEcho ? 1 - t.from : t.from].node == node;
  };
  for (const QueuedEvent& event : queue_.take_out(is_its)) {
    if (static_cast<Happening>(event.kind) == Happening::kTold) continue;
    const Transfer& t = transfers_[event.what];
    if (t.kind == Kind::kAccept) {
      time_out(event.what, t.connection * 2 + t.from);
    } else {
      drop(event.what);
    }
  }
}

// What has left the dead node's NIC has its bytes of now, whatever becomes of the memory.
void Network::keep_last_words(NodeId node) {
  std::vector<bool> is_free(transfers_.size());
  for (const TransferId id : free_transfers_) is_free[id] = true;
  for (TransferId id = 0; id < transfers_.size(); ++id) {
    Transfer& t = transfers_[id];
    if (is_free[id] || t.kind != Kind::kWrite || sender(id) != node) continue;
    own_bytes(t);
  }
}

void Network::own_bytes(Transfer& write) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < write.slices; ++i) size += write.body[i].size;
  std::byte* const copy = odd_.last_words.emplace_back(std::make_unique<std::byte[]>(size)).get();
  std::size_t done = 0;
  for (std::size_t i = 0; i < write.slices; ++i) {
    if (write.body[i].size != 0) std::memcpy(copy + done, write.body[i].data, write.body[i].size);
    done += write.body[i].size;
  }
  write.slices = 1;
  write.body[0] = {copy, size};
}

// Its packets under way, if there are any, go on and have no effect.
void Network::make_void(TransferId id) {
  Transfer& t = transfers_[id];
  if (t.fate == Fate::kLate) --odd_.late;
  t.fate = Fate::kWhole;
  switch (t.kind) {
    case Kind::kMessage:
    case Kind::kEcho: messages_.give(t.memory.data(), t.memory.size()); break;
    case Kind::kReadReply: messages_.give(const_cast<std::byte*>(t.body[0].data), t.body[0].size); break;
    case Kind::kWrite:
    case Kind::kVoid: break;
    default: t.size = t.switched = t.landed = 0;  // one packet
  }
  t.kind = Kind::kVoid;
}

void Network::swallow(TransferId id) {
  Transfer& t = transfers_[id];
  t.landed += packet_bytes(t, t.landed);
  if (t.landed == t.size && !t.listed) free_transfer(id);
}

// Partitions.

void Network::cut(NodeId from, NodeId to) {
  ++odd_.cuts[{index(from), index(to)}];
  note_disturbance();
}

void Network::heal(NodeId from, NodeId to) {
  const auto found = odd_.cuts.find({index(from), index(to)});
  SLIP_CHECK(found != odd_.cuts.end(), "nothing to heal between {} and {}", index(from), index(to));
  if (--found->second > 0) return;
  odd_.cuts.erase(found);
  std::vector<std::uint32_t> healed;
  for (const auto& [source, hold] : odd_.holds) {
    if (end(source).node == from && end(source ^ 1).node == to && hold.release_at == kPsNever) healed.push_back(source);
  }
  for (const std::uint32_t source : healed) let_go(source);
  note_disturbance();
}

// A packet at the switch. Behind one that is held back, all of the same end are: a connection keeps its order.
bool Network::held_back(TransferId id, std::int64_t wire_bytes, bool first, bool last) {
  const std::uint32_t source = transfers_[id].connection * 2 + transfers_[id].from;
  const bool late = transfers_[id].fate == Fate::kLate;
  auto found = odd_.holds.find(source);
  const bool fresh = found == odd_.holds.end();
  if (fresh) {
    if (!late && !is_cut(end(source).node, end(source ^ 1).node)) return false;
    found = odd_.holds.emplace(source, Hold{}).first;
  }
  Hold& hold = found->second;
  if (late) begin_late(id, hold, fresh);
  Transfer& t = transfers_[id];
  const bool dead = end(source).state == EndState::kDead && hold.release_at == kPsNever && t.kind != Kind::kClose;
  if (dead && t.kind != Kind::kVoid) {  // nobody sends it again
    make_void(id);
    break_off(source, hold);
  }
  if (t.kind == Kind::kVoid) {
    swallow(id);
    return true;
  }
  hold.packets.push_back({id, wire_bytes, first, last});
  if (hold.release_at != kPsNever) {
    if (t.kind == Kind::kWrite && first) own_bytes(t);
    return true;
  }
  // Answers are waited for by who gets them; a close only tells what its receiver's NIC would find out, too.
  const bool other =
      t.kind == Kind::kAck || t.kind == Kind::kReadReply || t.kind == Kind::kAccept || t.kind == Kind::kClose;
  if (hold.gives_up_at[other ? 1 : 0] == kPsNever) {
    hold.gives_up_at[other ? 1 : 0] = queue_.now() + hw_.nic_timeout;
    push(queue_.now() + hw_.nic_timeout, Happening::kGiveUp, source * 2 + (other ? 1 : 0));
  }
  return true;
}

NodeId Network::give_up(std::uint32_t what) {
  const std::uint32_t source = what / 2;
  const auto hold = odd_.holds.find(source);
  if (hold == odd_.holds.end() || hold->second.gives_up_at[what % 2] != queue_.now()) return kNoNode;
  hold->second.gives_up_at[what % 2] = kPsNever;
  const std::uint32_t waits = source ^ (what % 2);
  if (end(waits).state == EndState::kDead) return kNoNode;
  const auto sent = odd_.holds.find(waits);
  if (sent != odd_.holds.end()) break_off(waits, sent->second);
  const bool revoking = end(waits).state == EndState::kRevoking;
  if (revoking) return kNoNode;
  const NodeId told = take_down(waits);
  send_close(waits);
  return told;
}

// What was held back passes the switch.
void Network::let_go(std::uint32_t source) {
  const auto found = odd_.holds.find(source);
  const std::vector<HeldPacket> packets = std::move(found->second.packets);
  odd_.holds.erase(found);
  const NodeId to = end(source ^ 1).node;
  for (const HeldPacket& packet : packets) {
    to_port(to, packet.transfer, packet.wire_bytes, packet.first, packet.last);
  }
  note_disturbance();
}

// What was held back is lost, so what is behind it on the same connection has no effect either. A close is not part of
// the connection's order.
void Network::break_off(std::uint32_t source, Hold& hold) {
  std::vector<HeldPacket> closes;
  for (const HeldPacket& packet : hold.packets) {
    if (transfers_[packet.transfer].kind == Kind::kClose) {
      closes.push_back(packet);
    } else {
      make_void(packet.transfer);
      swallow(packet.transfer);
    }
  }
  hold.packets = std::move(closes);
  for (TransferId id = nics_[index(end(source).node)].first_data; id != kNone; id = transfers_[id].next) {
    const Transfer& t = transfers_[id];
    if (t.connection * 2 + t.from == source && t.kind != Kind::kClose) make_void(id);
  }
}

// A write that its writer believes lost: the writer's channel dies now, and all that it sent on it from this write on,
// its end included, passes the switch later. When a partition holds it back already, it is held by that.
void Network::begin_late(TransferId id, Hold& hold, bool fresh) {
  Transfer& t = transfers_[id];
  t.fate = Fate::kWhole;
  --odd_.late;
  if (!fresh) return;
  const std::uint32_t source = t.connection * 2 + t.from;
  hold.release_at = queue_.now() + odd_.rigged.at(id).lasts;
  push(hold.release_at, Happening::kRelease, source);
  if (interference_ != nullptr) interference_->struck(odd_.rigged.at(id), end(source).node, end(source ^ 1).node);
  if (end(source).state != EndState::kUp) return;
  tell(take_down(source));
  send_close(source);
}

void Network::release_late(std::uint32_t source) {
  const auto found = odd_.holds.find(source);
  if (found != odd_.holds.end() && found->second.release_at == queue_.now()) let_go(source);
}

// Losses, torn writes, messages that are lost or come twice.

std::size_t Network::lose_channels(NodeId node, NodeId peer) {
  std::size_t lost = 0;
  for (std::uint32_t id = 0; id < connections_.size() * 2; ++id) {
    if (end(id).state != EndState::kUp || end(id).node != node) continue;
    if (peer != kNoNode && end(id ^ 1).node != peer) continue;
    lose(id / 2);
    ++lost;
  }
  return lost;
}

void Network::lose(std::uint32_t connection) {
  for (const std::uint32_t id : {connection * 2, connection * 2 + 1}) {
    if (end(id).state == EndState::kUp || end(id).state == EndState::kConnecting) tell(take_down(id));
  }
}

// Of an op that was just prepared.
TransferId Network::interfere(TransferId id) {
  Transfer& t = transfers_[id];
  if (interference_ == nullptr || t.kind == Kind::kLocal) return id;
  const NodeId peer = connections_[t.connection].ends[1 - t.from].node;
  const OpVerdict verdict = interference_->on_post(sender(id), peer, t.op);
  switch (verdict.kind) {
    case OpVerdict::kFine: return id;
    case OpVerdict::kChannelLoss: {
      const std::uint32_t connection = t.connection;
      drop(id);
      lose(connection);
      return kNone;
    }
    case OpVerdict::kTorn: t.fate = Fate::kTorn; break;
    case OpVerdict::kLate:
      t.fate = Fate::kLate;
      ++odd_.late;
      note_disturbance();
      break;
  }
  odd_.rigged[id] = verdict;
  return id;
}

// Some of the write's bytes are there, and its channel is dead.
NodeId Network::land_torn(TransferId id, std::byte* memory) {
  const OpVerdict verdict = odd_.rigged.at(id);
  const std::uint32_t at = transfers_[id].connection * 2 + (1u - transfers_[id].from);
  settle(at, true);
  const Transfer& t = transfers_[id];
  Rng draws(verdict.salt, "torn-write");
  if (verdict.tear == Tear::kWhole) {
    land(memory, t, 0, static_cast<std::uint32_t>(verdict.salt % (t.size + 1ull)));
  } else {
    const WriteOrder order = verdict.tear == Tear::kBlocks ? WriteOrder::kBlocks : WriteOrder::kNone;
    scatter(memory, t, 0, t.size, order, draws);
    overtake(id, order, draws);
  }
  make_void(id);
  swallow(id);
  if (interference_ != nullptr) interference_->struck(verdict, end(at ^ 1).node, end(at).node);
  lose(at / 2);
  return kNoNode;
}

// Where a write keeps no order, the writes of a channel keep none either (relaxed ordering, packets placed as they
// come): of those that have left behind the torn one, any may be there too, in part or whole.
void Network::overtake(TransferId torn, WriteOrder order, Rng& draws) {
  const Transfer& first = transfers_[torn];
  const std::uint32_t source = first.connection * 2 + first.from;
  std::vector<TransferId> behind;
  const Ring<Packet>& arriving = nics_[index(end(source ^ 1).node)].downlink;
  for (std::size_t i = 0; i < arriving.size(); ++i) behind.push_back(arriving[i].transfer);
  const Nic& nic = nics_[index(end(source).node)];
  for (TransferId id = nic.first_data; id != kNone; id = transfers_[id].next) behind.push_back(id);
  TransferId last = torn;
  for (const TransferId id : behind) {
    const Transfer& t = transfers_[id];
    if (t.kind != Kind::kWrite || t.connection * 2 + t.from != source || id == torn || id == last) continue;
    last = id;
    if ((t.fate != Fate::kWhole && t.fate != Fate::kCut) || !draws.chance(1, 2)) continue;
    if (std::byte* const memory = granted(t, end(source ^ 1), t.size)) scatter(memory, t, 0, t.size, order, draws);
  }
}

// Some of the bytes that arrived as [from, until) of a write, and of the block that `from` is in the middle of. Blocks
// are counted from the start of the grant; one that is not all here yet is left out.
void Network::scatter(std::byte* to, const Transfer& write, std::uint32_t from, std::uint32_t until, WriteOrder order,
                      Rng& draws) const {
  static constexpr std::uint64_t kSixteenths[] = {1, 8, 15};
  const std::uint64_t density = kSixteenths[draws.below(3)];
  if (order == WriteOrder::kNone) {
    for (std::uint32_t at = from; at < until; ++at) {
      if (draws.chance(density, 16)) land(to, write, at, 1);
    }
    return;
  }
  constexpr std::uint64_t kBlock = 128;
  std::uint64_t block = (write.offset + from) / kBlock * kBlock;
  for (; block < write.offset + until; block += kBlock) {
    const std::uint64_t begin = std::max(block, write.offset);
    const std::uint64_t stop = std::min(block + kBlock, write.offset + write.size);
    if (stop > write.offset + until || !draws.chance(density, 16)) continue;
    land(to, write, static_cast<std::uint32_t>(begin - write.offset), static_cast<std::uint32_t>(stop - begin));
  }
}

void Network::set_write_order(WriteOrder order, TimePs settle, std::uint64_t seed) {
  order_ = order;
  odd_.settle = settle;
  odd_.scatter = Rng(seed, "write-order");
  note_unusual();
}

// With a fault at work, an observer, or writes that keep less order.
NodeId Network::write_landed_unusually(TransferId id, std::byte* memory, std::uint32_t bytes) {
  Transfer& t = transfers_[id];
  if (t.fate == Fate::kTorn) return land_torn(id, memory);
  if (order_ == WriteOrder::kWhole) {
    land(memory, t, t.landed, bytes);
  } else {
    scatter(memory, t, t.landed, t.landed + bytes, order_, odd_.scatter);
  }
  t.landed += bytes;
  if (t.landed < t.size) return kNoNode;
  if (t.fate == Fate::kCut) {
    free_transfer(id);
    return kNoNode;
  }
  const std::uint32_t at = t.connection * 2 + (1u - t.from);
  if (observer_ != nullptr) saw(TraceKind::kWriteLanded, t, end(at).node, sender(id), queue_.now());
  if (order_ == WriteOrder::kWhole) {
    send_ack(id);
  } else {
    t.at_switch = queue_.now() + odd_.settle;
    odd_.unsettled[at].push_back(id);
    push(t.at_switch, Happening::kSettle, at);
  }
  return kNoNode;
}

// All of the oldest write is visible, when its time has come; or of all writes, because what comes next must find them.
void Network::settle(std::uint32_t at, bool all) {
  const auto found = odd_.unsettled.find(at);
  if (found == odd_.unsettled.end()) return;
  std::deque<TransferId>& writes = found->second;
  while (!writes.empty() && (all || transfers_[writes.front()].at_switch <= queue_.now())) {
    const Transfer& t = transfers_[writes.front()];
    if (std::byte* const memory = granted(t, end(at), t.size)) land(memory, t, 0, t.size);
    send_ack(writes.front());
    writes.pop_front();
  }
  if (writes.empty()) odd_.unsettled.erase(found);
}

void Network::forget_unsettled(std::uint32_t at) {
  const auto found = odd_.unsettled.find(at);
  if (found == odd_.unsettled.end()) return;
  for (const TransferId id : found->second) free_transfer(id);
  odd_.unsettled.erase(found);
}

NodeId Network::message_landed_unusually(TransferId id, End& to) {
  settle(transfers_[id].connection * 2 + (1u - transfers_[id].from), true);
  if (interference_ != nullptr && message_lost(id, to.node)) return kNoNode;
  hand_over(transfers_[id], to);
  if (observer_ != nullptr) saw(TraceKind::kMessageDelivered, transfers_[id], to.node, sender(id), queue_.now());
  send_ack(id);
  return to.node;
}

// True: the receiver is not to see the message, though it is acknowledged.
bool Network::message_lost(TransferId id, NodeId to) {
  const MessageVerdict verdict = interference_->on_message(to, sender(id));
  if (verdict.kind == MessageVerdict::kFine) return false;
  if (verdict.kind == MessageVerdict::kLost) {
    messages_.give(transfers_[id].memory.data(), transfers_[id].memory.size());
    send_ack(id);
    return true;
  }
  const TransferId echo = take_transfer();
  Transfer& t = transfers_[echo];
  const Transfer& message = transfers_[id];
  t.kind = Kind::kEcho;
  t.connection = message.connection;
  t.from = message.from;
  t.answers = message.answers;
  t.memory = {messages_.take(message.memory.size()), message.memory.size()};
  std::copy(message.memory.begin(), message.memory.end(), t.memory.begin());
  push(queue_.now() + verdict.later, Happening::kNicDone, echo);
  return false;
}

// A message comes a second time.
NodeId Network::echoed(TransferId id) {
  Transfer& t = transfers_[id];
  const End& to = connections_[t.connection].ends[1 - t.from];
  if (to.state != EndState::kUp) {
    drop(id);
    return kNoNode;
  }
  hand_over(t, to);
  if (observer_ != nullptr) saw(TraceKind::kMessageDelivered, t, to.node, sender(id), queue_.now());
  free_transfer(id);
  return to.node;
}

}  // namespace slipstream::sim
