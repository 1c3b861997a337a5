// Who looks on or interferes, and what a network tells its observer.
#include "sim/network.h"

namespace slipstream::sim {

void Network::set_interference(Interference* interference) {
  interference_ = interference;
  note_unusual();
}

void Network::observe(Observer* observer) {
  observer_ = observer;
  note_unusual();
}

void Network::saw(TraceKind kind, const Transfer& t, NodeId node, NodeId peer, TimePs time) const {
  TraceEvent event;
  event.kind = kind;
  event.time = time;
  event.now = queue_.now();
  event.node = node;
  event.peer = peer;
  event.id = static_cast<std::uint64_t>(t.connection * 2 + t.from) << 32 | t.sequence;
  event.bytes = t.size;
  event.offset = t.offset;
  if (kind != TraceKind::kWriteLanded) event.message = t.memory;
  observer_->saw(event);
}

void Network::saw_sent(const Transfer& t, TimePs time) const {
  if (observer_ == nullptr || t.kind != Kind::kMessage) return;
  const Connection& connection = connections_[t.connection];
  saw(TraceKind::kMessageSent, t, connection.ends[t.from].node, connection.ends[1 - t.from].node, time);
}

void Network::saw_down(std::uint32_t id) const {
  TraceEvent event;
  event.kind = TraceKind::kChannelDown;
  event.time = event.now = queue_.now();
  event.node = connections_[id / 2].ends[id % 2].node;
  event.peer = connections_[id / 2].ends[1 - id % 2].node;
  event.event.kind = EventKind::kDown;
  event.event.channel = connections_[id / 2].ends[id % 2].channel;
  observer_->saw(event);
}

}  // namespace slipstream::sim
