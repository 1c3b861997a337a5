// A server's connections to the other servers: one channel to each, dialled when somebody wants it and again when it
// was lost. Replication, probes and recoveries share them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/fabric/fabric.h"
#include "core/turn/outbox.h"

namespace slipstream {

inline constexpr std::uint16_t kNoLink = 0xffff;

class PeerLinks {
 public:
  // Uses the channels from `first_channel` up. A lost or refused connection is tried again after `retry_ns`.
  PeerLinks(NodeId self, Channel first_channel, TimeNs retry_ns)
      : self_(self), first_channel_(first_channel), retry_ns_(retry_ns) {}

  // All servers, dead ones included; self is left out. Once.
  void set_servers(std::span<const NodeId> servers);

  std::uint16_t size() const { return static_cast<std::uint16_t>(links_.size()); }
  NodeId peer(std::uint16_t link) const { return links_[link].peer; }
  std::uint16_t link_to(NodeId peer) const;  // kNoLink: none
  Channel channel(std::uint16_t link) const { return static_cast<Channel>(first_channel_ + link); }
  bool owns(Channel channel) const { return channel >= first_channel_ && channel < first_channel_ + links_.size(); }
  std::uint16_t link_of(Channel channel) const { return static_cast<std::uint16_t>(channel - first_channel_); }

  bool is_up(std::uint16_t link) const { return links_[link].state == State::kUp; }
  // Dials unless it is up, being dialled, or was lost a moment ago. True: it is up.
  bool want(std::uint16_t link, TimeNs now, Outbox& out);
  void on_connected(Channel channel) { links_[link_of(channel)].state = State::kUp; }
  void on_down(Channel channel, TimeNs now);

  // When a wanted link may be dialled again.
  TimeNs deadline() const { return retry_at_; }
  void advance(TimeNs now) {
    if (retry_at_ <= now) retry_at_ = kNever;
  }

 private:
  enum class State : std::uint8_t { kDown, kConnecting, kUp };
  struct Link {
    NodeId peer = kNoNode;
    State state = State::kDown;
    TimeNs not_before = 0;
  };

  NodeId self_;
  Channel first_channel_;
  TimeNs retry_ns_;
  std::vector<Link> links_;
  TimeNs retry_at_ = kNever;
};

}  // namespace slipstream
