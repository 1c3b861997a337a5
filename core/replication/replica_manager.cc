#include "core/replication/replica_manager.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"

namespace slipstream {

ReplicaManager::ReplicaManager(const ReplicationOptions& options, NodeId self, Log& log, std::uint64_t seed,
                               Channel first_channel)
    : options_(options), self_(self), log_(log), rng_(seed, "placement", index(self)), first_channel_(first_channel) {
  if (options_.policy == Policy::kNone) options_.factor = 0;
}

void ReplicaManager::set_backups(std::span<const NodeId> servers) {
  if (options_.factor == 0 || !links_.empty()) return;  // the set of backups is fixed for a run
  for (const NodeId server : servers) {
    if (server == self_) continue;
    order_.push_back(static_cast<std::uint16_t>(links_.size()));
    links_.emplace_back().backup = server;
  }
  SLIP_CHECK(links_.size() >= options_.factor, "{} backups for factor {}", links_.size(), options_.factor);
}

// ---- Facts.

void ReplicaManager::on_connected(Channel channel) { links_[channel - first_channel_].state = LinkState::kUp; }

void ReplicaManager::on_down(Channel channel, TimeNs now) {
  const auto lost = static_cast<std::uint16_t>(channel - first_channel_);
  Link& link = links_[lost];
  link.state = LinkState::kDown;
  link.writes.clear();
  link.open_replicas = 0;
  link.refused_until = now + options_.retry_ns;
  retry(link.refused_until);
  for (ReplicatedSegment& rs : open_) {
    for (Replica& replica : rs.replicas) {
      if (replica.link != lost || replica.progress.closed) continue;
      if (replica.progress.open_sent) ++rs.epoch;
      replica = Replica{};
    }
  }
}

void ReplicaManager::on_acked(Channel channel, Ticket ticket, Outbox& out) {
  out.work(Work::kCompletion);
  Link& link = links_[channel - first_channel_];
  while (!link.writes.empty() && link.writes.front().id <= ticket) {
    wrote(link, link.writes.front());
    link.writes.pop();
  }
}

void ReplicaManager::wrote(Link& link, const Write& write) {
  ReplicatedSegment* const rs = tracked(write.segment);
  SLIP_CHECK(rs != nullptr, "write acknowledged for segment {}, which is closed", write.segment);
  Replica& replica = rs->replicas[write.replica];
  SLIP_CHECK(&links_[replica.link] == &link);
  replica.progress.acked = write.end;
  --replica.progress.writes;
}

void ReplicaManager::on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out) {
  const auto from = static_cast<std::uint16_t>(channel - first_channel_);
  Link& link = links_[from];
  const RpcHeader& header = message.header;
  if (header.opcode == Opcode::kBackupWrite) {
    out.work(Work::kMessageIn);
    SLIP_CHECK(header.status == Status::kOk, "backup {} refused a write: {}", index(link.backup), name(header.status));
    SLIP_CHECK(!link.writes.empty() && link.writes.front().id == header.id, "write answered out of order");
    wrote(link, link.writes.front());
    link.writes.pop();
    return;
  }
  out.work(Work::kControlMessageIn);
  ReplicatedSegment* const rs = tracked(header.id);
  if (rs == nullptr) return;
  const auto at =
      std::find_if(rs->replicas.begin(), rs->replicas.end(), [from](const Replica& r) { return r.link == from; });
  if (at == rs->replicas.end()) return;
  if (header.opcode == Opcode::kBackupOpen && header.status == Status::kOk) {
    BackupOpenAnswer body;
    SLIP_CHECK(read_body(message.body, body));
    at->progress.opened = true;
    at->key = body.key;
    if (body.closed_bytes == 0) {
      ++link.open_replicas;
      return;
    }
    // The replica outlived its channel, whole and closed.
    const Segment& segment = log_.segment(rs->segment);
    SLIP_CHECK(segment.closed && segment.sealed == body.closed_bytes, "backup {} closed segment {} at {} bytes, not {}",
               index(link.backup), rs->segment, body.closed_bytes, segment.sealed);
    at->progress.sent = at->progress.acked = segment.sealed;
    at->progress.close_sent = at->progress.closed = true;
  } else if (header.opcode == Opcode::kBackupOpen) {
    // No buffer there: another backup, or the same one a little later.
    *at = Replica{};
    link.refused_until = now + options_.retry_ns;
    retry(link.refused_until);
  } else if (header.opcode == Opcode::kBackupClose) {
    if (header.status != Status::kOk) {
      trouble_ =
          fmt::format("backup {} cannot close segment {}: {}", index(link.backup), header.id, name(header.status));
      return;
    }
    at->progress.closed = true;
    if (link.open_replicas > 0) --link.open_replicas;
  }
}

// ---- Decisions.

ReplicatedSegment* ReplicaManager::tracked(std::uint64_t segment) {
  for (ReplicatedSegment& rs : open_) {
    if (rs.segment == segment) return &rs;
  }
  return nullptr;
}

void ReplicaManager::advance(TimeNs now, Outbox& out) {
  if (options_.factor == 0) {
    durable_ = log_.appended_position();
    return;
  }
  if (retry_at_ <= now) retry_at_ = kNever;
  for (; next_segment_ < log_.segment_count(); ++next_segment_) {
    ReplicatedSegment& rs = open_.emplace_back();
    rs.segment = next_segment_;
    rs.replicas.resize(options_.factor);
  }
  while (!open_.empty() && log_.segment(open_.front().segment).closed && open_.front().all_closed()) open_.pop_front();

  bool may_open = true;  // all before it are open everywhere
  bool may_fill = true;  // all before it are closed everywhere
  for (std::size_t i = 0; i < open_.size() && may_open; ++i) {
    ReplicatedSegment& rs = open_[i];
    may_open = advance_open(rs, now, out);
    const bool is_head = i + 1 == open_.size();
    const Segment& segment = log_.segment(rs.segment);
    rs.note_batch(segment.sealed);
    if (is_head && may_fill && can_take_batch(rs)) {
      log_.seal(out);
      rs.note_batch(segment.sealed);
    }
    advance_bytes(rs, may_fill ? segment.sealed : segment.opening, out);
    if (!is_head && segment.closed) {
      // The successor must be durably open before this one's end is told.
      const ReplicatedSegment& successor = open_[i + 1];
      if (successor.all_opened() && successor.acked() >= log_.segment(successor.segment).opening) {
        advance_close(rs, out);
      }
    }
    may_fill = may_fill && segment.closed && rs.all_closed();
  }
  find_durable();
}

// Places and opens what is not open yet; true when all replicas are open.
bool ReplicaManager::advance_open(ReplicatedSegment& rs, TimeNs now, Outbox& out) {
  bool all = true;
  for (Replica& replica : rs.replicas) {
    if (replica.progress.opened) continue;
    all = false;
    if (replica.progress.open_sent) continue;
    if (replica.link == kNoLink && !place(rs, replica, now)) continue;
    Link& link = links_[replica.link];
    if (link.state == LinkState::kDown) {
      link.state = LinkState::kConnecting;
      out.connect(channel_of(replica.link), link.backup);
    }
    if (link.state != LinkState::kUp) continue;
    const Segment& segment = log_.segment(rs.segment);
    RpcHeader header;
    header.opcode = Opcode::kBackupOpen;
    header.id = rs.segment;
    BackupOpen open;
    open.segment = rs.segment;
    open.epoch = segment.identity.epoch;
    open.replica_epoch = rs.epoch;
    open.master = index(self_);
    open.one_sided = options_.policy == Policy::kTailwind ? 1 : 0;
    open.capacity = static_cast<std::uint32_t>(segment.memory.size());
    send_message(out, channel_of(replica.link), header, open, 0, Work::kControlMessageOut);
    replica.progress.open_sent = true;
  }
  return all;
}

// Best of a few random candidates by load; never one that already holds a replica of the segment.
bool ReplicaManager::place(ReplicatedSegment& rs, Replica& replica, TimeNs now) {
  std::uint16_t best = kNoLink;
  std::uint32_t seen = 0;
  TimeNs earliest = kNever;
  const std::size_t count = links_.size();
  for (std::size_t n = 0; n < count && seen < options_.candidates; ++n) {
    // The next of a random permutation, drawn as far as it is needed (Fisher and Yates).
    std::swap(order_[n], order_[n + rng_.below(count - n)]);
    const std::uint16_t i = order_[n];
    const bool taken =
        std::any_of(rs.replicas.begin(), rs.replicas.end(), [i](const Replica& r) { return r.link == i; });
    if (taken) continue;
    if (links_[i].refused_until > now) {
      earliest = std::min(earliest, links_[i].refused_until);
      continue;
    }
    ++seen;
    if (best == kNoLink || links_[i].open_replicas < links_[best].open_replicas) best = i;
  }
  if (best == kNoLink) {
    retry(earliest);
    return false;
  }
  replica.link = best;
  return true;
}

bool ReplicaManager::can_take_batch(const ReplicatedSegment& rs) const {
  const Segment& segment = log_.segment(rs.segment);
  if (segment.appended == segment.sealed) return false;
  for (const Replica& r : rs.replicas) {
    if (!r.progress.opened || r.progress.writes >= options_.window) return false;
  }
  return true;
}

void ReplicaManager::advance_bytes(ReplicatedSegment& rs, std::uint32_t limit, Outbox& out) {
  for (std::uint16_t i = 0; i < rs.replicas.size(); ++i) {
    Progress& progress = rs.replicas[i].progress;
    while (progress.opened && progress.sent < limit && progress.writes < options_.window) {
      const auto most = static_cast<std::uint32_t>(options_.max_write_bytes);
      const std::uint32_t end = limit - progress.sent > most ? progress.sent + most : limit;
      send_bytes(rs, i, end, out);
      progress.sent = end;
      ++progress.writes;
    }
  }
}

void ReplicaManager::send_bytes(ReplicatedSegment& rs, std::uint16_t i, std::uint32_t end, Outbox& out) {
  const Replica& replica = rs.replicas[i];
  const Segment& segment = log_.segment(rs.segment);
  const std::uint32_t from = replica.progress.sent;
  const Slice bytes{segment.memory.data() + from, end - from};
  Link& link = links_[replica.link];
  const Write& write = Write{link.next_id++, rs.segment, i, end};
  link.writes.push(write);
  if (options_.policy == Policy::kTailwind) {
    out.write(channel_of(replica.link), bytes, replica.key, from, write.id);
    return;
  }
  RpcHeader header;
  header.opcode = Opcode::kBackupWrite;
  header.id = write.id;
  BackupWrite body;
  body.segment = rs.segment;
  body.offset = from;
  body.length = end - from;
  body.master = index(self_);
  body.buffer = static_cast<std::uint16_t>(replica.key);
  body.epoch = segment.identity.epoch;
  std::byte* const head =
      out.send(channel_of(replica.link), sizeof(header) + sizeof(body), 0, Work::kMessageOut, std::span(&bytes, 1));
  std::memcpy(head, &header, sizeof(header));
  std::memcpy(head + sizeof(header), &body, sizeof(body));
}

void ReplicaManager::advance_close(ReplicatedSegment& rs, Outbox& out) {
  const Segment& segment = log_.segment(rs.segment);
  for (Replica& replica : rs.replicas) {
    Progress& progress = replica.progress;
    if (progress.close_sent || progress.acked < segment.sealed) continue;
    RpcHeader header;
    header.opcode = Opcode::kBackupClose;
    header.id = rs.segment;
    BackupClose body;
    body.segment = rs.segment;
    body.epoch = segment.identity.epoch;
    body.length = segment.sealed;
    body.crc = segment.crc;
    body.master = index(self_);
    send_message(out, channel_of(replica.link), header, body, 0, Work::kControlMessageOut);
    progress.close_sent = true;
  }
}

void ReplicaManager::find_durable() {
  durable_ = position_of(SegmentId{next_segment_}, 0);
  for (ReplicatedSegment& rs : open_) {
    const std::uint32_t end = rs.durable();
    const Segment& segment = log_.segment(rs.segment);
    if (segment.closed && end == segment.sealed) continue;
    durable_ = position_of(segment.identity.segment, end);
    return;
  }
}

bool ReplicaManager::idle() const {
  if (options_.factor == 0) return true;
  for (const Link& link : links_) {
    if (!link.writes.empty()) return false;
  }
  return durable_position() >= log_.appended_position();
}

std::string ReplicaManager::describe() const {
  std::string line = fmt::format("durable {:x}", durable_position());
  for (const ReplicatedSegment& rs : open_) {
    line += fmt::format(" seg {} epoch {} [", rs.segment, rs.epoch);
    for (const Replica& r : rs.replicas) {
      line += fmt::format(" {}:{}{}{}/{}w{}", r.link == kNoLink ? -1 : static_cast<int>(index(links_[r.link].backup)),
                          r.progress.opened      ? "o"
                          : r.progress.open_sent ? "?"
                                                 : "-",
                          r.progress.closed ? "c" : "", r.progress.sent, r.progress.acked, r.progress.writes);
    }
    line += " ]";
  }
  return line;
}

}  // namespace slipstream
