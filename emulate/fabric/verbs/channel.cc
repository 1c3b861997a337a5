#include "emulate/fabric/verbs/channel.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace slipstream::emulate::verbs {
namespace {

// Credits that only messages which give slots back may use: what brings credits must never wait for credits.
constexpr std::uint32_t kReserve = 2;
// Shorter pieces of a message are copied: an entry of a gather list costs the card about as much.
constexpr std::size_t kByReference = 512;
constexpr std::size_t kLargestOp = kGiB;
constexpr std::uint32_t kIndexMask = 0x7fffffff;
// What SoftRoCE behaves well with; see InfiniBand 1.3, 9.7.5: time-out 4.096 us * 2^14 = 67 ms, seven retries.
constexpr std::uint8_t kTimeout = 14;
constexpr std::uint8_t kRetries = 7;
constexpr std::uint8_t kReceiverRetries = 6;  // finite; credits make them needless
constexpr std::uint8_t kReceiverTimer = 12;
constexpr std::uint8_t kHopLimit = 64;
constexpr int kMostReads = 16;
constexpr std::uint32_t kPacketMask = 0xffffff;

std::uint8_t reads_of(const ibv_device_attr& attributes) {
  return static_cast<std::uint8_t>(std::clamp(attributes.max_qp_rd_atom, 1, kMostReads));
}

}  // namespace

VerbsChannel::VerbsChannel(Channel channel, NodeId to, std::uint32_t its_id, const Surroundings& around)
    : number(channel),
      peer(to),
      id(its_id),
      around_(around),
      ring_(*around.device, its_id, around.ring_bytes),
      staging_(around.ring_bytes),
      staging_key_(register_memory(*around.device, staging_.data(), staging_.size(), false)) {
  for (std::size_t i = 0; i < kChain; ++i) {
    requests_[i].sg_list = pieces_[i].data();
    requests_[i].next = i + 1 < kChain ? &requests_[i + 1] : nullptr;
  }
  make_pair();
  if (!ring_.post_all(*pair_)) throw std::runtime_error(fmt::format("cannot post receives on {}", around.device->name));
}

void VerbsChannel::make_pair() {
  const ibv_device_attr& attributes = around_.device->attributes;
  ibv_qp_init_attr wanted{};
  wanted.send_cq = around_.queue;
  wanted.recv_cq = around_.queue;
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap.max_send_wr = kSendDepth;
  wanted.cap.max_recv_wr = ring_.slots();
  wanted.cap.max_send_sge = static_cast<std::uint32_t>(std::min<int>(attributes.max_sge, kMostPieces));
  wanted.cap.max_recv_sge = 1;
  wanted.cap.max_inline_data = 220;  // what fits in a few cache lines of the card's queue
  pair_.reset(ibv_create_qp(around_.device->domain.get(), &wanted));
  if (!pair_) {  // some cards have less room for inline data
    wanted.cap.max_inline_data = 0;
    pair_.reset(ibv_create_qp(around_.device->domain.get(), &wanted));
  }
  if (!pair_) throw std::runtime_error(fmt::format("no queue pair on {}: {}", around_.device->name, remedy(errno)));
  most_inline_ = wanted.cap.max_inline_data;
  most_pieces_ = std::min<std::size_t>(wanted.cap.max_send_sge, kMostPieces);
  SLIP_CHECK(most_pieces_ >= kMaxSlices + 2, "{} gathers only {} pieces", around_.device->name, most_pieces_);
  most_bytes_ = std::min<std::size_t>(around_.device->port_attributes.max_msg_sz, kLargestOp);
  first_packet_ = static_cast<std::uint32_t>(mix64(static_cast<std::uint64_t>(pair_->qp_num) << 32 | id)) & kPacketMask;
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_INIT;
  attr.port_num = around_.device->port;
  attr.qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;  // what its windows allow, no more
  const int error =
      ibv_modify_qp(pair_.get(), &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
  if (error != 0) {
    throw std::runtime_error(fmt::format("cannot prepare a queue pair on {}: {}", around_.device->name, remedy(error)));
  }
}

Greeting VerbsChannel::greeting() const {
  Greeting greeting;
  greeting.to = index(peer);
  std::memcpy(greeting.gid, around_.device->gid.raw, sizeof greeting.gid);
  greeting.queue_pair = pair_->qp_num;
  greeting.first_packet = first_packet_;
  greeting.ring_bytes = static_cast<std::uint32_t>(staging_.size());
  greeting.lid = around_.device->port_attributes.lid;
  greeting.mtu = static_cast<std::uint8_t>(around_.device->port_attributes.active_mtu);
  greeting.reads = reads_of(around_.device->attributes);
  return greeting;
}

bool VerbsChannel::meet(const Greeting& other) {
  if (other.ring_bytes != staging_.size()) return false;
  const std::uint8_t reads = std::min(reads_of(around_.device->attributes), other.reads);
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_RTR;
  attr.path_mtu = static_cast<ibv_mtu>(
      std::min<int>(around_.device->port_attributes.active_mtu, std::clamp<int>(other.mtu, IBV_MTU_256, IBV_MTU_4096)));
  attr.dest_qp_num = other.queue_pair;
  attr.rq_psn = other.first_packet & kPacketMask;
  attr.max_dest_rd_atomic = reads;
  attr.min_rnr_timer = kReceiverTimer;
  attr.ah_attr.is_global = 1;
  attr.ah_attr.dlid = other.lid;
  attr.ah_attr.port_num = around_.device->port;
  std::memcpy(attr.ah_attr.grh.dgid.raw, other.gid, sizeof other.gid);
  attr.ah_attr.grh.sgid_index = static_cast<std::uint8_t>(around_.device->gid_index);
  attr.ah_attr.grh.hop_limit = kHopLimit;
  if (ibv_modify_qp(pair_.get(), &attr,
                    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                        IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) != 0) {
    return false;
  }
  attr.qp_state = IBV_QPS_RTS;
  attr.sq_psn = first_packet_;
  attr.timeout = kTimeout;
  attr.retry_cnt = kRetries;
  attr.rnr_retry = kReceiverRetries;
  attr.max_rd_atomic = reads;
  return ibv_modify_qp(pair_.get(), &attr,
                       IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                           IBV_QP_MAX_QP_RD_ATOMIC) == 0;
}

WriteOrder VerbsChannel::write_order() const {
  return ibv_query_qp_data_in_order(pair_.get(), IBV_WR_RDMA_WRITE, 0) == 1 ? WriteOrder::kWhole : WriteOrder::kNone;
}

void VerbsChannel::kill() {
  state = State::kDead;
  if (!pair_) return;
  ibv_qp_attr attr{};
  attr.qp_state = IBV_QPS_ERR;
  ibv_modify_qp(pair_.get(), &attr, IBV_QP_STATE);
  for (Grant& grant : granted_) around_.windows->destroy(std::move(grant.window));
  granted_.clear();
  free_windows_.clear();
  // Once it is destroyed the card has let go of the memory, of whatever was under way, too.
  pair_.reset();
  backlog_.clear();
  owed_.clear();
  known_.clear();
  waited_for_.clear();
  chained_ = 0;
  ack = 0;
}

// --- requests ---

// What only some kinds of requests have is as an earlier one left it.
ibv_send_wr& VerbsChannel::add(ibv_wr_opcode opcode) {
  close_send();
  if (chained_ == kChain) flush();
  ibv_send_wr& request = requests_[chained_];
  request.num_sge = 0;
  request.opcode = opcode;
  request.imm_data = 0;  // what an earlier request left there makes SoftRoCE refuse a bind
  request.send_flags = completed_ < reads_until_ ? IBV_SEND_FENCE : 0;  // a read's answer comes before what follows
  ++chained_;
  request.wr_id = static_cast<std::uint64_t>(id) << 32 | ((posted_ + chained_) & kIndexMask);
  return request;
}

void VerbsChannel::add_piece(const std::byte* data, std::size_t bytes, std::uint32_t key) {
  ibv_send_wr& request = requests_[chained_ - 1];
  request.sg_list[request.num_sge++] = {reinterpret_cast<std::uint64_t>(data), static_cast<std::uint32_t>(bytes), key};
}

void VerbsChannel::wait_for(Done::Kind kind, Ticket ticket) {
  chain_is_waited_for_ = true;
  waited_for_.push({kind, posted_ + chained_, ticket});
}

void VerbsChannel::flush() {
  close_send();
  if (chained_ == 0) return;
  ibv_send_wr& tail = requests_[chained_ - 1];
  const std::uint64_t last = posted_ + chained_;
  if (chain_is_waited_for_ || last - asked_ >= kSendDepth / 4) {
    tail.send_flags |= IBV_SEND_SIGNALED;
    asked_ = last;
  }
  ibv_send_wr* const behind = std::exchange(tail.next, nullptr);
  ibv_send_wr* bad = nullptr;
  if (ibv_post_send(pair_.get(), requests_.data(), &bad) != 0) broken_ = true;
  tail.next = behind;
  posted_ = last;
  chained_ = 0;
  chain_is_waited_for_ = false;
}

bool VerbsChannel::take_done(std::uint32_t index, Done& done) {
  completed_ += (index - completed_) & kIndexMask;
  if (waited_for_.empty() || waited_for_.front().request > completed_) return false;
  done = waited_for_.front();
  waited_for_.pop();
  return true;
}

// --- SENDs ---

bool VerbsChannel::open_send(std::uint32_t keep) {
  close_send();
  if (send_room() == 0 || credits() <= keep) return false;
  add(IBV_WR_SEND_WITH_IMM);
  ++sends_;
  send_open_ = true;
  send_bytes_ = 0;
  staged_ = 0;
  return true;
}

void VerbsChannel::close_send() {
  if (!send_open_) return;
  send_open_ = false;
  ibv_send_wr& request = requests_[chained_ - 1];
  request.imm_data = htonl(static_cast<std::uint32_t>(ring_.released()));
  told_ = ring_.released();
  bytes_sent_ += send_bytes_;
  if (send_bytes_ <= most_inline_) request.send_flags |= IBV_SEND_INLINE;
}

std::byte* VerbsChannel::stage(std::size_t bytes) {
  ibv_send_wr& request = requests_[chained_ - 1];
  std::byte* const at = staging_.data() + ring_.place_of(sends_ - 1) + staged_;
  staged_ += bytes;
  send_bytes_ += bytes;
  if (request.num_sge > 0) {
    ibv_sge& last = request.sg_list[request.num_sge - 1];
    if (last.lkey == staging_key_->lkey && last.addr + last.length == reinterpret_cast<std::uint64_t>(at)) {
      last.length += static_cast<std::uint32_t>(bytes);
      return at;
    }
  }
  add_piece(at, bytes, staging_key_->lkey);
  return at;
}

void VerbsChannel::copy(const void* data, std::size_t bytes) {
  if (bytes > 0) std::memcpy(stage(bytes), data, bytes);
}

void VerbsChannel::append_body(const std::byte* data, std::size_t bytes, std::size_t by_reference_from) {
  const auto used = static_cast<std::size_t>(requests_[chained_ - 1].num_sge);
  if (bytes < by_reference_from || used + 2 > most_pieces_) return copy(data, bytes);
  add_piece(data, bytes, key_of(data, bytes));
  send_bytes_ += bytes;
}

// In the open SEND, or in the next one. Where the first `copied` bytes behind the header go; nullptr: there is no room.
std::byte* VerbsChannel::begin_frame(const FrameHeader& header, std::size_t copied, std::size_t pieces) {
  const std::size_t bytes = sizeof header + header.size;
  const auto used = send_open_ ? static_cast<std::size_t>(requests_[chained_ - 1].num_sge) : 0;
  const bool fits = send_open_ && aligned(send_bytes_) + bytes <= kSlotBytes && used + pieces <= most_pieces_;
  if (!fits && !open_send(kReserve)) return nullptr;
  const std::size_t padding = aligned(send_bytes_) - send_bytes_;
  std::byte* const at = stage(padding + sizeof header + copied) + padding;
  std::memcpy(at, &header, sizeof header);
  return at + sizeof header;
}

VerbsChannel::Progress VerbsChannel::send_small(const Op& op, std::size_t bytes) {
  std::size_t pieces = 2;
  for (const Slice& slice : op.body) pieces += slice.size >= kByReference ? 2 : 0;
  pieces = std::min(pieces, most_pieces_);
  const FrameHeader header{static_cast<std::uint32_t>(bytes), FrameKind::kMessage,
                           op.answers != 0 ? kIsAnswer : std::uint8_t{0}, 0};
  std::byte* const head = begin_frame(header, op.head.size(), pieces);
  if (head == nullptr) return Progress::kNoRoom;
  if (!op.head.empty()) std::memcpy(head, op.head.data(), op.head.size());
  for (const Slice& slice : op.body) append_body(slice.data, slice.size, kByReference);
  if (op.ticket != 0) wait_for(Done::Kind::kAck, op.ticket);
  return Progress::kDone;
}

// `bytes` of the frame (header, head, body) from its byte `from` on.
void VerbsChannel::append_part(const Backlog::Entry& entry, std::size_t from, std::size_t bytes) {
  const FrameHeader header{static_cast<std::uint32_t>(entry.bytes), FrameKind::kMessage,
                           entry.is_answer ? kIsAnswer : std::uint8_t{0}, 0};
  const auto part = [&](const std::byte* data, std::size_t size, bool is_body) {
    if (from < size && bytes > 0) {
      const std::size_t n = std::min(size - from, bytes);
      append_body(data + from, n, is_body ? 1 : kSlotBytes + 1);
      bytes -= n;
      from = 0;
    } else {
      from -= std::min(from, size);
    }
  };
  part(reinterpret_cast<const std::byte*>(&header), sizeof header, false);
  part(entry.head.data(), entry.head.size(), false);
  for (std::size_t i = 0; i < entry.slices; ++i) part(entry.body[i].data, entry.body[i].size, true);
}

VerbsChannel::Progress VerbsChannel::send_long(Backlog::Entry& entry) {
  const std::size_t total = sizeof(FrameHeader) + entry.bytes;
  // One that the receiver views in its ring goes in one go: nothing may come between its slots.
  const std::size_t slots = (total + kSlotBytes - 1) / kSlotBytes;
  close_send();
  if (slots <= ring_.slots() / 2 && (send_room() < slots || credits() < slots + kReserve)) return Progress::kNoRoom;
  while (entry.done < total) {
    if (!open_send(kReserve)) return Progress::kNoRoom;
    const std::size_t n = std::min(kSlotBytes, total - entry.done);
    append_part(entry, entry.done, n);
    entry.done += n;
    if (entry.done == total && entry.ticket != 0) wait_for(Done::Kind::kAck, entry.ticket);
    close_send();
  }
  return Progress::kDone;
}

VerbsChannel::Progress VerbsChannel::send_control(FrameKind kind, ConstBytes body) {
  const FrameHeader header{static_cast<std::uint32_t>(body.size()), kind, 0, 0};
  std::byte* const at = begin_frame(header, body.size(), 1);
  if (at == nullptr) return Progress::kNoRoom;
  std::memcpy(at, body.data(), body.size());
  return Progress::kDone;
}

// --- ops ---

void VerbsChannel::post(const Op& op) {
  if (!backlog_.empty() || !is_ready_) {
    backlog_.push(op);
    return;
  }
  if (carry_out(op) == Progress::kNoRoom) backlog_.push(op);
  if (!backlog_.empty()) work_off();
}

VerbsChannel::Progress VerbsChannel::carry_out(const Op& op) {
  switch (op.kind) {
    case OpKind::kSend: {
      std::size_t bytes = op.head.size();
      for (const Slice& slice : op.body) bytes += slice.size;
      SLIP_CHECK(bytes <= kMaxMessage, "a message of {} bytes", bytes);
      // A long one is sent in pieces, which the backlog keeps account of.
      return sizeof(FrameHeader) + bytes > kSlotBytes ? Progress::kNoRoom : send_small(op, bytes);
    }
    case OpKind::kWrite:
    case OpKind::kRead: return access(op);
    case OpKind::kGrant: return grant(op.local, op.ticket);
    case OpKind::kWithdraw: return withdraw(op.key, op.ticket);
    default: SLIP_CHECK(false, "a {} to a channel", name(op.kind));
  }
}

VerbsChannel::Progress VerbsChannel::carry_out_front() {
  Backlog::Entry& entry = backlog_.front();
  if (entry.kind == OpKind::kSend && sizeof(FrameHeader) + entry.bytes > kSlotBytes) return send_long(entry);
  Op op;
  op.kind = entry.kind;
  op.head = entry.head;
  op.body = {entry.body.data(), entry.slices};
  op.local = entry.local;
  op.key = entry.key;
  op.offset = entry.offset;
  op.ticket = entry.ticket;
  op.answers = entry.is_answer ? 1 : 0;
  return carry_out(op);
}

void VerbsChannel::work_off() {
  if (!is_ready_) return;
  while (!owed_.empty() && !broken_) {
    const KeyFrame body{owed_.front().key};
    if (send_control(owed_.front().kind, std::as_bytes(std::span(&body, 1))) == Progress::kNoRoom) break;
    owed_.erase(owed_.begin());
  }
  while (!backlog_.empty() && !broken_ && carry_out_front() == Progress::kDone) backlog_.pop();
  if (owes_slots() && !send_open_) open_send(0);
}

const GrantFrame* VerbsChannel::look_up(RemoteKey key) {
  if (last_known_ < known_.size() && known_[last_known_].key == key) return &known_[last_known_];
  for (last_known_ = 0; last_known_ < known_.size(); ++last_known_) {
    if (known_[last_known_].key == key) return &known_[last_known_];
  }
  return nullptr;
}

void VerbsChannel::unlearn(RemoteKey key) {
  std::erase_if(known_, [key](const GrantFrame& grant) { return grant.key == key; });
}

// A wrong access is stopped here, whole, because some cards check a window packet by packet; the peer's card stops what
// gets past. Either way the peer's card is asked something it must refuse, so that both ends learn in order.
void VerbsChannel::refuse(Ticket ticket) {
  ibv_send_wr& request = add(IBV_WR_RDMA_WRITE);
  add_piece(staging_.data(), 1, staging_key_->lkey);
  request.wr.rdma = {};
  wait_for(Done::Kind::kAck, ticket);
}

VerbsChannel::Progress VerbsChannel::access(const Op& op) {
  const bool is_read = op.kind == OpKind::kRead;
  const Slice into{op.local.data(), op.local.size()};
  const std::span<const Slice> body = is_read ? std::span(&into, 1) : op.body;
  std::size_t total = 0;
  for (const Slice& slice : body) total += slice.size;
  SLIP_CHECK(total <= kLargestOp, "a {} of {} bytes", name(op.kind), total);
  if (send_room() <= (total <= most_bytes_ ? 0 : total / most_bytes_)) return Progress::kNoRoom;
  const GrantFrame* const grant = look_up(op.key);
  if (grant == nullptr || op.offset > grant->bytes || total > grant->bytes - op.offset) {
    refuse(op.ticket);
    return Progress::kDone;
  }
  // A read of nothing is a write of nothing: it only has its place in the order.
  const ibv_wr_opcode opcode = is_read && total > 0 ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
  std::uint64_t address = grant->address + op.offset;
  ibv_send_wr* request = nullptr;
  std::size_t in_request = 0;
  const auto begin = [&] {
    request = &add(opcode);
    request->wr.rdma.remote_addr = address;
    request->wr.rdma.rkey = grant->rkey;
    in_request = 0;
  };
  begin();
  for (Slice slice : body) {
    while (slice.size > 0) {
      if (in_request == most_bytes_) begin();
      const std::size_t n = std::min(slice.size, most_bytes_ - in_request);
      add_piece(slice.data, n, key_of(slice.data, n));
      slice = {slice.data + n, slice.size - n};
      in_request += n;
      address += n;
    }
  }
  if (opcode == IBV_WR_RDMA_READ) {
    reads_until_ = posted_ + chained_;
  } else if (total <= most_inline_) {
    request->send_flags |= IBV_SEND_INLINE;
  }
  bytes_sent_ += total;
  if (op.ticket != 0 || is_read) wait_for(is_read ? Done::Kind::kRead : Done::Kind::kAck, op.ticket);
  return Progress::kDone;
}

VerbsChannel::Progress VerbsChannel::grant(Bytes memory, Ticket ticket) {
  if (send_room() < 2 || credits() <= kReserve) return Progress::kNoRoom;
  Grant& made = granted_.emplace_back(Grant{mix64(static_cast<std::uint64_t>(id) << 32 | next_key_++), ticket,
                                            around_.windows->open(memory, free_windows_)});
  ibv_mw* const window = made.window.window.get();
  made.window.bound_key = ibv_inc_rkey(window->rkey);
  ibv_send_wr& request = add(IBV_WR_BIND_MW);
  request.bind_mw.mw = window;
  request.bind_mw.rkey = made.window.bound_key;
  request.bind_mw.bind_info.mr = made.window.range->registration.get();
  request.bind_mw.bind_info.addr = reinterpret_cast<std::uint64_t>(memory.data());
  request.bind_mw.bind_info.length = memory.size();
  request.bind_mw.bind_info.mw_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
  flush();
  window->rkey = made.window.bound_key;  // as the verbs ask of their user
  const GrantFrame frame{made.key, reinterpret_cast<std::uint64_t>(memory.data()), memory.size(), made.window.bound_key,
                         0};
  const Progress sent = send_control(FrameKind::kGrant, std::as_bytes(std::span(&frame, 1)));
  SLIP_CHECK(sent == Progress::kDone || broken_);
  return Progress::kDone;
}

VerbsChannel::Progress VerbsChannel::withdraw(RemoteKey key, Ticket ticket) {
  if (send_room() < 2 || credits() <= kReserve) return Progress::kNoRoom;
  const auto grant = find_grant(key);
  SLIP_CHECK(grant != granted_.end(), "the key {:#x} that is withdrawn was not granted", key);
  grant->ticket = ticket;
  grant->stage = Grant::Stage::kEnding;
  add(IBV_WR_LOCAL_INV).invalidate_rkey = grant->window.bound_key;
  const KeyFrame frame{key};
  const Progress sent = send_control(FrameKind::kWithdraw, std::as_bytes(std::span(&frame, 1)));
  SLIP_CHECK(sent == Progress::kDone || broken_);
  return Progress::kDone;
}

std::vector<Grant>::iterator VerbsChannel::find_grant(RemoteKey key) {
  return std::find_if(granted_.begin(), granted_.end(), [key](const Grant& g) { return g.key == key; });
}

std::optional<Ticket> VerbsChannel::on_learned(RemoteKey key) {
  const auto grant = find_grant(key);
  if (grant == granted_.end() || grant->stage != Grant::Stage::kOffered) broken_ = true;
  if (broken_) return std::nullopt;
  grant->stage = Grant::Stage::kKnown;
  return grant->ticket;
}

// The answer follows all writes of the other end through the window, and its request followed the invalidation. A
// window that nobody has asked to end is bound: it must not be used again.
std::optional<Ticket> VerbsChannel::on_withdrawn(RemoteKey key) {
  const auto grant = find_grant(key);
  if (grant == granted_.end() || grant->stage != Grant::Stage::kEnding) broken_ = true;
  if (broken_) return std::nullopt;
  const Ticket ticket = grant->ticket;
  around_.windows->give_back(std::move(grant->window), free_windows_);
  granted_.erase(grant);
  return ticket;
}

void VerbsChannel::on_received(const ibv_wc& completion) {
  ring_.on_received(completion.byte_len);
  const std::uint32_t returned = ntohl(completion.imm_data);
  if (static_cast<std::int32_t>(returned - returned_to_us_) > 0) returned_to_us_ = returned;
}

}  // namespace slipstream::emulate::verbs
