#include "core/node/server_node.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/mutation.h"
#include "core/cluster/wire.h"

namespace slipstream {
namespace {

constexpr Channel kCoordinatorChannel = 1;
constexpr Channel kFirstPeerChannel = 2;
constexpr NodeId kCoordinatorNode{0};

// Whether an event concerns the backup side; its requests come in on channels that others opened, and from the
// coordinator.
bool is_backup_event(const Event& event) {
  switch (event.kind) {
    case EventKind::kGranted:
    case EventKind::kWithdrawn:
    case EventKind::kStored:
    case EventKind::kStorageRead:
    case EventKind::kStorageFailed: return true;
    case EventKind::kConnected:
    case EventKind::kRevoked:
    case EventKind::kDown: return event.channel >= kFirstAccepted;
    case EventKind::kMessage: {
      RpcMessage message;
      return parse(event.bytes, message) && message.header.is_answer == 0 && is_backup_opcode(message.header.opcode);
    }
    default: return false;
  }
}

LogOptions log_options(const ClusterOptions& options) {
  LogOptions log = options.log;
  log.trailer_bytes = trailer_bytes(options.replication.policy);
  return log;
}

ReplicationOptions replication_options(const ClusterOptions& options) {
  ReplicationOptions replication = options.replication;
  replication.recoverable = options.membership.recoverable;
  return replication;
}

}  // namespace

ServerNode::ServerNode(const ClusterOptions& options, NodeId self, Fabric& fabric, const Storage& storage)
    : self_(self),
      coordinator_(options.membership, self, kCoordinatorNode, static_cast<std::uint16_t>(NodeKind::kServer),
                   kCoordinatorChannel),
      peers_(self, kFirstPeerChannel, options.replication.retry_ns),
      master_(log_options(options), replication_options(options), self, options.seed,
              fabric.create_region("log", options.log.memory_bytes, Access::kLocal), peers_),
      backup_(
          options.replication, options.log,
          fabric.create_region("replicas", replica_region_bytes(options.replication.buffers, options.log.segment_bytes),
                               Access::kDurable)),
      prober_(options.membership, self, peers_, options.seed),
      recovery_(options.membership, options.replication.answer_timeout_ns, self, master_, peers_),
      found_(storage.frames()) {}

void ServerNode::step(TimeNs now, std::span<const Event> events, Outbox& out) {
  if (retired()) return;
  if (!is_adopting_) {
    is_adopting_ = true;
    out.enter(Role::kBackup);
    backup_.adopt(found_, out);
  }
  if (scan_began_ns_ != kNever && !backup_.is_scanning()) {
    scan_ns_ = std::max(scan_ns_, now - scan_began_ns_);
    scan_began_ns_ = kNever;
  }
  const std::uint64_t scanned = backup_.scanned_bytes();
  if (backup_.needs_turn() || std::any_of(events.begin(), events.end(), is_backup_event)) backup_side(events, out);
  if (scan_began_ns_ == kNever && (backup_.is_scanning() || backup_.scanned_bytes() > scanned)) scan_began_ns_ = now;
  primary_side(now, events, out);
}

// ---- As a backup.

void ServerNode::backup_side(std::span<const Event> events, Outbox& out) {
  out.enter(Role::kBackup);
  bool data = false;
  for (const Event& event : events) {
    if (!is_backup_event(event)) continue;
    RpcMessage message;
    if (event.kind == EventKind::kMessage && parse(event.bytes, message)) {
      const bool is_write = message.header.opcode == Opcode::kBackupWrite;
      data = data || is_write;
      out.work(is_write ? Work::kMessageIn : Work::kControlMessageIn);
      backup_.on_request(event.channel, event.tag, message, out);
    } else {
      backup_event(event, out);
    }
  }
  out.work(data ? Work::kTurn : Work::kControlTurn);
  backup_.advance(out);
}

void ServerNode::backup_event(const Event& event, Outbox& out) {
  switch (event.kind) {
    case EventKind::kConnected: return backup_.on_connected(event.channel, event.peer);
    case EventKind::kGranted: return backup_.on_granted(event.channel, event.ticket, event.key, out);
    case EventKind::kWithdrawn: return backup_.on_withdrawn(event.channel, event.ticket, out);
    case EventKind::kRevoked: return backup_.on_revoked(event.channel, out);
    case EventKind::kDown: return backup_.on_channel_down(event.channel, out);
    case EventKind::kStored: return backup_.on_stored(event.tag, event.amount, out);
    case EventKind::kStorageRead: return backup_.on_storage_read(event.tag, event.ticket, out);
    case EventKind::kStorageFailed: return backup_.on_storage_failed(event.tag, event.amount, event.ticket, out);
    default: return;
  }
}

// ---- As a primary.

void ServerNode::primary_side(TimeNs now, std::span<const Event> events, Outbox& out) {
  out.enter(Role::kPrimary);
  bool any = false;
  for (const Event& event : events) {
    if (is_backup_event(event)) continue;
    any = true;
    primary_event(now, event, out);
  }
  if (any) out.work(Work::kTurn);
  master_.set_may_answer((coordinator_.has_lease(now) && !coordinator_.is_dead()) || mutated(Mutant::kNoLease));
  if (!requests_.empty()) {
    master_.execute(requests_, out);
    requests_.clear();
  }
  peers_.advance(now);
  if (dials_backups_) {
    dials_backups_ = false;
    for (std::uint16_t link = 0; link < peers_.size(); ++link) {
      const MemberState* const peer = view().member(peers_.peer(link));
      if (peer != nullptr && peer->is_up) peers_.want(link, now, out);
    }
  }
  if (is_started_) {
    recovery_.advance(now, coordinator_, out);
    exchange_with_backup(now, out);
    prober_.advance(now, coordinator_, out);
  }
  master_.advance(now, out);
  record_epochs(now, out);
  // Who does not know yet what it holds cannot answer for it.
  if (backup_.is_ready()) coordinator_.advance(now, out);
}

void ServerNode::primary_event(TimeNs now, const Event& event, Outbox& out) {
  switch (event.kind) {
    case EventKind::kMessage: return primary_message(now, event, out);
    case EventKind::kAcked:
      if (peers_.owns(event.channel)) master_.replicas().on_acked(event.channel, event.ticket, now, out);
      return;
    case EventKind::kConnected:
      if (coordinator_.owns(event.channel)) coordinator_.on_connected();
      if (!peers_.owns(event.channel)) return;
      peers_.on_connected(event.channel);
      master_.replicas().on_connected(event.channel);
      return;
    case EventKind::kRevoked:
    case EventKind::kDown:
      if (coordinator_.owns(event.channel)) coordinator_.on_down(now);
      if (peers_.owns(event.channel)) on_link_down(event.channel, now);
      return;
    default: return;
  }
}

void ServerNode::on_link_down(Channel channel, TimeNs now) {
  peers_.on_down(channel, now);
  master_.replicas().on_down(channel, now);
  recovery_.on_down(channel);
}

void ServerNode::primary_message(TimeNs now, const Event& event, Outbox& out) {
  RpcMessage message;
  if (!parse(event.bytes, message)) return out.dismiss(event.tag);  // not of this protocol
  if (message.header.is_answer != 0) return answer_to_us(now, event, message, out);
  switch (message.header.opcode) {
    case Opcode::kKeyValue: requests_.push_back({event.channel, event.tag, message, 0}); return;
    case Opcode::kView:
      out.dismiss(event.tag);
      if (coordinator_.owns(event.channel) && coordinator_.on_message(message, out)) on_view(out);
      return;
    case Opcode::kBackupLost:
      out.dismiss(event.tag);
      out.work(Work::kControlMessageIn);
      if (peers_.owns(event.channel)) master_.replicas().on_lost(event.channel, message);
      return;
    case Opcode::kPing:
    case Opcode::kWindow: {
      out.work(Work::kControlMessageIn);
      WindowMark mark;
      if (!read_body(message.body, mark)) return out.dismiss(event.tag);
      if (message.header.opcode == Opcode::kWindow) {
        out.mark(mark.starts != 0 ? Mark::kWindowStart : Mark::kWindowEnd);
      }
      RpcHeader header = message.header;
      header.is_answer = 1;
      send_message(out, event.channel, header, mark, event.tag, Work::kControlMessageOut);
      return;
    }
    default: out.dismiss(event.tag);
  }
}

void ServerNode::answer_to_us(TimeNs now, const Event& event, const RpcMessage& message, Outbox& out) {
  if (peers_.owns(event.channel)) {
    switch (message.header.opcode) {
      case Opcode::kPing: return prober_.on_answer(message);
      case Opcode::kRecoveryData: return recovery_.on_data(event.channel, message, now, out);
      default:
        master_.replicas().on_answer(event.channel, message, now, out);
        // A backup says that we are dead: the coordinator knows.
        if (master_.replicas().is_refused()) coordinator_.ask(now, out);
        return;
    }
  }
  if (!coordinator_.owns(event.channel)) return;
  if (coordinator_.on_message(message, out)) on_view(out);
  if (message.header.status != Status::kOk) return;
  if (message.header.opcode == Opcode::kPlan) recovery_.on_plan(message);
  if (message.header.opcode == Opcode::kRecovered) recovery_.on_reported(message, out);
  if (message.header.opcode != Opcode::kEpochs) return;
  std::vector<SegmentEpoch> recorded;
  SegmentEpoch epoch;
  for (ConstBytes rest = message.body; read_body(rest, epoch); rest = rest.subspan(sizeof(epoch))) {
    recorded.push_back({epoch.segment & 0xffffffffffff, epoch.epoch});
  }
  master_.replicas().on_recorded(recorded);
}

void ServerNode::on_view(Outbox& out) {
  const View& view = coordinator_.view();
  if (!is_started_) {
    std::vector<NodeId> servers;
    for (const MemberState& state : view.servers) servers.push_back(state.server.node);
    master_.log().set_life(coordinator_.life());
    peers_.set_servers(servers);
    master_.replicas().start();
    is_started_ = true;
  }
  dials_backups_ = !view.dead.empty();
  master_.store().set_tablets(view.tablet_map());
  master_.store().set_clients(view.clients, view.latest_client);
  std::vector<Backup::MasterLife> masters;
  for (const MemberState& state : view.servers) {
    const std::uint16_t link = peers_.link_to(state.server.node);
    if (link != kNoLink) master_.replicas().set_server(link, state.server.life, state.is_up);
    Backup::MasterLife& life = masters.emplace_back();
    life.node = index(state.server.node);
    life.latest = state.server.life;
    life.is_alive = state.is_up;
    if (state.is_up) life.matters.push_back(state.server.life);
    for (const DeadMaster& dead : view.dead) {
      if (dead.server.node == state.server.node) life.matters.push_back(dead.server.life);
    }
  }
  backup_.set_masters(masters, out);
  recovery_.on_view(view, coordinator_.life(), out);
}

// Recoveries read replicas that this very node holds, too.
void ServerNode::exchange_with_backup(TimeNs now, Outbox& out) {
  if (recovery_.own_requests().empty() && backup_.own_answers().empty()) return;
  RpcMessage message;
  std::vector<std::vector<std::byte>> requests;
  requests.swap(recovery_.own_requests());
  out.enter(Role::kBackup);
  for (const std::vector<std::byte>& request : requests) {
    if (parse(request, message)) backup_.on_own_request(message, out);
  }
  std::vector<std::vector<std::byte>> answers;
  answers.swap(backup_.own_answers());
  out.enter(Role::kPrimary);
  for (const std::vector<std::byte>& answer : answers) {
    if (parse(answer, message)) recovery_.on_data(kOwnNode, message, now, out);
  }
}

void ServerNode::record_epochs(TimeNs, Outbox& out) {
  std::vector<SegmentEpoch> wanted = master_.replicas().wanted_epochs();
  if (wanted.empty() || !coordinator_.is_up()) return;
  if (wanted == epochs_sent_ && epochs_connection_ == coordinator_.connections()) return;
  coordinator_.send_epochs(wanted, out);
  epochs_sent_ = std::move(wanted);
  epochs_connection_ = coordinator_.connections();
}

TimeNs ServerNode::deadline() const {
  if (retired()) return kNever;
  if (!is_adopting_ || backup_.needs_turn() || master_.needs_turn() || recovery_.asks_own_backup()) return 0;
  if (scan_began_ns_ != kNever && !backup_.is_scanning()) return 0;  // what the last turn took is known in the next
  TimeNs at = std::min({master_.replicas().deadline(), peers_.deadline(), prober_.deadline()});
  if (backup_.is_ready()) at = std::min(at, coordinator_.deadline());
  return recovery_.is_busy() ? std::min(at, recovery_.deadline()) : at;
}

std::string ServerNode::trouble() const {
  const std::string primary = master_.trouble();
  return primary.empty() ? backup_.trouble() : primary;
}

std::string ServerNode::describe() const {
  return fmt::format("server {}{} life {} | {} | {}{}", index(self_), retired() ? " retired" : "", coordinator_.life(),
                     master_.describe(), backup_.describe(), recovery_.describe());
}

}  // namespace slipstream
