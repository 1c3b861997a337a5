#include "core/turn/outbox.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"

namespace slipstream {

std::byte* Outbox::room(std::size_t bytes) {
  constexpr std::size_t kAlign = 16;
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  while (chunk_ < chunks_.size() && used_ + bytes > chunks_[chunk_].size) {
    ++chunk_;
    used_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const std::size_t size = std::max(bytes, kChunkBytes);
    chunks_.push_back({std::make_unique_for_overwrite<std::byte[]>(size), size});
    used_ = 0;
  }
  std::byte* const at = chunks_[chunk_].memory.get() + used_;
  used_ += bytes;
  return at;
}

Op& Outbox::add(OpKind kind, Channel channel) {
  Op& op = ops_.emplace_back();
  op.kind = kind;
  op.channel = channel;
  op.transport_ps = transport_ps_;
  op.compute_ps = compute_ps_;
  return op;
}

std::byte* Outbox::send(Channel channel, std::size_t head_bytes, std::uint64_t answers, Work kind,
                        std::span<const Slice> body, Ticket ticket) {
  SLIP_CHECK(body.size() <= kMaxSlices);
  std::byte* const head = room(head_bytes);
  work(kind);
  Op& op = add(OpKind::kSend, channel);
  op.head = {head, head_bytes};
  op.ticket = ticket;
  op.answers = answers;
  if (!body.empty()) {
    auto* const slices = reinterpret_cast<Slice*>(room(body.size_bytes()));
    std::memcpy(slices, body.data(), body.size_bytes());
    op.body = {slices, body.size()};
  }
  return head;
}

void Outbox::write(Channel channel, Slice from, RemoteKey key, std::uint64_t offset, Ticket ticket) {
  auto* const slice = reinterpret_cast<Slice*>(room(sizeof(Slice)));
  *slice = from;
  work(Work::kPostWrite);
  Op& op = add(OpKind::kWrite, channel);
  op.body = {slice, 1};
  op.key = key;
  op.offset = offset;
  op.ticket = ticket;
}

void Outbox::read(Channel channel, Bytes into, RemoteKey key, std::uint64_t offset, Ticket ticket) {
  work(Work::kPostWrite);
  Op& op = add(OpKind::kRead, channel);
  op.local = into;
  op.key = key;
  op.offset = offset;
  op.ticket = ticket;
}

void Outbox::connect(Channel channel, NodeId peer) { add(OpKind::kConnect, channel).peer = peer; }

void Outbox::revoke(Channel channel) { add(OpKind::kRevoke, channel); }

void Outbox::grant(Channel channel, Bytes memory, Ticket ticket) {
  Op& op = add(OpKind::kGrant, channel);
  op.local = memory;
  op.ticket = ticket;
}

void Outbox::withdraw(Channel channel, RemoteKey key, Ticket ticket) {
  Op& op = add(OpKind::kWithdraw, channel);
  op.key = key;
  op.ticket = ticket;
}

void Outbox::clear() {
  ops_.clear();
  storage_ops_.clear();
  marks_.clear();
  dismissed_.clear();
  transport_ps_ = 0;
  compute_ps_ = 0;
  chunk_ = 0;
  used_ = 0;
}

}  // namespace slipstream
