#include "core/node/server_node.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/cluster/wire.h"

namespace slipstream {
namespace {

constexpr Channel kCoordinatorChannel = 1;
constexpr Channel kFirstBackupChannel = 2;
constexpr NodeId kCoordinatorNode{0};

// Whether an event concerns the backup side; its requests come in on channels that primaries opened.
bool is_backup_event(const Event& event) {
  switch (event.kind) {
    case EventKind::kGranted:
    case EventKind::kWithdrawn:
    case EventKind::kRevoked:
    case EventKind::kStored:
    case EventKind::kStorageFailed: return true;
    case EventKind::kConnected:
    case EventKind::kDown: return event.channel >= kFirstAccepted;
    case EventKind::kMessage: {
      RpcMessage message;
      return parse(event.bytes, message) && message.header.is_answer == 0 && is_backup_opcode(message.header.opcode);
    }
    default: return false;
  }
}

}  // namespace

ServerNode::ServerNode(const ClusterOptions& options, NodeId self, Fabric& fabric)
    : self_(self),
      coordinator_(self, kCoordinatorNode, static_cast<std::uint16_t>(NodeKind::kServer), kCoordinatorChannel),
      master_(options.log, options.replication, self, options.seed,
              fabric.create_region("log", options.log.memory_bytes, Access::kLocal), kFirstBackupChannel),
      backup_(
          options.replication, options.log,
          fabric.create_region("replicas", replica_region_bytes(options.replication.buffers, options.log.segment_bytes),
                               Access::kGrantable)) {}

void ServerNode::step(TimeNs now, std::span<const Event> events, Outbox& out) {
  if (backup_.needs_turn() || std::any_of(events.begin(), events.end(), is_backup_event)) backup_side(events, out);
  primary_side(now, events, out);
}

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
    case EventKind::kWithdrawn: return backup_.on_withdrawn(event.channel, event.ticket);
    case EventKind::kRevoked: return backup_.on_revoked(event.channel);
    case EventKind::kDown: return backup_.on_channel_down(event.channel, out);
    case EventKind::kStored: return backup_.on_stored(event.tag, event.amount);
    case EventKind::kStorageFailed: return backup_.on_storage_failed(event.tag, event.amount);
    default: return;
  }
}

void ServerNode::primary_side(TimeNs now, std::span<const Event> events, Outbox& out) {
  out.enter(Role::kPrimary);
  bool any = false;
  for (const Event& event : events) {
    if (is_backup_event(event)) continue;
    any = true;
    primary_event(now, event, out);
  }
  if (any) out.work(Work::kTurn);
  if (!requests_.empty()) {
    master_.execute(requests_, out);
    requests_.clear();
  }
  coordinator_.advance(now, out);
  master_.advance(now, out);
}

void ServerNode::primary_event(TimeNs now, const Event& event, Outbox& out) {
  ReplicaManager& replicas = master_.replicas();
  switch (event.kind) {
    case EventKind::kMessage: return primary_message(now, event, out);
    case EventKind::kAcked:
      if (replicas.owns(event.channel)) replicas.on_acked(event.channel, event.ticket, out);
      return;
    case EventKind::kConnected:
      if (coordinator_.owns(event.channel)) coordinator_.on_connected(out);
      if (replicas.owns(event.channel)) replicas.on_connected(event.channel);
      return;
    case EventKind::kDown:
      if (coordinator_.owns(event.channel)) coordinator_.on_down(now);
      if (replicas.owns(event.channel)) replicas.on_down(event.channel, now);
      return;
    default: return;
  }
}

void ServerNode::primary_message(TimeNs now, const Event& event, Outbox& out) {
  RpcMessage message;
  if (!parse(event.bytes, message)) return;  // not of this protocol
  if (message.header.is_answer != 0) {
    if (master_.replicas().owns(event.channel)) {
      master_.replicas().on_answer(event.channel, message, now, out);
    } else if (coordinator_.owns(event.channel) && coordinator_.on_answer(message, out)) {
      master_.store().set_tablets(coordinator_.tablets());
      master_.replicas().set_backups(coordinator_.servers());
    }
    return;
  }
  if (message.header.opcode == Opcode::kKeyValue) {
    requests_.push_back({event.channel, event.tag, message, 0});
    return;
  }
  WindowMark mark;
  if (message.header.opcode == Opcode::kWindow && read_body(message.body, mark)) {
    out.work(Work::kControlMessageIn);
    out.mark(mark.starts != 0 ? Mark::kWindowStart : Mark::kWindowEnd);
    RpcHeader header = message.header;
    header.is_answer = 1;
    send_message(out, event.channel, header, mark, event.tag, Work::kControlMessageOut);
  }
}

TimeNs ServerNode::deadline() const {
  if (backup_.needs_turn()) return 0;
  return std::min(coordinator_.deadline(), master_.replicas().deadline());
}

std::string ServerNode::trouble() const {
  const std::string primary = master_.trouble();
  return primary.empty() ? backup_.trouble() : primary;
}

std::string ServerNode::describe() const {
  return fmt::format("server {} | {} | {}", index(self_), master_.describe(), backup_.describe());
}

}  // namespace slipstream
