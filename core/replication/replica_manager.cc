#include "core/replication/replica_manager.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/mutation.h"

namespace slipstream {
namespace {

// Side segments, and closed ones that are restored, that are carried at the same time: a bound on the backups' buffers
// and on what the foreground has to share the network with.
constexpr std::size_t kOthersAtOnce = 8;

}  // namespace

ReplicaManager::ReplicaManager(const ReplicationOptions& options, NodeId self, Log& log, PeerLinks& peers,
                               std::uint64_t seed)
    : options_(options),
      self_(self),
      log_(log),
      peers_(peers),
      rng_(seed, "placement", index(self)),
      segments_(log.slots()) {
  if (options_.policy == Policy::kNone) options_.factor = 0;
  if (options_.policy == Policy::kOneSidedUnsafe) options_.window = 1;  // a length stays until it is acknowledged
}

void ReplicaManager::start() {
  if (!links_.empty()) return;
  links_.resize(peers_.size());
  for (std::uint16_t i = 0; i < links_.size(); ++i) order_.push_back(i);
  SLIP_CHECK(links_.size() >= options_.factor, "{} backups for factor {}", links_.size(), options_.factor);
}

// ---- Facts.

void ReplicaManager::set_server(std::uint16_t link, std::uint16_t life, bool is_up) {
  Link& l = links_[link];
  const bool was_lost = l.usable && l.life != 0 && (!is_up || life != l.life);
  l.usable = is_up;
  l.life = life;
  if (!was_lost) return;
  if (std::exchange(l.inventory_due, false)) --inventories_due_;
  for_each_on(link, [this](ReplicatedSegment& rs, Replica& replica) {
    if (!mutated(Mutant::kDeadStayLost) || !replica.progress.closed) lose(rs, replica);
  });
}

template <typename Act>
void ReplicaManager::for_each_on(std::uint16_t link, Act&& act) {
  for (ReplicatedSegment& rs : segments_) {
    Replica* const replica = rs.slot == kNoSlot ? nullptr : replica_on(rs, link);
    if (replica != nullptr) act(rs, *replica);
  }
  for (auto& [segment, rs] : detached_) {
    Replica* const replica = replica_on(rs, link);
    if (replica != nullptr) act(rs, *replica);
  }
}

void ReplicaManager::due(Link& link) {
  if (!std::exchange(link.inventory_due, true)) ++inventories_due_;
}

void ReplicaManager::owe(std::uint16_t link, TimeNs now) {
  Link& l = links_[link];
  if (l.owed == 0 && l.writes.empty()) l.heard_at = now;
  ++l.owed;
}

void ReplicaManager::on_connected(Channel channel) { due(links_[peers_.link_of(channel)]); }

void ReplicaManager::on_down(Channel channel, TimeNs now) {
  const std::uint16_t lost = peers_.link_of(channel);
  Link& link = links_[lost];
  link.writes.clear();
  link.open_replicas = 0;
  link.owed = 0;
  link.is_revoked = false;
  link.refused_until = now + options_.retry_ns;
  if (link.usable) due(link);
  retry(link.refused_until);
  const auto reset = [this, lost](std::uint32_t slot) {
    Replica* const replica = replica_on(segments_[slot], lost);
    if (replica != nullptr && !replica->progress.closed) lose(segments_[slot], *replica);
  };
  for (const std::uint32_t slot : heads_) reset(slot);
  for (const std::uint32_t slot : others_) reset(slot);
}

Replica* ReplicaManager::replica_on(ReplicatedSegment& rs, std::uint16_t link) {
  for (Replica& replica : rs.replicas) {
    if (replica.link == link) return &replica;
  }
  return nullptr;
}

void ReplicaManager::lose(ReplicatedSegment& rs, Replica& replica) {
  const bool is_detached = rs.slot == kNoSlot;
  if (is_detached && rs.all_closed()) ++wounded_;
  if (rs.is_head && replica.progress.open_sent) {
    ++rs.epoch;
    rs.has_epoch = false;
    if (!options_.recoverable) rs.recorded = rs.epoch;
  }
  replica = Replica{};
  replica.generation = ++generations_;
  if (rs.is_working || is_detached) return;
  rs.is_working = rs.was_restored = true;
  others_.push_back(rs.slot);
}

void ReplicaManager::on_acked(Channel channel, Ticket ticket, TimeNs now, Outbox& out) {
  out.work(Work::kCompletion);
  const std::uint16_t from = peers_.link_of(channel);
  links_[from].heard_at = now;
  Ring<Write>& writes = links_[from].writes;
  while (!writes.empty() && writes.front().id <= ticket) {
    wrote(from, writes.front());
    writes.pop();
  }
}

void ReplicaManager::wrote(std::uint16_t link, const Write& write) {
  ReplicatedSegment& rs = segments_[write.slot];
  // It may have been lost, or its segment freed, while its link lived on.
  if (rs.slot == kNoSlot) return;
  Replica& replica = rs.replicas[write.replica];
  if (replica.link != link || replica.generation != write.generation) return;
  replica.progress.acked = write.end;
  --replica.progress.writes;
}

void ReplicaManager::on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out) {
  const std::uint16_t from = peers_.link_of(channel);
  Link& link = links_[from];
  const RpcHeader& header = message.header;
  if (header.opcode == Opcode::kBackupWrite) {
    out.work(Work::kMessageIn);
    link.heard_at = now;
    if (link.writes.empty() || link.writes.front().id != header.id) return;  // it came twice
    const Write write = link.writes.front();
    link.writes.pop();
    if (header.status == Status::kOk) return wrote(from, write);
    // Refused: another write of the replica was lost on its way.
    ReplicatedSegment& rs = segments_[write.slot];
    if (rs.slot != kNoSlot && rs.replicas[write.replica].generation == write.generation) {
      lose(rs, rs.replicas[write.replica]);
    }
    return;
  }
  out.work(Work::kControlMessageIn);
  link.heard_at = now;
  if (link.owed > 0) --link.owed;
  if (header.status == Status::kDead) {
    refused_ = true;
    return;
  }
  if (header.opcode == Opcode::kBackupInventory) return on_inventory(from, message.body);
  ReplicatedSegment* const rs = working(header.id);
  Replica* const replica = rs == nullptr ? nullptr : replica_on(*rs, from);
  if (replica == nullptr) return;
  if (header.opcode == Opcode::kBackupOpen && header.status == Status::kOk) {
    on_opened(*rs, *replica, message);
  } else if (header.opcode == Opcode::kBackupOpen && !replica->progress.opened) {
    // No buffer there: another backup, or the same one a little later.
    *replica = Replica{};
    replica->generation = ++generations_;
    link.refused_until = now + options_.retry_ns;
    retry(link.refused_until);
  } else if (header.opcode == Opcode::kBackupClose && header.status == Status::kOk) {
    replica->progress.closed = true;
    if (link.open_replicas > 0) --link.open_replicas;
  } else {
    lose(*rs, *replica);  // it is not what we think it is
    due(link);
  }
}

void ReplicaManager::on_opened(ReplicatedSegment& rs, Replica& replica, const RpcMessage& message) {
  BackupOpenAnswer body;
  if (!read_body(message.body, body)) return lose(rs, replica);  // whatever it is, it is no backup's word
  Progress& progress = replica.progress;
  progress.epoch = body.epoch;
  if (progress.opened) return;  // an update
  const Segment& segment = log_.slot(rs.slot);
  // Closed as it never was: what it holds is another's, or garbled.
  if (body.closed_bytes != 0 && (!segment.closed || segment.sealed != body.closed_bytes)) return lose(rs, replica);
  progress.opened = true;
  replica.key = body.key;
  if (body.closed_bytes == 0) {
    ++links_[replica.link].open_replicas;
    return;
  }
  // The replica outlived its channel, whole and closed.
  progress.sent = progress.acked = segment.sealed;
  progress.close_sent = progress.closed = true;
}

void ReplicaManager::on_lost(Channel channel, const RpcMessage& message) {
  BackupSegment body;
  if (!read_body(message.body, body)) return;
  const std::uint16_t from = peers_.link_of(channel);
  for_each_on(from, [&](ReplicatedSegment& rs, Replica& replica) {
    if (rs.segment == body.segment) lose(rs, replica);
  });
}

void ReplicaManager::on_inventory(std::uint16_t link, ConstBytes body) {
  for (std::size_t at = sizeof(BackupAnswer); at + sizeof(std::uint64_t) <= body.size(); at += sizeof(std::uint64_t)) {
    const auto missing = load<std::uint64_t>(body.data() + at);
    for_each_on(link, [&](ReplicatedSegment& rs, Replica& replica) {
      if (rs.segment == missing && replica.progress.closed) lose(rs, replica);
    });
  }
}

void ReplicaManager::on_recorded(std::span<const SegmentEpoch> epochs) {
  for (const SegmentEpoch& recorded : epochs) {
    ReplicatedSegment* const rs = working(recorded.segment);
    const auto epoch = static_cast<std::int64_t>(recorded.epoch);
    if (rs != nullptr && epoch > rs->recorded && epoch <= rs->epoch) rs->recorded = epoch;
  }
}

std::vector<SegmentEpoch> ReplicaManager::wanted_epochs() const {
  std::vector<SegmentEpoch> wanted;
  for (const std::uint32_t slot : heads_) {
    const ReplicatedSegment& rs = segments_[slot];
    if (!rs.settled() && rs.has_epoch) wanted.push_back({rs.segment, rs.epoch});
  }
  return wanted;
}

// ---- Decisions.

ReplicatedSegment* ReplicaManager::working(std::uint64_t segment) {
  for (const std::uint32_t slot : heads_) {
    if (segments_[slot].segment == segment) return &segments_[slot];
  }
  for (const std::uint32_t slot : others_) {
    if (segments_[slot].segment == segment) return &segments_[slot];
  }
  return nullptr;
}

void ReplicaManager::take_opened() {
  for (Ring<std::uint32_t>& opened = log_.opened(); !opened.empty(); opened.pop()) {
    const std::uint32_t slot = opened.front();
    const Segment& segment = log_.slot(slot);
    ReplicatedSegment& rs = segments_[slot];
    rs = ReplicatedSegment{};
    rs.segment = index(segment.identity.segment);
    rs.slot = slot;
    rs.is_head = segment.use == SegmentUse::kHead;
    rs.is_working = true;
    rs.replicas.resize(options_.factor);
    for (Replica& replica : rs.replicas) replica.generation = ++generations_;
    if (rs.is_head) {
      // Once anything of it may be acknowledged, a log that is not found is a log that is lost.
      if (options_.recoverable && !has_begun_) rs.recorded = -1;
      has_begun_ = true;
      heads_.push_back(slot);
    } else {
      others_.push_back(slot);
    }
  }
}

void ReplicaManager::advance(TimeNs now, Outbox& out) {
  if (options_.factor == 0) {
    log_.opened().clear();
    durable_ = log_.appended_position();
    return;
  }
  if (retry_at_ <= now) retry_at_ = kNever;
  if (!log_.opened().empty()) take_opened();
  advance_heads(now, out);
  if (!others_.empty()) advance_others(now, out);
  advance_inventories(now, out);
  advance_timeouts(now, out);
  find_durable();
}

bool ReplicaManager::is_durably_open(const ReplicatedSegment& head) const {
  return head.all_opened() && head.settled() && head.acked() >= log_.slot(head.slot).opening;
}

void ReplicaManager::advance_heads(TimeNs now, Outbox& out) {
  while (!heads_.empty()) {
    ReplicatedSegment& rs = segments_[heads_.front()];
    if (!log_.slot(rs.slot).closed || !rs.all_closed() || !rs.settled()) break;
    rs.is_working = rs.is_head = false;
    heads_.pop_front();
  }
  bool may_open = true;  // all before it are durably open
  bool may_fill = true;  // all before it are closed everywhere
  for (std::size_t i = 0; i < heads_.size() && may_open; ++i) {
    ReplicatedSegment& rs = segments_[heads_[i]];
    advance_open(rs, now, out);
    const bool is_head = i + 1 == heads_.size();
    const Segment& segment = log_.slot(rs.slot);
    rs.note_batch(segment.sealed);
    if (is_head && may_fill && can_take_batch(rs)) {
      log_.seal(out);
      rs.note_batch(segment.sealed);
    }
    // What was on all replicas once was let through then, even if its predecessor lost a closed replica since.
    const std::uint32_t limit = may_fill ? segment.sealed : std::max(segment.opening, rs.replicated_end);
    advance_bytes(rs, limit, now, out);
    if (!rs.settled()) advance_epoch(rs, limit, now, out);
    if (!is_head && segment.closed) {
      // The successor must be durably open before this one's end is told.
      const ReplicatedSegment& successor = segments_[heads_[i + 1]];
      if (mutated(Mutant::kCloseBeforeOpen)) advance_close(rs, now, out);
      if (is_durably_open(successor)) advance_close(rs, now, out);
    }
    may_open = is_durably_open(rs);
    may_fill = may_fill && segment.closed && rs.all_closed() && rs.settled();
    may_fill = may_fill || mutated(Mutant::kFillBeforeClose);
  }
}

void ReplicaManager::advance_others(TimeNs now, Outbox& out) {
  const std::size_t count = std::min(others_.size(), kOthersAtOnce);
  for (std::size_t i = 0; i < count; ++i) {
    ReplicatedSegment& rs = segments_[others_[i]];
    const Segment& segment = log_.slot(rs.slot);
    advance_open(rs, now, out);
    advance_bytes(rs, segment.sealed, now, out);
    if (!segment.closed) continue;
    advance_close(rs, now, out);
    rs.is_working = !rs.all_closed();
    if (!rs.is_working && rs.was_restored) has_restored_ = true;
    if (!rs.is_working) rs.was_restored = false;
  }
  std::erase_if(others_, [this](std::uint32_t slot) { return !segments_[slot].is_working; });
  // Now what had to stay until the new replicas were whole may go.
  const auto is_restored = [this](std::uint32_t slot) { return segments_[slot].was_restored; };
  if (!has_restored_ || std::any_of(others_.begin(), others_.end(), is_restored)) return;
  has_restored_ = false;
  for (Link& link : links_) due(link);
}

// A message may be lost, and the one who should answer it waits for ever: dial anew.
void ReplicaManager::advance_timeouts(TimeNs now, Outbox& out) {
  if (!options_.recoverable || now < check_at_) return;
  check_at_ = now + options_.answer_timeout_ns / 4;
  for (std::uint16_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if ((link.owed == 0 && link.writes.empty()) || link.is_revoked || !peers_.is_up(i)) continue;
    if (now - link.heard_at < options_.answer_timeout_ns) continue;
    link.is_revoked = true;  // kRevoked comes as the end of any other channel does
    out.revoke(peers_.channel(i));
  }
}

// What a backup holds beyond our list is of an earlier time. While a lost replica is being replaced it may be all that
// others have left: for heads the list waits, and segments that are being restored are on everybody's.
void ReplicaManager::advance_inventories(TimeNs now, Outbox& out) {
  if (inventories_due_ == 0) return;
  for (std::uint16_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if (!link.inventory_due || !link.usable) continue;
    if (std::any_of(heads_.begin(), heads_.end(), [this](std::uint32_t s) { return !segments_[s].settled(); })) return;
    if (!peers_.want(i, now, out) || log_.head_slot() == kNoSlot) continue;
    link.inventory_due = false;
    --inventories_due_;
    std::vector<std::uint64_t> ids;
    for (const ReplicatedSegment& rs : segments_) {
      if (rs.slot != kNoSlot && (rs.is_working || rs.is_on(i))) ids.push_back(rs.segment);
    }
    for (const auto& [segment, rs] : detached_) {
      if (!rs.all_closed() || rs.is_on(i)) ids.push_back(segment);
    }
    RpcHeader header;
    header.opcode = Opcode::kBackupInventory;
    BackupInventory body;
    body.master = index(self_);
    body.life = life_of(log_.head().identity.segment);
    body.segments = static_cast<std::uint32_t>(ids.size());
    const std::size_t bytes = ids.size() * sizeof(std::uint64_t);
    std::byte* const at =
        out.send(peers_.channel(i), sizeof(header) + sizeof(body) + bytes, 0, Work::kControlMessageOut);
    std::memcpy(at, &header, sizeof(header));
    std::memcpy(at + sizeof(header), &body, sizeof(body));
    if (bytes > 0) std::memcpy(at + sizeof(header) + sizeof(body), ids.data(), bytes);
    owe(i, now);
  }
}

// Places and opens what is not open yet.
void ReplicaManager::advance_open(ReplicatedSegment& rs, TimeNs now, Outbox& out) {
  for (Replica& replica : rs.replicas) {
    if (replica.progress.open_sent) continue;
    if (replica.link == kNoLink && !place(rs, replica, now)) continue;
    if (!peers_.want(replica.link, now, out)) continue;
    const bool is_first = rs.is_head && rs.epoch == 0;
    send_open(rs, replica, is_first || mutated(Mutant::kCopyAsGood) ? 0 : kOpenCopy, now, out);
    replica.progress.open_sent = true;
  }
}

void ReplicaManager::send_open(const ReplicatedSegment& rs, const Replica& replica, std::uint16_t flags, TimeNs now,
                               Outbox& out) {
  const Segment& segment = log_.slot(rs.slot);
  RpcHeader header;
  header.opcode = Opcode::kBackupOpen;
  header.id = rs.segment;
  BackupOpen open;
  open.segment = rs.segment;
  open.epoch = segment.identity.epoch;
  open.replica_epoch = rs.epoch;
  open.master = index(self_);
  open.flags = flags | (is_one_sided(options_.policy) ? kOpenOneSided : 0);
  open.capacity = static_cast<std::uint32_t>(segment.memory.size());
  send_message(out, peers_.channel(replica.link), header, open, 0, Work::kControlMessageOut);
  owe(replica.link, now);
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
    if (!links_[i].usable || replica_on(rs, i) != nullptr) continue;
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
  const Segment& segment = log_.slot(rs.slot);
  if (segment.appended == segment.sealed || !rs.settled()) return false;
  for (const Replica& r : rs.replicas) {
    if (!r.progress.opened || r.progress.writes >= options_.window) return false;
  }
  return true;
}

void ReplicaManager::advance_bytes(ReplicatedSegment& rs, std::uint32_t limit, TimeNs now, Outbox& out) {
  for (std::uint16_t i = 0; i < rs.replicas.size(); ++i) {
    Progress& progress = rs.replicas[i].progress;
    while (progress.opened && progress.sent < limit && progress.writes < options_.window) {
      const auto most = static_cast<std::uint32_t>(options_.max_write_bytes);
      std::uint32_t end = limit - progress.sent > most ? progress.sent + most : limit;
      if (out.rare(Rare::kSmallWrite)) {
        end = progress.sent + 1 + static_cast<std::uint32_t>(out.rare_below(end - progress.sent));
      }
      send_bytes(rs, i, end, now, out);
      progress.sent = end;
      ++progress.writes;
    }
  }
}

void ReplicaManager::send_bytes(ReplicatedSegment& rs, std::uint16_t i, std::uint32_t end, TimeNs now, Outbox& out) {
  const Replica& replica = rs.replicas[i];
  const Segment& segment = log_.slot(rs.slot);
  const std::uint32_t from = replica.progress.sent;
  const Slice bytes{segment.memory.data() + from, end - from};
  const Channel channel = peers_.channel(replica.link);
  Link& link = links_[replica.link];
  if (link.owed == 0 && link.writes.empty()) link.heard_at = now;
  const Write write{link.next_id++, rs.slot, i, end, replica.generation};
  link.writes.push(write);
  if (options_.policy == Policy::kTailwind) {
    out.write(channel, bytes, replica.key, from, write.id);
    return;
  }
  if (options_.policy == Policy::kOneSidedUnsafe) {
    std::byte* const length = segment.memory.data() + segment.memory.size() - kLengthBytes + i * sizeof(std::uint64_t);
    store(length, std::uint64_t{end});
    out.write(channel, bytes, replica.key, from, 0);
    out.write(channel, {length, sizeof(std::uint64_t)}, replica.key, segment.memory.size() - sizeof(std::uint64_t),
              write.id);
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
  std::byte* const head = out.send(channel, sizeof(header) + sizeof(body), 0, Work::kMessageOut, std::span(&bytes, 1));
  std::memcpy(head, &header, sizeof(header));
  std::memcpy(head + sizeof(header), &body, sizeof(body));
}

void ReplicaManager::advance_epoch(ReplicatedSegment& rs, std::uint32_t limit, TimeNs now, Outbox& out) {
  rs.has_epoch = false;
  if (!rs.all_opened() || rs.acked() < limit) return;
  rs.has_epoch = true;
  for (Replica& replica : rs.replicas) {
    Progress& progress = replica.progress;
    if (progress.closed || progress.epoch == rs.epoch) continue;
    rs.has_epoch = false;
    if (progress.update_sent == rs.epoch) continue;
    progress.update_sent = rs.epoch;
    send_open(rs, replica, kOpenUpdate, now, out);
  }
}

void ReplicaManager::advance_close(ReplicatedSegment& rs, TimeNs now, Outbox& out) {
  const Segment& segment = log_.slot(rs.slot);
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
    send_message(out, peers_.channel(replica.link), header, body, 0, Work::kControlMessageOut);
    owe(replica.link, now);
    progress.close_sent = true;
  }
}

void ReplicaManager::forget(std::uint32_t slot, Outbox& out) {
  ReplicatedSegment& rs = segments_[slot];
  if (rs.slot == kNoSlot) return;  // policy none
  SLIP_CHECK(!rs.is_head, "segment {} is still one of the heads", rs.segment);
  free_replicas(rs, out);
  std::erase(others_, slot);
  rs = ReplicatedSegment{};
}

void ReplicaManager::detach(std::uint32_t slot) {
  ReplicatedSegment& rs = segments_[slot];
  if (rs.slot == kNoSlot) return;  // policy none
  SLIP_CHECK(!rs.is_working, "segment {} is not whole on its backups", rs.segment);
  rs.slot = kNoSlot;
  detached_[rs.segment] = std::move(rs);
  rs = ReplicatedSegment{};
}

void ReplicaManager::forget_detached(std::uint64_t segment, Outbox& out) {
  const auto found = detached_.find(segment);
  if (found == detached_.end()) return;  // policy none
  free_replicas(found->second, out);
  if (!found->second.all_closed()) {
    // What others held of it had to stay until now.
    --wounded_;
    for (Link& link : links_) due(link);
  }
  detached_.erase(found);
}

std::vector<std::uint64_t> ReplicaManager::wounded() const {
  std::vector<std::uint64_t> wounded;
  for (const auto& [segment, rs] : detached_) {
    if (!rs.all_closed()) wounded.push_back(segment);
  }
  return wounded;
}

void ReplicaManager::free_replicas(ReplicatedSegment& rs, Outbox& out) {
  for (const Replica& replica : rs.replicas) {
    if (!replica.progress.open_sent) continue;
    if (!peers_.is_up(replica.link)) {
      due(links_[replica.link]);
      continue;
    }
    RpcHeader header;
    header.opcode = Opcode::kBackupFree;
    BackupSegment body;
    body.segment = rs.segment;
    body.master = index(self_);
    send_message(out, peers_.channel(replica.link), header, body, 0, Work::kControlMessageOut);
    Link& link = links_[replica.link];
    if (replica.progress.opened && !replica.progress.closed && link.open_replicas > 0) --link.open_replicas;
  }
}

void ReplicaManager::find_durable() {
  durable_ = log_.appended_position();
  for (const std::uint32_t slot : heads_) {
    ReplicatedSegment& rs = segments_[slot];
    const Segment& segment = log_.slot(slot);
    const std::uint32_t end = rs.settled() ? rs.durable() : 0;
    if (segment.closed && end == segment.sealed) continue;
    durable_ = position_of(segment.identity.segment, end);
    return;
  }
}

bool ReplicaManager::digest_is_durable() const {
  if (options_.factor == 0) return true;
  // A head that was opened in this turn is not among them yet.
  if (heads_.size() != 1 || heads_.front() != log_.head_slot()) return false;
  const ReplicatedSegment& head = segments_[heads_.front()];
  return is_durably_open(head);
}

bool ReplicaManager::is_digest_durable(std::uint64_t head) const {
  if (options_.factor == 0) return true;
  if (heads_.empty()) return false;
  const ReplicatedSegment& oldest = segments_[heads_.front()];
  if (oldest.segment != head) return oldest.segment > head;
  return is_durably_open(oldest);
}

bool ReplicaManager::is_closed_everywhere(std::uint32_t slot) const {
  if (options_.factor == 0) return true;
  const ReplicatedSegment& rs = segments_[slot];
  return rs.slot != kNoSlot && rs.all_closed();
}

bool ReplicaManager::has_lost_replicas(std::uint32_t slot) const { return segments_[slot].is_working; }

bool ReplicaManager::idle() const {
  if (options_.factor == 0) return true;
  for (const Link& link : links_) {
    if (!link.writes.empty()) return false;
  }
  return durable_position() >= log_.appended_position();
}

std::string ReplicaManager::describe() const {
  std::string line = fmt::format("durable {:x}", durable_position());
  const auto add = [&](std::uint32_t slot) {
    const ReplicatedSegment& rs = segments_[slot];
    line += fmt::format(" seg {} epoch {}/{} [", rs.segment, rs.epoch, rs.recorded);
    for (const Replica& r : rs.replicas) {
      line += fmt::format(" {}:{}{}{}/{}w{}", r.link == kNoLink ? -1 : static_cast<int>(index(peers_.peer(r.link))),
                          r.progress.opened      ? "o"
                          : r.progress.open_sent ? "?"
                                                 : "-",
                          r.progress.closed ? "c" : "", r.progress.sent, r.progress.acked, r.progress.writes);
    }
    line += " ]";
  };
  for (const std::uint32_t slot : heads_) add(slot);
  for (const std::uint32_t slot : others_) add(slot);
  return line;
}

}  // namespace slipstream
