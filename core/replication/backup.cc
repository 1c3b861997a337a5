#include "core/replication/backup.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/crc32c.h"

namespace slipstream {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kVerifyPerTurn = 128 * kKiB;  // about 10 us: other requests are not held up for longer

std::size_t buffers_offset(std::size_t buffers) { return (buffers * kReplicaRecordBytes + kPage - 1) / kPage * kPage; }

std::uint32_t record_crc(const ReplicaRecord& record) {
  return crc32c(0xffffffff, std::as_bytes(std::span(&record, 1)).subspan(sizeof(record.crc)));
}

std::uint64_t frame_of(const SegmentIdentity& identity) {
  return static_cast<std::uint64_t>(index(identity.master)) << 48 | index(identity.segment);
}

}  // namespace

std::size_t replica_region_bytes(std::uint32_t buffers, std::size_t segment_bytes) {
  return buffers_offset(buffers) + buffers * segment_bytes;
}

std::vector<FoundReplica> replicas_in(ConstBytes region, std::size_t segment_bytes) {
  std::size_t buffers = region.size() / segment_bytes;
  while (buffers > 0 && buffers_offset(buffers) + buffers * segment_bytes > region.size()) --buffers;
  std::vector<FoundReplica> found;
  for (std::size_t i = 0; i < buffers; ++i) {
    const auto record = load<ReplicaRecord>(region.data() + i * kReplicaRecordBytes);
    if (record.state == ReplicaState::kFree || record.crc != record_crc(record)) continue;
    found.push_back({record, region.subspan(buffers_offset(buffers) + i * segment_bytes, segment_bytes)});
  }
  return found;
}

Backup::Backup(const ReplicationOptions& options, const LogOptions& log, const Region& region)
    : segment_bytes_(log.segment_bytes), region_(region.memory), buffers_(options.buffers), free_(options.buffers) {
  SLIP_CHECK(region.memory.size() >= replica_region_bytes(options.buffers, log.segment_bytes));
}

Bytes Backup::memory(std::size_t i) const {
  return region_.subspan(buffers_offset(buffers_.size()) + i * segment_bytes_, segment_bytes_);
}

void Backup::on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  switch (message.header.opcode) {
    case Opcode::kBackupOpen: return on_open(channel, tag, message, out);
    case Opcode::kBackupWrite: return on_write(channel, tag, message, out);
    case Opcode::kBackupClose: return on_close(channel, tag, message, out);
    default: return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  }
}

void Backup::on_open(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  BackupOpen request;
  const auto peer = peers_.find(channel);
  if (!read_body(message.body, request) || request.capacity != segment_bytes_ || peer == peers_.end() ||
      index(peer->second) != request.master) {
    return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  }
  const SegmentIdentity identity{NodeId{request.master}, SegmentId{request.segment}, request.epoch};
  // A primary that lost its channel opens the same segment again. It may have been closed meanwhile.
  if (const auto stored = stored_.find(frame_of(identity)); stored != stored_.end()) {
    return answer_closed(channel, tag, message, stored->second, out);
  }
  std::size_t i = find(request.master, request.segment);
  if (i < buffers_.size() && buffers_[i].phase > Phase::kOpen) {
    return answer_closed(channel, tag, message, buffers_[i].closed_bytes, out);
  }
  if (i == buffers_.size()) i = find_free();
  if (i == buffers_.size() || buffers_[i].writable) {
    return answer(channel, tag, message, Status::kRejected, out, Work::kControlMessageOut);
  }
  Buffer& buffer = buffers_[i];
  if (buffer.phase == Phase::kFree) {
    next_ = i + 1;
    --free_;
    buffer = Buffer{};
    buffer.identity = identity;
  }
  // What an old replica of the segment holds stays: the same bytes are sent once more, and until then it is the
  // replica.
  buffer.channel = channel;
  buffer.writable = true;
  buffer.one_sided = request.one_sided != 0;
  buffer.tag = tag;
  buffer.received = 0;
  buffer.replica_epoch = request.replica_epoch;
  note(i, ReplicaState::kOpen);
  if (buffer.one_sided) {
    buffer.phase = Phase::kGranting;
    out.grant(channel, memory(i), i + 1);
  } else {
    buffer.phase = Phase::kOpen;
    buffer.key = i;
    answer_open(i, out);
  }
}

std::size_t Backup::find_free() const {
  for (std::size_t n = 0; n < buffers_.size(); ++n) {
    const std::size_t i = (next_ + n) % buffers_.size();
    if (buffers_[i].phase == Phase::kFree) return i;
  }
  return buffers_.size();
}

void Backup::on_granted(Channel channel, Ticket ticket, RemoteKey key, Outbox& out) {
  const std::size_t i = ticket - 1;
  SLIP_CHECK(i < buffers_.size());
  Buffer& buffer = buffers_[i];
  if (buffer.phase != Phase::kGranting || buffer.channel != channel) return;  // that channel died meanwhile
  buffer.phase = Phase::kOpen;
  buffer.key = key;
  answer_open(i, out);
}

void Backup::answer_open(std::size_t i, Outbox& out) {
  const Buffer& buffer = buffers_[i];
  RpcHeader header;
  header.opcode = Opcode::kBackupOpen;
  header.is_answer = 1;
  header.id = index(buffer.identity.segment);
  send_message(out, buffer.channel, header, BackupOpenAnswer{buffer.key, free_, 0}, buffer.tag,
               Work::kControlMessageOut);
}

void Backup::answer_closed(Channel channel, std::uint64_t tag, const RpcMessage& request, std::uint32_t bytes,
                           Outbox& out) {
  RpcHeader header = request.header;
  header.is_answer = 1;
  send_message(out, channel, header, BackupOpenAnswer{0, free_, bytes}, tag, Work::kControlMessageOut);
}

void Backup::answer(Channel channel, std::uint64_t tag, const RpcMessage& request, Status status, Outbox& out,
                    Work kind) {
  RpcHeader header = request.header;
  header.is_answer = 1;
  header.status = status;
  send_message(out, channel, header, BackupAnswer{free_, 0}, tag, kind);
}

void Backup::on_write(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  BackupWrite request;
  if (!read_body(message.body, request)) {
    return answer(channel, tag, message, Status::kBadRequest, out, Work::kMessageOut);
  }
  const ConstBytes bytes = message.body.subspan(sizeof(request));
  const std::size_t i = request.buffer;
  if (i >= buffers_.size() || buffers_[i].phase != Phase::kOpen || buffers_[i].channel != channel ||
      index(buffers_[i].identity.segment) != request.segment || request.length != bytes.size() ||
      request.offset != buffers_[i].received || bytes.size() > segment_bytes_ - request.offset) {
    return answer(channel, tag, message, Status::kBadRequest, out, Work::kMessageOut);
  }
  std::memcpy(memory(i).data() + request.offset, bytes.data(), bytes.size());
  buffers_[i].received += request.length;
  out.work(Work::kRequest);
  out.work(Work::kReplicaUpdate);
  out.work(Work::kCopyBytes, bytes.size());
  answer(channel, tag, message, Status::kOk, out, Work::kMessageOut);
}

void Backup::on_close(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  BackupClose request;
  if (!read_body(message.body, request)) {
    return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  }
  const std::size_t i = find(request.master, request.segment);
  bool right = i < buffers_.size() && buffers_[i].phase == Phase::kOpen && buffers_[i].channel == channel &&
               request.length <= segment_bytes_ && request.length >= kCertificateEntryBytes;
  if (right) {
    // The last certificate must be there and be the one that the primary means; all before it is verified next.
    const auto last = load<Certificate>(memory(i).data() + request.length - sizeof(Certificate));
    right = last.covered == request.length - kCertificateEntryBytes && last.crc == request.crc;
  }
  if (!right) return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  Buffer& buffer = buffers_[i];
  buffer.closed_bytes = request.length;
  buffer.closed_crc = request.crc;
  buffer.walk = CertificateWalk(buffer.identity);
  note(i, ReplicaState::kClosed);
  if (buffer.one_sided) {
    buffer.phase = Phase::kWithdrawing;
    out.withdraw(channel, buffer.key, i + 1);
  } else {
    buffer.phase = Phase::kVerifying;
    ++verifying_;
  }
  answer(channel, tag, message, Status::kOk, out, Work::kControlMessageOut);
}

void Backup::on_withdrawn(Channel channel, Ticket ticket) {
  const std::size_t i = ticket - 1;
  SLIP_CHECK(i < buffers_.size());
  if (buffers_[i].phase != Phase::kWithdrawing || buffers_[i].channel != channel) return;
  buffers_[i].phase = Phase::kVerifying;
  ++verifying_;
}

void Backup::on_channel_down(Channel channel, Outbox& out) {
  peers_.erase(channel);
  const auto uses = [channel](const Buffer& b) {
    return b.phase != Phase::kFree && b.writable && b.channel == channel;
  };
  if (std::any_of(buffers_.begin(), buffers_.end(), uses)) out.revoke(channel);
}

void Backup::on_revoked(Channel channel) {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    Buffer& buffer = buffers_[i];
    if (buffer.phase == Phase::kFree || buffer.channel != channel) continue;
    buffer.writable = false;
    // An open replica stays as it is, for recovery.
    if (buffer.phase == Phase::kGranting) buffer.phase = Phase::kOpen;
    // The withdrawal may go unanswered: revocation says as much, and more.
    if (buffer.phase == Phase::kWithdrawing) on_withdrawn(channel, i + 1);
  }
}

void Backup::advance(Outbox& out) {
  for (std::size_t i = 0; verifying_ > 0 && i < buffers_.size(); ++i) {
    if (buffers_[i].phase == Phase::kVerifying) return verify(i, out);
  }
}

void Backup::verify(std::size_t i, Outbox& out) {
  Buffer& buffer = buffers_[i];
  const ConstBytes closed = memory(i).first(buffer.closed_bytes);
  const std::size_t before = buffer.walk.valid_bytes();
  const bool more = buffer.walk.advance(closed, kVerifyPerTurn);
  out.work(Work::kCrcBytes, buffer.walk.valid_bytes() - before);
  if (more && buffer.walk.valid_bytes() < closed.size()) return;
  --verifying_;
  buffer.phase = Phase::kFlushing;
  if (buffer.walk.valid_bytes() != closed.size() || buffer.walk.crc() != buffer.closed_crc) {
    trouble_ = fmt::format("replica of segment {} of node {}: closed with {} bytes, but only {} verify",
                           index(buffer.identity.segment), index(buffer.identity.master), closed.size(),
                           buffer.walk.valid_bytes());
    return;
  }
  StorageOp op;
  op.kind = StorageOpKind::kAppend;
  op.frame = frame_of(buffer.identity);
  op.source = closed;
  out.store(op);
}

void Backup::on_stored(std::uint64_t frame, std::uint64_t bytes) {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    if (buffer.phase != Phase::kFlushing || frame_of(buffer.identity) != frame) continue;
    if (bytes < buffer.closed_bytes) return;
    stored_[frame] = buffer.closed_bytes;
    release(i);
    return;
  }
}

void Backup::on_storage_failed(std::uint64_t frame, std::uint64_t error) {
  trouble_ = fmt::format("flush of segment {} of node {} failed: {}", frame & 0xffffffffffff, frame >> 48,
                         std::strerror(static_cast<int>(error)));
}

void Backup::note(std::size_t i, ReplicaState state) {
  const Buffer& buffer = buffers_[i];
  ReplicaRecord record;
  record.state = state;
  record.segment = index(buffer.identity.segment);
  record.epoch = buffer.identity.epoch;
  record.replica_epoch = buffer.replica_epoch;
  record.master = index(buffer.identity.master);
  record.closed_bytes = buffer.closed_bytes;
  record.closed_crc = buffer.closed_crc;
  record.crc = record_crc(record);
  store(region_.data() + i * kReplicaRecordBytes, record);
}

void Backup::release(std::size_t i) {
  if (buffers_[i].phase == Phase::kVerifying) --verifying_;
  buffers_[i] = Buffer{};
  note(i, ReplicaState::kFree);
  ++free_;
}

std::size_t Backup::find(std::uint16_t master, std::uint64_t segment) const {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    if (buffer.phase != Phase::kFree && index(buffer.identity.master) == master &&
        index(buffer.identity.segment) == segment) {
      return i;
    }
  }
  return buffers_.size();
}

std::string Backup::describe() const {
  std::string open;
  for (const Buffer& buffer : buffers_) {
    if (buffer.phase == Phase::kFree) continue;
    open += fmt::format(" {}/{}:{}", index(buffer.identity.master), index(buffer.identity.segment),
                        static_cast<int>(buffer.phase));
  }
  return fmt::format("backup free {}{}", free_, open);
}

}  // namespace slipstream
