#include "core/replication/backup.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/mutation.h"

namespace slipstream {
namespace {

// Mutants that trust in memory that is not still.
bool ignores_writers() { return mutated(Mutant::kNoRevoke) || mutated(Mutant::kScanBeforeRevoked); }

constexpr std::size_t kVerifyPerTurn = 128 * kKiB;  // about 10 us: other requests are not held up for longer

}  // namespace

Backup::Backup(const ReplicationOptions& options, const LogOptions& log, const Region& region)
    : segment_bytes_(log.segment_bytes),
      trusts_(options.policy == Policy::kOneSidedUnsafe),
      region_(region.memory),
      buffers_(options.buffers),
      free_(options.buffers),
      source_(log.segment_bytes, options.policy == Policy::kOneSidedUnsafe) {
  SLIP_CHECK(region.memory.size() >= replica_region_bytes(options.buffers, log.segment_bytes));
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const auto record = load<ReplicaRecord>(region_.data() + i * kReplicaRecordBytes);
    if (record.state == ReplicaState::kFree || record.crc != record_crc(record)) continue;
    if (record.closed_bytes > segment_bytes_) continue;  // no record of ours
    Buffer& buffer = buffers_[i];
    buffer.phase = record.state == ReplicaState::kClosed ? Phase::kVerifying : Phase::kOpen;
    buffer.identity = record.identity();
    buffer.replica_epoch = record.replica_epoch;
    buffer.copy = record.copy != 0;
    buffer.closed_bytes = record.closed_bytes;
    buffer.closed_crc = record.closed_crc;
    buffer.walk = CertificateWalk(buffer.identity);
    if (buffer.phase == Phase::kVerifying) ++verifying_;
    --free_;
  }
}

// ---- What an earlier life left in storage.

void Backup::adopt(std::span<const StoredFrame> frames, Outbox& out) {
  found_.assign(frames.begin(), frames.end());
  found_ends_.resize(found_.size());
  adopting_ = found_.size();
  for (std::size_t i = 0; i < found_.size(); ++i) {
    StorageOp op;
    op.kind = StorageOpKind::kRead;
    op.frame = found_[i].id;
    op.destination = std::as_writable_bytes(std::span(&found_ends_[i], 1));
    op.offset = found_[i].bytes - std::min<std::uint64_t>(found_[i].bytes, sizeof(ReplicaRecord));
    op.ticket = i + 1;
    out.store(op);
  }
}

void Backup::on_storage_read(std::uint64_t frame, Ticket ticket, Outbox& out) {
  if (ticket >= kFirstSourceTicket) return source_.on_read(ticket, true);
  if (adopting_ == 0 || ticket == 0 || ticket > found_.size()) return;
  --adopting_;
  const ReplicaRecord& end = found_ends_[ticket - 1];
  if (is_whole_frame(frame, found_[ticket - 1].bytes, end)) {
    stored_[frame] = {end.closed_bytes, end.closed_crc, end.replica_epoch};
    // Its buffer was not yet given back.
    const std::size_t i = find(end.master, end.segment);
    if (i < buffers_.size()) release(i, out);
  } else {
    discard_stored(frame, out);
  }
}

void Backup::on_storage_failed(std::uint64_t frame, std::uint64_t error, Ticket ticket, Outbox& out) {
  if (ticket >= kFirstSourceTicket) return source_.on_read(ticket, false);
  if (ticket != 0 && ticket <= found_.size()) {
    if (adopting_ > 0) --adopting_;
    return discard_stored(frame, out);
  }
  if (error == ENOENT) return;  // a free of what was never whole
  trouble_ = fmt::format("flush of segment {} of node {} failed: {}", segment_of_frame(frame), master_of_frame(frame),
                         std::strerror(static_cast<int>(error)));
}

// ---- Requests.

// What a primary said on a channel before its present one may arrive behind what it says on this: it is about a state
// of its log that has passed, and an inventory of then would give up what was opened since.
bool Backup::is_out_of_date(Channel channel) const {
  const auto peer = peers_.find(channel);
  return peer != peers_.end() && latest_.at(peer->second) != channel;
}

void Backup::on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  if (is_out_of_date(channel)) return out.dismiss(tag);
  switch (message.header.opcode) {
    case Opcode::kBackupOpen: return on_open(channel, tag, message, out);
    case Opcode::kBackupWrite: return on_write(channel, tag, message, out);
    case Opcode::kBackupClose: return on_close(channel, tag, message, out);
    case Opcode::kBackupFree: return on_free(channel, tag, message, out);
    case Opcode::kBackupInventory: return on_inventory(channel, tag, message, out);
    case Opcode::kReplicasOf: return on_replicas_of(channel, tag, message, out);
    case Opcode::kRecoveryData: return on_data(channel, tag, message, out);
    default: return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  }
}

bool Backup::is_fenced(std::uint16_t master, std::uint64_t segment) const {
  const auto fenced = fenced_.find(master);
  return fenced != fenced_.end() && life_of(SegmentId{segment}) <= fenced->second;
}

void Backup::on_open(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  BackupOpen request;
  const auto peer = peers_.find(channel);
  if (!read_body(message.body, request) || request.capacity != segment_bytes_ || peer == peers_.end() ||
      index(peer->second) != request.master) {
    return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  }
  if (is_fenced(request.master, request.segment) && !mutated(Mutant::kOpenForTheDead)) {
    return answer(channel, tag, message, Status::kDead, out, Work::kControlMessageOut);
  }
  // A primary that lost its channel opens the same segment again. It may have been closed meanwhile.
  const auto stored = stored_.find(frame_of(request.master, request.segment));
  if (stored != stored_.end()) {
    return answer_closed(channel, tag, message, stored->second.bytes, stored->second.epoch, out);
  }
  std::size_t i = find(request.master, request.segment);
  if (i < buffers_.size()) return open_again(i, channel, tag, request, message, out);
  i = find_free();
  if (!is_ready() || i == buffers_.size() || (request.flags & kOpenUpdate) != 0 || out.rare(Rare::kRefusedOpen)) {
    return answer(channel, tag, message, Status::kRejected, out, Work::kControlMessageOut);
  }
  next_ = i + 1;
  --free_;
  Buffer& buffer = buffers_[i];
  buffer = Buffer{};
  buffer.identity = {NodeId{request.master}, SegmentId{request.segment}, request.epoch};
  buffer.replica_epoch = request.replica_epoch;
  buffer.copy = (request.flags & kOpenCopy) != 0;
  if (trusts_) store(memory(i).data() + segment_bytes_ - sizeof(std::uint64_t), std::uint64_t{0});
  hand_out(i, channel, tag, (request.flags & kOpenOneSided) != 0, out);
}

// What an old replica of the segment holds stays, and so does what it is good for: the same bytes are sent once more,
// and until they are all there it is the replica.
void Backup::open_again(std::size_t i, Channel channel, std::uint64_t tag, const BackupOpen& request,
                        const RpcMessage& message, Outbox& out) {
  Buffer& buffer = buffers_[i];
  if (buffer.phase > Phase::kOpen && !buffer.doomed) {
    return answer_closed(channel, tag, message, buffer.closed_bytes, buffer.replica_epoch, out);
  }
  const bool is_same = buffer.writable && buffer.channel == channel && buffer.phase == Phase::kOpen;
  if (buffer.doomed || (buffer.writable && !is_same) || ((request.flags & kOpenUpdate) != 0 && !is_same)) {
    return answer(channel, tag, message, Status::kRejected, out, Work::kControlMessageOut);
  }
  buffer.tag = tag;
  if (!is_same) return hand_out(i, channel, tag, (request.flags & kOpenOneSided) != 0, out);
  if ((request.flags & kOpenUpdate) != 0) {
    buffer.replica_epoch = request.replica_epoch;
    buffer.copy = false;
    note(i, ReplicaState::kOpen);
  }
  // Its primary begins anew, or only tells the epoch; what comes next is written from the start, or goes on.
  if ((request.flags & kOpenUpdate) == 0) buffer.received = 0;
  answer_open(i, out);
}

void Backup::hand_out(std::size_t i, Channel channel, std::uint64_t tag, bool one_sided, Outbox& out) {
  Buffer& buffer = buffers_[i];
  buffer.channel = channel;
  buffer.writable = true;
  buffer.one_sided = one_sided;
  buffer.tag = tag;
  buffer.received = 0;
  note(i, ReplicaState::kOpen);
  if (one_sided) {
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
  if (buffer.doomed) return discard(i, out);
  answer_open(i, out);
}

void Backup::answer_open(std::size_t i, Outbox& out) {
  const Buffer& buffer = buffers_[i];
  RpcHeader header;
  header.opcode = Opcode::kBackupOpen;
  header.is_answer = 1;
  header.id = index(buffer.identity.segment);
  BackupOpenAnswer body;
  body.key = buffer.key;
  body.free_buffers = free_;
  body.epoch = buffer.copy ? 0 : buffer.replica_epoch;
  send_message(out, buffer.channel, header, body, buffer.tag, Work::kControlMessageOut);
}

void Backup::answer_closed(Channel channel, std::uint64_t tag, const RpcMessage& request, std::uint32_t bytes,
                           std::uint32_t epoch, Outbox& out) {
  RpcHeader header = request.header;
  header.is_answer = 1;
  send_message(out, channel, header, BackupOpenAnswer{0, free_, bytes, epoch, 0}, tag, Work::kControlMessageOut);
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
  if (is_fenced(request.master, request.segment)) return out.dismiss(tag);  // the dead get no answer
  if (i >= buffers_.size() || buffers_[i].phase != Phase::kOpen || buffers_[i].channel != channel ||
      !buffers_[i].writable || buffers_[i].doomed || index(buffers_[i].identity.segment) != request.segment ||
      request.length != bytes.size() || request.offset != buffers_[i].received ||
      bytes.size() > segment_bytes_ - request.offset) {
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
  if (is_fenced(request.master, request.segment)) return out.dismiss(tag);
  const std::size_t i = find(request.master, request.segment);
  bool right = i < buffers_.size() && buffers_[i].channel == channel && !buffers_[i].doomed;
  if (right && buffers_[i].phase > Phase::kOpen && buffers_[i].closed_bytes == request.length) {
    return answer(channel, tag, message, Status::kOk, out, Work::kControlMessageOut);  // it came twice
  }
  right = right && buffers_[i].phase == Phase::kOpen && buffers_[i].writable && request.length <= segment_bytes_ &&
          request.length >= kCertificateEntryBytes;
  if (right) {
    // The last certificate must be there and be the one that the primary means; all before it is verified next.
    const auto last = load<Certificate>(memory(i).data() + request.length - sizeof(Certificate));
    right = trusts_ || (last.covered == request.length - kCertificateEntryBytes && last.crc == request.crc);
  }
  if (!right) return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  Buffer& buffer = buffers_[i];
  buffer.closed_bytes = request.length;
  buffer.closed_crc = request.crc;
  buffer.copy = false;
  buffer.walk = CertificateWalk(buffer.identity);
  note(i, ReplicaState::kClosed);
  if (buffer.one_sided) {
    buffer.phase = Phase::kWithdrawing;
    out.withdraw(channel, buffer.key, i + 1);
  } else {
    buffer.writable = false;
    buffer.phase = Phase::kVerifying;
    ++verifying_;
  }
  answer(channel, tag, message, Status::kOk, out, Work::kControlMessageOut);
}

void Backup::on_withdrawn(Channel channel, Ticket ticket, Outbox& out) {
  const std::size_t i = ticket - 1;
  SLIP_CHECK(i < buffers_.size());
  Buffer& buffer = buffers_[i];
  if (buffer.phase != Phase::kWithdrawing || buffer.channel != channel) return;
  buffer.writable = false;
  if (buffer.doomed) {
    buffer.phase = Phase::kOpen;
    return discard(i, out);
  }
  buffer.phase = Phase::kVerifying;
  ++verifying_;
}

void Backup::on_channel_down(Channel channel, Outbox& out) {
  peers_.erase(channel);
  const auto uses = [channel](const Buffer& b) {
    return b.phase != Phase::kFree && b.writable && b.channel == channel;
  };
  if (std::any_of(buffers_.begin(), buffers_.end(), uses)) out.revoke(channel);
}

void Backup::on_revoked(Channel channel, Outbox& out) {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    Buffer& buffer = buffers_[i];
    if (buffer.phase == Phase::kFree || !buffer.writable || buffer.channel != channel) continue;
    // The withdrawal may go unanswered: revocation says as much, and more.
    if (buffer.phase == Phase::kWithdrawing) {
      on_withdrawn(channel, i + 1, out);
      continue;
    }
    buffer.writable = false;
    buffer.phase = Phase::kOpen;  // an open replica stays as it is, for recovery
    if (buffer.doomed) discard(i, out);
  }
}

// ---- What is of no use any more.

void Backup::on_free(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  out.dismiss(tag);
  BackupSegment body;
  const auto peer = peers_.find(channel);
  if (!read_body(message.body, body) || peer == peers_.end() || index(peer->second) != body.master) return;
  if (is_fenced(body.master, body.segment)) return;
  const std::size_t i = find(body.master, body.segment);
  if (i < buffers_.size()) discard(i, out);
  const std::uint64_t frame = frame_of(body.master, body.segment);
  if (stored_.contains(frame)) discard_stored(frame, out);
}

void Backup::on_inventory(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  BackupInventory body;
  const auto peer = peers_.find(channel);
  if (!read_body(message.body, body) || peer == peers_.end() || index(peer->second) != body.master ||
      message.body.size() != sizeof(body) + body.segments * sizeof(std::uint64_t)) {
    return answer(channel, tag, message, Status::kBadRequest, out, Work::kControlMessageOut);
  }
  if (is_fenced(body.master, index(first_segment(body.life)))) {
    return answer(channel, tag, message, Status::kDead, out, Work::kControlMessageOut);
  }
  std::set<std::uint64_t> wanted;
  for (std::uint32_t i = 0; i < body.segments; ++i) {
    wanted.insert(load<std::uint64_t>(message.body.data() + sizeof(body) + i * sizeof(std::uint64_t)));
  }
  const auto is_surplus = [&](std::uint16_t master, std::uint64_t segment) {
    return master == body.master && life_of(SegmentId{segment}) == body.life && !wanted.contains(segment);
  };
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    if (buffer.phase == Phase::kFree) continue;
    if (is_surplus(index(buffer.identity.master), index(buffer.identity.segment))) discard(i, out);
    wanted.erase(index(buffer.identity.master) == body.master ? index(buffer.identity.segment) : ~std::uint64_t{0});
  }
  std::vector<std::uint64_t> surplus;
  for (const auto& [frame, stored] : stored_) {
    if (is_surplus(master_of_frame(frame), segment_of_frame(frame))) surplus.push_back(frame);
    if (master_of_frame(frame) == body.master) wanted.erase(segment_of_frame(frame));
  }
  for (const std::uint64_t frame : surplus) discard_stored(frame, out);
  RpcHeader header = message.header;
  header.is_answer = 1;
  const BackupAnswer told{free_, 0};
  const std::vector<std::uint64_t> missing(wanted.begin(), wanted.end());
  const std::size_t bytes = missing.size() * sizeof(std::uint64_t);
  std::byte* const at = out.send(channel, sizeof(header) + sizeof(told) + bytes, tag, Work::kControlMessageOut);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), &told, sizeof(told));
  if (bytes > 0) std::memcpy(at + sizeof(header) + sizeof(told), missing.data(), bytes);
}

void Backup::set_masters(std::span<const MasterLife> masters, Outbox& out) {
  const auto matters = [&](std::uint16_t master, std::uint64_t segment) {
    const std::uint16_t life = life_of(SegmentId{segment});
    for (const MasterLife& known : masters) {
      if (known.node != master) continue;
      return life > known.latest || std::find(known.matters.begin(), known.matters.end(), life) != known.matters.end();
    }
    return true;
  };
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    if (buffer.phase != Phase::kFree && !buffer.doomed &&
        !matters(index(buffer.identity.master), index(buffer.identity.segment))) {
      discard(i, out);
    }
  }
  std::vector<std::uint64_t> surplus;
  for (const auto& [frame, stored] : stored_) {
    if (!matters(master_of_frame(frame), segment_of_frame(frame))) surplus.push_back(frame);
  }
  for (const std::uint64_t frame : surplus) discard_stored(frame, out);
  // Whoever is not the latest life of its node, or is it no more, opens nothing here again.
  for (const MasterLife& known : masters) {
    const auto gone = static_cast<std::uint16_t>(known.is_alive ? known.latest - 1 : known.latest);
    std::uint16_t& fenced = fenced_[known.node];
    fenced = std::max(fenced, gone);
  }
}

// Gives the buffer back, as soon as nothing can land in it and the storage does not read it.
void Backup::discard(std::size_t i, Outbox& out) {
  Buffer& buffer = buffers_[i];
  buffer.doomed = true;
  switch (buffer.phase) {
    case Phase::kFree:
    case Phase::kGranting:
    case Phase::kWithdrawing:
    case Phase::kFlushing: return;
    case Phase::kVerifying: return release(i, out);
    case Phase::kOpen: break;
  }
  if (!buffer.writable || !buffer.one_sided) return release(i, out);
  if (buffer.fenced) return;  // the revocation that is under way says so
  buffer.phase = Phase::kWithdrawing;
  out.withdraw(buffer.channel, buffer.key, i + 1);
}

void Backup::discard_stored(std::uint64_t frame, Outbox& out) {
  stored_.erase(frame);
  StorageOp op;
  op.kind = StorageOpKind::kFree;
  op.frame = frame;
  out.store(op);
}

// ---- Recovery.

void Backup::fence(std::uint16_t master, std::uint16_t life, Outbox& out) {
  std::uint16_t& fenced = fenced_[master];
  fenced = std::max(fenced, life);
  if (mutated(Mutant::kNoRevoke)) fenced = 0;
  std::set<Channel> revoked;
  for (Buffer& buffer : buffers_) {
    if (buffer.phase == Phase::kFree || buffer.fenced || index(buffer.identity.master) != master) continue;
    if (!is_fenced(master, index(buffer.identity.segment)) && !mutated(Mutant::kNoRevoke)) continue;
    buffer.fenced = true;
    if (buffer.writable && !mutated(Mutant::kNoRevoke)) revoked.insert(buffer.channel);
    if (buffer.phase > Phase::kOpen) continue;
    buffer.walk = CertificateWalk(buffer.identity);
    buffer.to_scan = true;
    ++scanning_;
  }
  for (const Channel channel : revoked) out.revoke(channel);
}

void Backup::on_replicas_of(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  Question question{channel, tag, message.header, {}};
  if (!read_body(message.body, question.body)) return out.dismiss(tag);
  fence(question.body.master, question.body.life, out);
  questions_.push_back(question);
}

// Only when nothing of the dead master can land any more is its last word known.
void Backup::scan(std::size_t i, Outbox& out) {
  Buffer& buffer = buffers_[i];
  if (trusts_) {
    const auto said = load<std::uint64_t>(memory(i).data() + segment_bytes_ - sizeof(std::uint64_t));
    buffer.said = static_cast<std::uint32_t>(std::min<std::uint64_t>(said, segment_bytes_ - kLengthBytes));
    buffer.to_scan = false;
    --scanning_;
    return;
  }
  const std::size_t before = buffer.walk.valid_bytes();
  const bool more = buffer.walk.advance(memory(i), kVerifyPerTurn);
  out.work(Work::kCrcBytes, buffer.walk.valid_bytes() - before);
  if (more) return;
  buffer.to_scan = false;
  scanned_bytes_ += buffer.walk.valid_bytes();
  --scanning_;
}

void Backup::answer_questions(Outbox& out) {
  if (!is_ready()) return;
  const auto is_still = [this](const Question& question) {
    return std::none_of(buffers_.begin(), buffers_.end(), [&](const Buffer& buffer) {
      return buffer.phase != Phase::kFree && buffer.fenced && index(buffer.identity.master) == question.body.master &&
             ((buffer.writable && !ignores_writers()) || buffer.to_scan);
    });
  };
  for (const Question& question : questions_) {
    if (is_still(question)) answer_question(question, out);
  }
  std::erase_if(questions_, is_still);
}

void Backup::answer_question(const Question& question, Outbox& out) {
  std::vector<ReplicaInfo> replicas;
  const auto is_asked = [&](std::uint16_t master, std::uint64_t segment) {
    return master == question.body.master && life_of(SegmentId{segment}) == question.body.life;
  };
  ReplicasAnswer body;
  ConstBytes digest;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    const std::uint64_t segment = index(buffer.identity.segment);
    if (buffer.phase == Phase::kFree || buffer.doomed || !is_asked(index(buffer.identity.master), segment)) continue;
    const bool closed = buffer.phase > Phase::kOpen;
    const auto valid = trusts_ ? buffer.said : static_cast<std::uint32_t>(buffer.walk.valid_bytes());
    const std::uint32_t bytes = closed ? buffer.closed_bytes : valid;
    replicas.push_back({segment, buffer.replica_epoch, (closed ? kReplicaClosed : 0) | (buffer.copy ? kReplicaCopy : 0),
                        bytes, closed ? buffer.closed_crc : buffer.walk.crc()});
    if (buffer.copy || bytes == 0 || segment < body.head) continue;
    const std::size_t at = kEntryHeaderBytes + sizeof(SegmentHeader);
    const auto header = load<EntryHeader>(memory(i).data() + at);
    if (header.type() != EntryType::kDigest || at + kEntryHeaderBytes + header.length() > bytes) continue;
    body.head = segment;
    digest = memory(i).subspan(at + kEntryHeaderBytes, header.length());
  }
  for (const auto& [frame, stored] : stored_) {
    if (!is_asked(master_of_frame(frame), segment_of_frame(frame))) continue;
    replicas.push_back({segment_of_frame(frame), stored.epoch, kReplicaClosed, stored.bytes, stored.crc});
  }
  body.replicas = static_cast<std::uint32_t>(replicas.size());
  body.digest = static_cast<std::uint32_t>(digest.size() / sizeof(std::uint64_t));
  RpcHeader header = question.header;
  header.is_answer = 1;
  const std::size_t listed = replicas.size() * sizeof(ReplicaInfo);
  std::byte* at = out.send(question.channel, sizeof(header) + sizeof(body) + listed + digest.size(), question.tag,
                           Work::kControlMessageOut);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at += sizeof(header), &body, sizeof(body));
  at += sizeof(body);
  if (listed > 0) std::memcpy(at, replicas.data(), listed);
  if (!digest.empty()) std::memcpy(at + listed, digest.data(), digest.size());
}

void Backup::on_data(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  RecoveryData body;
  if (!read_body(message.body, body)) return out.dismiss(tag);
  SegmentIdentity identity{NodeId{body.master}, SegmentId{body.segment}, 0};
  RecoverySource::Place place;
  const std::size_t i = find(body.master, body.segment);
  if (i < buffers_.size() && (!buffers_[i].writable || ignores_writers())) {
    identity = buffers_[i].identity;
    place.memory = memory(i);
  } else if (const auto stored = stored_.find(frame_of(body.master, body.segment)); stored != stored_.end()) {
    place.stored_bytes = stored->second.bytes;
  }
  out.work(Work::kRequest);
  source_.on_request(channel, tag, message, identity, place, out);
}

// ---- Verification and flush.

void Backup::advance(Outbox& out) {
  for (std::size_t i = 0; scanning_ > 0 && i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    if (!buffer.to_scan || (buffer.writable && !ignores_writers())) continue;
    scan(i, out);
    break;
  }
  for (std::size_t i = 0; is_ready() && verifying_ > 0 && i < buffers_.size(); ++i) {
    if (buffers_[i].phase != Phase::kVerifying) continue;
    verify(i, out);
    break;
  }
  source_.advance(out);
  if (!questions_.empty()) answer_questions(out);
}

void Backup::verify(std::size_t i, Outbox& out) {
  Buffer& buffer = buffers_[i];
  if (trusts_) {
    --verifying_;
    buffer.phase = Phase::kFlushing;
    return flush(i, out);
  }
  const ConstBytes closed = memory(i).first(std::min<std::size_t>(buffer.closed_bytes, segment_bytes_));
  const std::size_t before = buffer.walk.valid_bytes();
  const bool more = buffer.walk.advance(closed, kVerifyPerTurn);
  out.work(Work::kCrcBytes, buffer.walk.valid_bytes() - before);
  if (more && buffer.walk.valid_bytes() < closed.size()) return;
  if (buffer.walk.valid_bytes() != buffer.closed_bytes || buffer.walk.crc() != buffer.closed_crc) {
    return drop(i, out);
  }
  --verifying_;
  buffer.phase = Phase::kFlushing;
  flush(i, out);
}

void Backup::flush(std::size_t i, Outbox& out) {
  const Buffer& buffer = buffers_[i];
  StorageOp op;
  op.kind = StorageOpKind::kAppend;
  op.frame = frame_of(index(buffer.identity.master), index(buffer.identity.segment));
  op.source = memory(i).first(buffer.closed_bytes);
  out.store(op);
  op.source = region_.subspan(i * kReplicaRecordBytes, sizeof(ReplicaRecord));
  out.store(op);
}

// A closed replica that does not verify is worth nothing, and its primary must know.
void Backup::drop(std::size_t i, Outbox& out) {
  const Buffer& buffer = buffers_[i];
  if (const auto peer = peers_.find(buffer.channel); peer != peers_.end() && peer->second == buffer.identity.master) {
    RpcHeader header;
    header.opcode = Opcode::kBackupLost;
    BackupSegment body;
    body.segment = index(buffer.identity.segment);
    body.master = index(buffer.identity.master);
    send_message(out, buffer.channel, header, body, 0, Work::kControlMessageOut);
  }
  release(i, out);
}

void Backup::on_stored(std::uint64_t frame, std::uint64_t bytes, Outbox& out) {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const Buffer& buffer = buffers_[i];
    if (buffer.phase != Phase::kFlushing ||
        frame_of(index(buffer.identity.master), index(buffer.identity.segment)) != frame) {
      continue;
    }
    if (bytes < buffer.closed_bytes + sizeof(ReplicaRecord)) return;
    stored_[frame] = {buffer.closed_bytes, buffer.closed_crc, buffer.replica_epoch};
    const bool doomed = buffer.doomed;
    release(i, out);
    if (doomed) discard_stored(frame, out);
    return;
  }
}

void Backup::note(std::size_t i, ReplicaState state) {
  const Buffer& buffer = buffers_[i];
  ReplicaRecord record;
  record.state = state;
  record.segment = index(buffer.identity.segment);
  record.epoch = buffer.identity.epoch;
  record.replica_epoch = buffer.replica_epoch;
  record.master = index(buffer.identity.master);
  record.copy = buffer.copy ? 1 : 0;
  record.closed_bytes = buffer.closed_bytes;
  record.closed_crc = buffer.closed_crc;
  record.crc = record_crc(record);
  store(region_.data() + i * kReplicaRecordBytes, record);
}

void Backup::release(std::size_t i, Outbox& out) {
  const Buffer& buffer = buffers_[i];
  if (buffer.phase == Phase::kVerifying) --verifying_;
  if (buffer.to_scan) --scanning_;
  source_.forget(index(buffer.identity.master), index(buffer.identity.segment), out);
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
    open += fmt::format(" {}/{}:{}{}{}", index(buffer.identity.master), index(buffer.identity.segment),
                        static_cast<int>(buffer.phase), buffer.fenced ? "f" : "", buffer.doomed ? "x" : "");
  }
  return fmt::format("backup free {} stored {}{}", free_, stored_.size(), open);
}

}  // namespace slipstream
