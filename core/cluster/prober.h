// Failure detection among servers: each probes a random other one, and reports who does not answer in time (design
// section 4; RAMCloud's FailureDetector). Whether the silent one is dead is the coordinator's to say.
#pragma once

#include "core/base/rng.h"
#include "core/cluster/member.h"
#include "core/cluster/membership_options.h"
#include "core/replication/peer_links.h"

namespace slipstream {

class Prober {
 public:
  Prober(const MembershipOptions& options, NodeId self, PeerLinks& peers, std::uint64_t seed)
      : options_(options), peers_(peers), rng_(seed, "prober", index(self)) {}

  void on_answer(const RpcMessage& message) {
    if (message.header.id == probe_) waits_ = false;
  }
  void advance(TimeNs now, CoordinatorLink& coordinator, Outbox& out);
  TimeNs deadline() const { return options_.recoverable ? (waits_ ? answer_by_ : next_) : kNever; }

 private:
  MembershipOptions options_;
  PeerLinks& peers_;
  Rng rng_;
  TimeNs next_ = 0;
  std::uint64_t probe_ = 0;
  std::uint16_t probed_ = kNoLink;
  bool waits_ = false;
  bool sent_ = false;
  TimeNs answer_by_ = 0;
};

}  // namespace slipstream
