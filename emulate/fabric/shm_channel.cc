#include "emulate/fabric/shm_channel.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/check.h"

namespace slipstream::emulate {

namespace {

using shm::RecordHeader;

// A grant's slot is in the low bits of its key; above it the granter's running number, so that no key comes twice.
constexpr std::uint64_t kSlotBits = 10;
static_assert(shm::kMaxGrants == std::uint64_t{1} << kSlotBits);
constexpr std::uint64_t kSlotMask = shm::kMaxGrants - 1;

// Below this many free bytes at the start of the ring it is not worth going back there.
constexpr std::uint64_t kEarlyWrap = 4096;
constexpr std::uint64_t kEarlyWrapBatches = 4;

constexpr std::size_t record_bytes(std::size_t payload) { return (sizeof(RecordHeader) + payload + 7) / 8 * 8; }

std::byte* put_header(std::byte* at, std::size_t size, std::uint32_t flags) {
  const RecordHeader header{static_cast<std::uint32_t>(size), flags};
  std::memcpy(at, &header, sizeof header);
  return at + sizeof header;
}

}  // namespace

ShmChannel::ShmChannel(Channel channel, NodeId peer_id, int side, std::shared_ptr<SharedFile> link)
    : number(channel), peer_node(peer_id), file_(std::move(link)) {
  const std::size_t me = static_cast<std::size_t>(side);
  const std::size_t other = 1 - me;
  std::byte* const base = file_->memory().data();
  link_ = reinterpret_cast<shm::Link*>(base);
  mine_ = &link_->sides[me];
  theirs_ = &link_->sides[other];
  granted_ = link_->grants[me];
  grants_ = link_->grants[other];
  ring_bytes_ = link_->ring_bytes;
  out_ = base + shm::kRingsAt + me * ring_bytes_;
  in_at_ = shm::kRingsAt + other * ring_bytes_;
  in_ = base + in_at_;
}

// --- the outgoing ring ---

bool ShmChannel::has_space(std::size_t bytes) {
  if (out_end_ + bytes - out_released_ <= ring_bytes_) return true;
  out_released_ = theirs_->released.load(std::memory_order_acquire);
  return out_end_ + bytes - out_released_ <= ring_bytes_;
}

void ShmChannel::skip_to_start() {
  put_header(out_ + out_end_ % ring_bytes_, 0, RecordHeader::kSkip);
  out_end_ = (out_end_ / ring_bytes_ + 1) * ring_bytes_;
}

// Goes back to the start of the ring as soon as a few batches fit there: the memory in use stays as small as what is
// under way, and in the caches, while the ring is large enough for bursts.
void ShmChannel::start_batch() {
  touched = true;
  const std::uint64_t place = out_end_ % ring_bytes_;
  if (place < kEarlyWrap) return;
  out_released_ = theirs_->released.load(std::memory_order_acquire);
  if (out_released_ / ring_bytes_ != out_end_ / ring_bytes_) return;
  if (out_released_ % ring_bytes_ >= kEarlyWrap + kEarlyWrapBatches * batch_bytes_) skip_to_start();
}

std::byte* ShmChannel::room(std::size_t bytes) {
  if (!touched) start_batch();
  const std::size_t to_end = ring_bytes_ - out_end_ % ring_bytes_;
  if (bytes > to_end) {
    if (!has_space(to_end + bytes)) return nullptr;
    skip_to_start();
  } else if (!has_space(bytes)) {
    return nullptr;
  }
  std::byte* const at = out_ + out_end_ % ring_bytes_;
  out_end_ += bytes;
  bytes_sent_ += bytes;
  return at;
}

Progress ShmChannel::send(const Op& op) {
  std::size_t size = op.head.size();
  for (const Slice& slice : op.body) size += slice.size;
  SLIP_CHECK(size <= kMaxMessage, "a message of {} bytes", size);
  if (size > ring_bytes_ / 4) return Progress::kNoRoom;  // in pieces, by way of the backlog
  std::byte* at = room(record_bytes(size));
  if (at == nullptr) return Progress::kNoRoom;
  at = put_header(at, size, op.answers != 0 ? RecordHeader::kAnswer : 0u);
  if (!op.head.empty()) std::memcpy(at, op.head.data(), op.head.size());
  at += op.head.size();
  for (const Slice& slice : op.body) {
    if (slice.size == 0) continue;
    std::memcpy(at, slice.data, slice.size);
    at += slice.size;
  }
  return Progress::kDone;
}

Progress ShmChannel::send_pieces(Backlog::Entry& entry) {
  const std::size_t longest = ring_bytes_ / 4;
  do {
    const std::size_t piece = std::min(entry.bytes - entry.done, longest);
    std::byte* at = room(record_bytes(piece));
    if (at == nullptr) return Progress::kNoRoom;
    const bool more = entry.done + piece < entry.bytes;
    at = put_header(at, piece, (entry.is_answer ? RecordHeader::kAnswer : 0u) | (more ? RecordHeader::kMore : 0u));
    std::size_t begin = 0;  // of the part at hand, in the message
    const auto take = [&](const std::byte* data, std::size_t size) {
      const std::size_t from = std::max(begin, entry.done);
      const std::size_t to = std::min(begin + size, entry.done + piece);
      if (from < to) std::memcpy(at + (from - entry.done), data + (from - begin), to - from);
      begin += size;
    };
    take(entry.head.data(), entry.head.size());
    for (std::size_t i = 0; i < entry.slices; ++i) take(entry.body[i].data, entry.body[i].size);
    entry.done += piece;
  } while (entry.done < entry.bytes);
  return Progress::kDone;
}

void ShmChannel::end_copies() {
  if (!copying_) return;
  copying_ = false;
  mine_->writing.fetch_add(1, std::memory_order_seq_cst);
}

bool ShmChannel::publish() {
  end_copies();
  touched = false;
  if (out_end_ == out_published_) return false;
  const std::uint64_t batch = out_end_ - out_published_;
  batch_bytes_ = std::max(std::min<std::uint64_t>(batch, ring_bytes_), batch_bytes_ - batch_bytes_ / 16);
  out_published_ = out_end_;
  mine_->tail.store(out_end_, std::memory_order_release);
  return true;
}

// --- the incoming ring ---

bool ShmChannel::receive(ConstBytes& bytes, bool& is_answer, bool& whole) {
  while (true) {
    if (in_begin_ == in_end_) {
      in_end_ = theirs_->tail.load(std::memory_order_acquire);
      if (in_begin_ == in_end_) return false;
    }
    const std::byte* const at = in_ + in_begin_ % ring_bytes_;
    RecordHeader header;
    std::memcpy(&header, at, sizeof header);
    if ((header.flags & RecordHeader::kSkip) != 0) {
      in_begin_ = (in_begin_ / ring_bytes_ + 1) * ring_bytes_;
      continue;
    }
    in_begin_ += record_bytes(header.size);
    SLIP_CHECK(in_begin_ <= in_end_ && header.size <= ring_bytes_, "a garbled ring from node {}", index(peer_node));
    const ConstBytes piece{at + sizeof header, header.size};
    is_answer = (header.flags & RecordHeader::kAnswer) != 0;
    const bool more = (header.flags & RecordHeader::kMore) != 0;
    if (!more && assembly_.empty()) {
      bytes = piece;
      whole = true;
      return true;
    }
    assembly_.insert(assembly_.end(), piece.begin(), piece.end());
    assembled_ = !more;
    whole = !more;
    bytes = assembly_;
    return true;
  }
}

void ShmChannel::release() {
  if (std::exchange(assembled_, false)) assembly_.clear();
  mine_->released.store(in_begin_, std::memory_order_release);
}

void ShmChannel::drop_ring() { file_->drop_pages(in_at_, ring_bytes_); }

// --- one-sided copies ---

// Announced first, then the right is checked: whoever closes the channel or withdraws the grant sees either the
// announcement, and waits for its end, or nothing, and then this end sees that it may not.
bool ShmChannel::begin_copies() {
  if (copying_) return true;
  copying_ = true;
  touched = true;
  mine_->writing.store(mine_->writing.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  return theirs_->closed.load(std::memory_order_seq_cst) == 0;
}

const ShmChannel::KnownGrant* ShmChannel::look_up(RemoteKey key, const std::string& run_directory) {
  const std::size_t slot = key & kSlotMask;
  const shm::Grant& grant = grants_[slot];
  if (key == 0 || grant.key.load(std::memory_order_seq_cst) != key) return nullptr;
  if (known_.size() <= slot) known_.resize(slot + 1);
  KnownGrant& known = known_[slot];
  if (known.key == key) return &known;
  auto& regions = peer->regions;
  if (regions.size() <= grant.region) regions.resize(grant.region + 1);
  if (regions[grant.region] == nullptr) {
    const std::string name = peer->control->regions[grant.region].name;
    auto file = SharedFile::open(run_directory + "/" + name);
    // Under that name the file of the node's next life may be. Not so when this life has not ended by now.
    if (file == nullptr || !peer->file->owner_is_alive()) return nullptr;
    regions[grant.region] = std::move(file);
  }
  const Bytes memory = regions[grant.region]->memory();
  if (grant.offset > memory.size() || grant.bytes > memory.size() - grant.offset) return nullptr;
  known = {key, memory.subspan(grant.offset, grant.bytes)};
  return &known;
}

Progress ShmChannel::copy_slices(bool is_read, std::span<const Slice> body, Bytes local, RemoteKey key,
                                 std::uint64_t offset, const std::string& run_directory) {
  if (!begin_copies()) return Progress::kRefused;
  const KnownGrant* const grant = look_up(key, run_directory);
  if (grant == nullptr) return Progress::kRefused;
  std::size_t size = local.size();
  for (const Slice& slice : body) size += slice.size;
  if (offset > grant->memory.size() || size > grant->memory.size() - offset) return Progress::kRefused;
  std::byte* at = grant->memory.data() + offset;
  bytes_sent_ += size;
  if (is_read) {
    if (size > 0) std::memcpy(local.data(), at, size);
    return Progress::kDone;
  }
  for (const Slice& slice : body) {
    if (slice.size > 0) std::memcpy(at, slice.data, slice.size);
    at += slice.size;
  }
  return Progress::kDone;
}

Progress ShmChannel::copy(const Op& op, const std::string& run_directory) {
  const bool is_read = op.kind == OpKind::kRead;
  return copy_slices(is_read, is_read ? std::span<const Slice>{} : op.body, is_read ? op.local : Bytes{}, op.key,
                     op.offset, run_directory);
}

Progress ShmChannel::carry_out_front(const std::string& run_directory) {
  Backlog::Entry& entry = backlog.front();
  if (entry.kind == OpKind::kSend) return send_pieces(entry);
  const bool is_read = entry.kind == OpKind::kRead;
  return copy_slices(is_read, {entry.body.data(), is_read ? 0 : entry.slices}, is_read ? entry.local : Bytes{},
                     entry.key, entry.offset, run_directory);
}

// --- rights ---

void ShmChannel::close() { mine_->closed.store(1, std::memory_order_seq_cst); }

bool ShmChannel::quiet() const { return theirs_->writing.load(std::memory_order_seq_cst) % 2 == 0; }

RemoteKey ShmChannel::grant(std::uint64_t key_serial, std::uint32_t region, std::uint64_t offset, std::uint64_t bytes) {
  std::size_t slot = fresh_grant_;
  if (free_grants_.empty()) {
    SLIP_CHECK(slot < shm::kMaxGrants, "more than {} grants on channel {}", shm::kMaxGrants, number);
    ++fresh_grant_;
  } else {
    slot = free_grants_.back();
    free_grants_.pop_back();
  }
  shm::Grant& entry = granted_[slot];
  entry.region = region;
  entry.offset = offset;
  entry.bytes = bytes;
  const RemoteKey key = key_serial << kSlotBits | slot;
  entry.key.store(key, std::memory_order_seq_cst);
  return key;
}

bool ShmChannel::withdraw(RemoteKey key) {
  const std::size_t slot = key & kSlotMask;
  if (key == 0 || granted_[slot].key.load(std::memory_order_relaxed) != key) return false;
  granted_[slot].key.store(0, std::memory_order_seq_cst);
  return true;
}

void ShmChannel::forget_grant(RemoteKey key) { free_grants_.push_back(static_cast<std::uint16_t>(key & kSlotMask)); }

}  // namespace slipstream::emulate
