#include "core/cluster/prober.h"

namespace slipstream {

void Prober::advance(TimeNs now, CoordinatorLink& coordinator, Outbox& out) {
  if (!options_.recoverable || peers_.size() == 0) return;
  if (waits_ && now >= answer_by_) {
    waits_ = false;
    AboutServer about;
    about.node = index(peers_.peer(probed_));
    coordinator.send(Opcode::kSuspect, about, {}, out);
  }
  if (!waits_ && now >= next_) {
    next_ = now + options_.probe_interval_ns;
    // Who is known to be dead needs no probe.
    const auto link = static_cast<std::uint16_t>(rng_.below(peers_.size()));
    const MemberState* const state = coordinator.view().member(peers_.peer(link));
    if (state == nullptr || !state->is_up) return;
    probed_ = link;
    ++probe_;
    waits_ = true;
    sent_ = false;
    answer_by_ = now + (out.rare(Rare::kFalseSuspicion) ? 0 : options_.probe_timeout_ns);
  }
  if (!waits_ || sent_ || !peers_.want(probed_, now, out)) return;
  sent_ = true;
  RpcHeader header;
  header.opcode = Opcode::kPing;
  header.id = probe_;
  send_message(out, peers_.channel(probed_), header, Progressed{}, 0, Work::kControlMessageOut);
}

}  // namespace slipstream
