// Connections, grants, and what an arrival does at its destination.
#include <cstring>

#include "sim/network.h"

namespace slipstream::sim {

std::uint32_t Network::find_end(const Nic& nic, Channel channel) const {
  const std::vector<std::uint32_t>& table = channel < kFirstAccepted ? nic.dialled : nic.accepted;
  const std::size_t at = channel < kFirstAccepted ? channel : channel - kFirstAccepted;
  return at < table.size() ? table[at] - 1 : kNone;  // 0 - 1 is kNone: never used
}

TransferId Network::prepare_connect(NodeId node, const Op& op) {
  Nic& nic = nics_[index(node)];
  SLIP_CHECK(op.channel < kFirstAccepted, "channel {} is for accepted connections", op.channel);
  const std::uint32_t before = find_end(nic, op.channel);
  SLIP_CHECK(before == kNone || end(before).state == EndState::kDead, "channel {} is in use", op.channel);
  const auto connection = static_cast<std::uint32_t>(connections_.size());
  End* const ends = connections_.emplace_back().ends;
  ends[0].node = node;
  ends[0].channel = op.channel;
  ends[0].state = EndState::kConnecting;
  ends[1].node = op.peer;
  if (nic.dialled.size() <= op.channel) nic.dialled.resize(op.channel + 1u, 0);
  nic.dialled[op.channel] = connection * 2 + 1;
  const TransferId id = take_transfer();
  Transfer& t = transfers_[id];
  t.kind = Kind::kConnect;
  t.op = OpKind::kConnect;
  t.from = 0;
  t.connection = connection;
  return id;
}

// The node is done with the channel at once; landing ends with kRevoked, which comes even when the channel is dead.
TransferId Network::prepare_revoke(NodeId node, Channel channel, std::uint32_t at) {
  if (at == kNone) {
    at = static_cast<std::uint32_t>(connections_.size()) * 2;
    End& unknown = connections_.emplace_back().ends[0];
    unknown.node = node;
    unknown.channel = channel;
    unknown.state = EndState::kDead;
  }
  End& revoked = end(at);
  if (revoked.state == EndState::kRevoking) return kNone;
  if (revoked.state != EndState::kDead) revoked.state = EndState::kRevoking;
  const TransferId id = take_transfer();
  Transfer& t = transfers_[id];
  t.kind = Kind::kLocal;
  t.op = OpKind::kRevoke;
  t.connection = at / 2;
  t.from = at % 2;
  return id;
}

void Network::raise(const End& at, Event event) {
  event.channel = at.channel;
  nics_[index(at.node)].inbox.push(event);
}

void Network::became_up(std::uint32_t id) {
  End& at = end(id);
  Nic& nic = nics_[index(at.node)];
  at.state = EndState::kUp;
  at.queue_pair = nic.queue_pairs.add();
  at.connected = true;
  ++nic.connected;
  raise(at, {.kind = EventKind::kConnected, .peer = connections_[id / 2].ends[1 - id % 2].node, .bytes = {}});
}

// Nothing lands through a dead end, and nothing sent through it is reported.
void Network::became_dead(std::uint32_t id) {
  End& at = end(id);
  Nic& nic = nics_[index(at.node)];
  if (at.connected) --nic.connected;
  at.connected = false;
  at.state = EndState::kDead;
  for (TransferId held = at.first_held; held != kNone;) {
    const TransferId next = transfers_[held].next;
    free_transfer(held);
    held = next;
  }
  for (TransferId read = at.first_read; read != kNone;) {
    Transfer& t = transfers_[read];
    const TransferId next = t.next_read;
    t.listed = false;
    if (t.kind == Kind::kVoid && t.landed == t.size) free_transfer(read);
    read = next;
  }
  if (!odd_.unsettled.empty()) forget_unsettled(id);
  at.first_held = at.last_held = at.first_read = at.last_read = kNone;
  for (std::size_t i = 0; i < nic.grants.size(); ++i) {
    if (nic.grants[i].end != id) continue;
    nic.grants[i].end = kNone;
    nic.free_grants.push_back(static_cast<std::uint32_t>(i));
  }
}

NodeId Network::take_down(std::uint32_t id) {
  End& at = end(id);
  const bool told = at.state == EndState::kUp || at.state == EndState::kConnecting;
  became_dead(id);
  if (!told) return kNoNode;
  raise(at, {.kind = EventKind::kDown, .bytes = {}});
  if (observer_ != nullptr) saw_down(id);
  return at.node;
}

void Network::send_close(std::uint32_t from_end) {
  const TransferId id = take_transfer();
  Transfer& t = transfers_[id];
  t.kind = Kind::kClose;
  t.op = OpKind::kRevoke;
  t.connection = from_end / 2;
  t.from = from_end % 2;
  send(id, queue_.now());
}

// The NIC at the other end of `silent_end` gives up after its time-out; `id` waits for that.
void Network::time_out(TransferId id, std::uint32_t silent_end) {
  Transfer& t = transfers_[id];
  t.kind = Kind::kClose;
  t.connection = silent_end / 2;
  t.from = silent_end % 2;
  push(queue_.now() + hw_.nic_timeout, Happening::kNicDone, id);
}

// The end of a transfer that has no packets under way. A read that its reader still counts on stays, without effect,
// until that end is dead.
void Network::drop(TransferId id) {
  make_void(id);
  Transfer& t = transfers_[id];
  t.landed = t.size;
  if (!t.listed) free_transfer(id);
}

// A message is where its receiver finds it, and belongs to it from now on.
void Network::hand_over(const Transfer& message, const End& to) {
  raise(to, {.kind = EventKind::kMessage,
             .peer = connections_[message.connection].ends[message.from].node,
             .is_answer = message.answers,
             .bytes = message.memory,
             .tag = nics_[index(to.node)].next_tag++});
}

NodeId Network::message_landed(TransferId id, End& to) {
  const Transfer& t = transfers_[id];
  if (to.state != EndState::kUp || t.fate == Fate::kCut) {
    drop(id);
    return kNoNode;
  }
  if (unusual_) [[unlikely]]
    return message_landed_unusually(id, to);
  hand_over(t, to);
  send_ack(id);
  return to.node;
}

std::byte* Network::granted(const Transfer& t, const End& at, std::uint64_t size) {
  const Nic& nic = nics_[index(at.node)];
  const std::uint64_t slot = (t.key & 0xffffffff) - 1;
  if (slot >= nic.grants.size()) return nullptr;
  const Grant& grant = nic.grants[slot];
  if (grant.end != t.connection * 2 + (1u - t.from) || grant.generation != t.key >> 32) return nullptr;
  if (t.offset > grant.memory.size() || size > grant.memory.size() - t.offset) return nullptr;
  return grant.memory.data() + t.offset;
}

RemoteKey Network::make_grant(std::uint32_t id, Bytes memory) {
  Nic& nic = nics_[index(end(id).node)];
  if (nic.free_grants.empty()) {
    nic.free_grants.push_back(static_cast<std::uint32_t>(nic.grants.size()));
    nic.grants.emplace_back();
  }
  const std::uint32_t slot = nic.free_grants.back();
  nic.free_grants.pop_back();
  Grant& grant = nic.grants[slot];
  grant.end = id;
  ++grant.generation;
  grant.memory = memory;
  return (static_cast<RemoteKey>(grant.generation) << 32) | (slot + 1);
}

// The one place where a write's bytes reach memory: `bytes` of it, from `from` on.
void Network::land(std::byte* to, const Transfer& write, std::uint32_t from, std::uint32_t bytes) const {
  std::size_t skip = from;
  to += from;
  for (std::size_t i = 0; i < write.slices && bytes > 0; ++i) {
    const Slice& slice = write.body[i];
    if (skip >= slice.size) {
      skip -= slice.size;
      continue;
    }
    const std::size_t piece = std::min<std::size_t>(bytes, slice.size - skip);
    std::memcpy(to, slice.data + skip, piece);
    to += piece;
    bytes -= static_cast<std::uint32_t>(piece);
    skip = 0;
  }
}

NodeId Network::write_landed(TransferId id, End& to, std::uint32_t bytes) {
  Transfer& t = transfers_[id];
  const bool last = t.landed + bytes == t.size;
  const bool alive = to.state == EndState::kUp || to.state == EndState::kRevoking;
  if (alive) {
    std::byte* const memory = granted(t, to, t.size);
    if (memory == nullptr) return write_refused(id, bytes);
    if (unusual_) [[unlikely]]
      return write_landed_unusually(id, memory, bytes);
    land(memory, t, t.landed, bytes);
  }
  t.landed += bytes;
  if (last) alive&& t.fate != Fate::kCut ? send_ack(id) : free_transfer(id);
  return kNoNode;
}

NodeId Network::write_refused(TransferId id, std::uint32_t bytes) {
  Transfer& t = transfers_[id];
  const std::uint32_t at = t.connection * 2 + (1u - t.from);
  settle(at, true);  // the writes before it were in order
  t.landed += bytes;
  const NodeId told = take_down(at);
  if (t.landed == t.size) free_transfer(id);
  send_close(at);
  return told;
}

NodeId Network::read_requested(TransferId id, End& to) {
  Transfer& t = transfers_[id];
  if (to.state != EndState::kUp && to.state != EndState::kRevoking) {
    drop(id);
    return kNoNode;
  }
  settle(t.connection * 2 + (1u - t.from), true);
  std::byte* const memory = granted(t, to, t.memory.size());
  if (memory == nullptr) {
    const std::uint32_t at = t.connection * 2 + (1u - t.from);
    drop(id);
    const NodeId told = take_down(at);
    send_close(at);
    return told;
  }
  t.kind = Kind::kReadReply;
  t.from ^= 1;
  t.size = static_cast<std::uint32_t>(t.memory.size());
  // Later writes of the channel do not change what this read brings: its bytes are taken now.
  std::byte* const taken = messages_.take(t.memory.size());
  if (!t.memory.empty()) std::memcpy(taken, memory, t.memory.size());
  t.body[0] = {taken, t.memory.size()};
  push(queue_.now() + hw_.nic_pcie_round_trip, Happening::kNicDone, id);
  return kNoNode;
}

NodeId Network::read_landed(TransferId id, End& to, std::uint32_t bytes) {
  Transfer& t = transfers_[id];
  if (to.state == EndState::kUp && bytes > 0) {
    std::memcpy(t.memory.data() + t.landed, t.body[0].data + t.landed, bytes);
  }
  t.landed += bytes;
  if (t.landed < t.size) return kNoNode;
  NodeId told = kNoNode;
  if (to.state == EndState::kUp && t.fate != Fate::kCut) {
    SLIP_CHECK(to.first_read == id, "reads of a channel are done in order");
    to.first_read = t.next_read;
    t.listed = false;
    --to.unacknowledged;
    raise(to, {.kind = EventKind::kReadDone, .bytes = {}, .ticket = t.ticket});
    release_held(to);
    told = to.node;
  }
  drop(id);
  return told;
}

// Acknowledgements are cumulative, also over reads: one that overtook the data of an earlier read waits for it.
NodeId Network::acknowledged(TransferId id, End& to) {
  Transfer& t = transfers_[id];
  if (to.state != EndState::kUp) {
    free_transfer(id);
    return kNoNode;
  }
  if (to.first_read != kNone && transfers_[to.first_read].sequence < t.sequence) {
    (to.first_held == kNone ? to.first_held : transfers_[to.last_held].next) = id;
    to.last_held = id;
    t.next = kNone;
    return kNoNode;
  }
  --to.unacknowledged;
  const bool asked = t.ticket != 0;
  if (asked) raise(to, {.kind = EventKind::kAcked, .bytes = {}, .ticket = t.ticket});
  free_transfer(id);
  return asked ? to.node : kNoNode;
}

void Network::release_held(End& at) {
  while (at.first_held != kNone) {
    const TransferId id = at.first_held;
    const Transfer& t = transfers_[id];
    if (at.first_read != kNone && transfers_[at.first_read].sequence < t.sequence) return;
    at.first_held = t.next;
    --at.unacknowledged;
    if (t.ticket != 0) raise(at, {.kind = EventKind::kAcked, .bytes = {}, .ticket = t.ticket});
    free_transfer(id);
  }
}

NodeId Network::control_landed(TransferId id, End& to) {
  Transfer& t = transfers_[id];
  const std::uint32_t at = t.connection * 2 + (1u - t.from);
  switch (t.kind) {
    case Kind::kConnect:
      if (!nics_[index(to.node)].alive) {
        time_out(id, at);
        return kNoNode;
      }
      t.kind = Kind::kAccept;
      t.from ^= 1;
      push(queue_.now() + hw_.nic_connect, Happening::kNicDone, id);
      return kNoNode;
    case Kind::kAccept:
      if (to.state != EndState::kConnecting) {  // given up meanwhile
        if (to.silent) {
          time_out(id, at);
          return kNoNode;
        }
        free_transfer(id);
        send_close(at);
        return kNoNode;
      }
      free_transfer(id);
      became_up(at);
      return to.node;
    default:
      free_transfer(id);
      if (to.state == EndState::kRevoking || to.state == EndState::kDead) return kNoNode;
      return take_down(at);
  }
}

NodeId Network::accept(TransferId id) {
  const Transfer& t = transfers_[id];
  const std::uint32_t at = t.connection * 2 + t.from;
  End& acceptor = end(at);
  if (acceptor.state != EndState::kUnmade) {  // closed before it was open
    free_transfer(id);
    return kNoNode;
  }
  Nic& nic = nics_[index(acceptor.node)];
  SLIP_CHECK(nic.accepted.size() < 0x10000u - kFirstAccepted, "node {}: out of channels", index(acceptor.node));
  acceptor.channel = static_cast<Channel>(kFirstAccepted + nic.accepted.size());
  nic.accepted.push_back(at + 1);
  became_up(at);
  send(id, queue_.now());
  return acceptor.node;
}

NodeId Network::nic_done(TransferId id) {
  const Transfer& t = transfers_[id];
  const End& from = connections_[t.connection].ends[t.from];
  switch (t.kind) {
    case Kind::kConnect:
      if (index(connections_[t.connection].ends[1].node) < nics_.size()) {
        send(id, queue_.now());
        return kNoNode;
      } else {
        const std::uint32_t at = t.connection * 2;
        free_transfer(id);
        return from.state == EndState::kConnecting ? take_down(at) : kNoNode;
      }
    case Kind::kAccept: return accept(id);
    case Kind::kClose: {
      const std::uint32_t at = t.connection * 2 + (1u - t.from);
      const EndState state = end(at).state;
      free_transfer(id);
      return state == EndState::kUp || state == EndState::kConnecting ? take_down(at) : kNoNode;
    }
    case Kind::kReadReply: send(id, queue_.now()); return kNoNode;
    case Kind::kEcho: return echoed(id);
    default: return local_done(id);
  }
}

NodeId Network::local_done(TransferId id) {
  const Transfer t = transfers_[id];
  free_transfer(id);
  const std::uint32_t at = t.connection * 2 + t.from;
  End& from = end(at);
  if (t.op == OpKind::kRevoke) {
    const bool alive = from.state == EndState::kRevoking;
    became_dead(at);
    raise(from, {.kind = EventKind::kRevoked, .bytes = {}});
    if (alive && index(connections_[t.connection].ends[1 - t.from].node) < nics_.size()) send_close(at);
    return from.node;
  }
  if (from.state != EndState::kUp) return kNoNode;
  if (t.op == OpKind::kGrant) {
    bool ours = false;
    for (const Bytes region : nics_[index(from.node)].regions) {
      ours |= t.memory.data() >= region.data() && t.memory.data() + t.memory.size() <= region.data() + region.size();
    }
    SLIP_CHECK(ours, "node {} grants memory that is in none of its regions", index(from.node));
    raise(from, {.kind = EventKind::kGranted, .bytes = {}, .ticket = t.ticket, .key = make_grant(at, t.memory)});
    return from.node;
  }
  settle(at, true);
  Nic& nic = nics_[index(from.node)];
  const std::uint64_t slot = (t.key & 0xffffffff) - 1;
  if (slot < nic.grants.size() && nic.grants[slot].end == at && nic.grants[slot].generation == t.key >> 32) {
    nic.grants[slot].end = kNone;
    nic.free_grants.push_back(static_cast<std::uint32_t>(slot));
  }
  raise(from, {.kind = EventKind::kWithdrawn, .bytes = {}, .ticket = t.ticket});
  return from.node;
}

}  // namespace slipstream::sim
