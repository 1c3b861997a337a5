// A node's line to the coordinator: connects, enlists, learns the map; asks again when the line breaks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cluster/wire.h"
#include "core/kv/tablets.h"
#include "core/turn/outbox.h"

namespace slipstream {

class CoordinatorLink {
 public:
  // Uses `channel`, and no other.
  CoordinatorLink(NodeId self, NodeId coordinator, std::uint16_t kind, Channel channel)
      : self_(self), coordinator_(coordinator), kind_(kind), channel_(channel) {}

  bool owns(Channel channel) const { return channel == channel_; }
  void on_connected(Outbox& out);
  void on_down(TimeNs now);
  // True when the answer was to an enlist: servers() and tablets() are fresh.
  bool on_answer(const RpcMessage& message, Outbox& out);

  // Asks for the map anew.
  void enlist(Outbox& out);
  // Sends kReady or kFinished; on_answer() tells nothing of it: see last_answer().
  void report(Opcode opcode, Outbox& out);
  Opcode last_answer() const { return last_answer_; }

  void advance(TimeNs now, Outbox& out);
  TimeNs deadline() const { return connect_at_; }

  const std::vector<NodeId>& servers() const { return servers_; }
  const TabletMap& tablets() const { return tablets_; }

 private:
  NodeId self_;
  NodeId coordinator_;
  std::uint16_t kind_;
  Channel channel_;
  bool up_ = false;
  TimeNs connect_at_ = 0;  // the first turn connects
  Opcode last_answer_{};
  std::vector<NodeId> servers_;
  TabletMap tablets_;
};

}  // namespace slipstream
