// Convergence: some bounded time after the faults have ended, nothing is missing any more. A world fills the snapshot
// when that time is over; what is not in it is not asked for.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/ids.h"
#include "core/base/units.h"
#include "core/check/finding.h"

namespace slipstream {

inline constexpr std::uint32_t kOwnMachine = UINT32_MAX;

struct NodeSnapshot {
  NodeId node = kNoNode;
  bool server = true;
  bool alive = true;
  bool recovering = false;              // takes part in a recovery that is not over
  std::uint32_t machine = kOwnMachine;  // replicas of a segment are on different ones
  std::uint64_t open_operations = 0;    // clients: without an answer
};

struct ReplicaSnapshot {
  NodeId backup = kNoNode;
  bool whole = false;  // open and up to date, or closed and complete
};

struct SegmentReplicas {
  NodeId master = kNoNode;
  SegmentId segment{};
  std::vector<ReplicaSnapshot> replicas;
};

struct TabletSnapshot {
  std::uint64_t table = 0;
  std::uint64_t first = 0;  // of its key hashes
  NodeId server = kNoNode;
};

struct ClusterSnapshot {
  TimeNs healed_ns = 0;  // when the last fault ended
  TimeNs now_ns = 0;
  std::uint32_t factor = 0;
  std::vector<NodeSnapshot> nodes;
  std::vector<SegmentReplicas> segments;  // of the living masters
  std::vector<TabletSnapshot> tablets;
};

// All requests of living clients are answered; nobody recovers; every tablet is on a living server; every segment of a
// living master has `factor` whole replicas on living servers of different machines, none on its master's.
Findings check_convergence(const ClusterSnapshot& cluster);

}  // namespace slipstream
