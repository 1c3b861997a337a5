#include "core/replication/peer_links.h"

#include <algorithm>

namespace slipstream {

void PeerLinks::set_servers(std::span<const NodeId> servers) {
  if (!links_.empty()) return;
  for (const NodeId server : servers) {
    if (server != self_) links_.push_back({server});
  }
}

std::uint16_t PeerLinks::link_to(NodeId peer) const {
  for (std::uint16_t i = 0; i < size(); ++i) {
    if (links_[i].peer == peer) return i;
  }
  return kNoLink;
}

bool PeerLinks::want(std::uint16_t link, TimeNs now, Outbox& out) {
  Link& l = links_[link];
  if (l.state == State::kDown) {
    if (l.not_before > now) {
      retry_at_ = std::min(retry_at_, l.not_before);
    } else {
      l.state = State::kConnecting;
      out.connect(channel(link), l.peer);
    }
  }
  return l.state == State::kUp;
}

void PeerLinks::on_down(Channel channel, TimeNs now) {
  Link& l = links_[link_of(channel)];
  l.state = State::kDown;
  l.not_before = now + retry_ns_;
  retry_at_ = std::min(retry_at_, l.not_before);
}

}  // namespace slipstream
