// What the coordinator does to find a dead master's data: asks every living server for the replicas that it holds of it
// (they fence it out first), drops the stale ones, and decides from the newest digest which segments are needed, how
// many bytes of each count, and who can serve them. Source: RAMCloud (SOSP'11, section 4.3; TOCS'15, section 7).
//
// It is made anew when the coordinator restarts: nothing of it needs to be durable.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/cluster/view.h"
#include "core/cluster/wire.h"
#include "core/replication/wire.h"

namespace slipstream {

struct SegmentPlan {
  std::uint64_t segment = 0;
  std::uint32_t bytes = 0;
  std::vector<NodeId> sources;
};

class MasterRecovery {
 public:
  explicit MasterRecovery(const DeadMaster& dead) : dead_(dead) {}

  ServerId server() const { return dead_.server; }
  // Whether this server is still to be asked. It counts as asked from now on.
  bool must_ask(ServerId server);
  // Its answer was not, or will not be, received.
  void forget(ServerId server);
  void on_replicas(ServerId from, ConstBytes body);

  // All these have answered.
  bool has_answers_of(std::span<const ServerId> alive) const;
  // From what is known: fills plan(), or missing() when data that must be there is nowhere.
  void decide();
  bool is_decided() const { return decided_ && missing_.empty(); }
  // Asks everybody again: a source turned out to be bad.
  void ask_again();

  const std::vector<SegmentPlan>& plan() const { return plan_; }
  std::uint64_t bytes() const;
  // What is lost, in words: which bytes of which segment.
  const std::string& missing() const { return missing_; }

 private:
  struct Found {
    ReplicaInfo info;
    NodeId server = kNoNode;
  };
  struct Answer {
    ServerId server;
    bool is_in = false;
    std::uint64_t head = 0;
    std::vector<std::uint64_t> digest;
    std::vector<ReplicaInfo> replicas;
  };

  bool counts(const ReplicaInfo& replica) const;
  void plan_segment(std::uint64_t segment, const std::vector<Found>& found, const std::vector<Found>& stale);

  DeadMaster dead_;
  std::map<std::uint16_t, Answer> answers_;  // by node
  bool decided_ = false;
  std::vector<SegmentPlan> plan_;
  std::string missing_;
};

}  // namespace slipstream
