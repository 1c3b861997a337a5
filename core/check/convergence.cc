#include "core/check/convergence.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace slipstream {
namespace {

class Judge {
 public:
  explicit Judge(const ClusterSnapshot& cluster) : cluster_(cluster) {}

  Findings judge() {
    for (const NodeSnapshot& node : cluster_.nodes) {
      if (!node.alive) continue;
      if (node.recovering) add(fmt::format("server {} is still recovering", index(node.node)));
      if (node.open_operations > 0) {
        add(fmt::format("client {} has {} operations without an answer", index(node.node), node.open_operations));
      }
    }
    for (const TabletSnapshot& tablet : cluster_.tablets) {
      if (living_server(tablet.server) != nullptr) continue;
      const std::string server =
          tablet.server == kNoNode ? "no server" : fmt::format("server {}", index(tablet.server));
      add(fmt::format("tablet {:x} of table {} is on {}, which does not live", tablet.first, tablet.table, server));
    }
    for (const SegmentReplicas& segment : cluster_.segments) judge_segment(segment);
    return std::move(findings_);
  }

 private:
  void add(const std::string& text) {
    findings_.push_back({FindingKind::kNotConverged,
                         fmt::format("{} ns after the faults: {}", cluster_.now_ns - cluster_.healed_ns, text)});
  }

  const NodeSnapshot* living_server(NodeId id) const {
    for (const NodeSnapshot& node : cluster_.nodes) {
      if (node.node == id) return node.alive && node.server ? &node : nullptr;
    }
    return nullptr;
  }

  // Distinct for nodes on machines of their own.
  static std::uint64_t machine_of(const NodeSnapshot& node) {
    return node.machine == kOwnMachine ? (std::uint64_t{index(node.node)} + 1) << 32 : node.machine;
  }

  void judge_segment(const SegmentReplicas& segment) {
    std::vector<std::uint64_t> taken;
    const NodeSnapshot* const master = living_server(segment.master);
    if (master == nullptr) return;  // its replicas are nobody's any more
    taken.push_back(machine_of(*master));
    std::string faults;
    for (const ReplicaSnapshot& replica : segment.replicas) {
      const NodeSnapshot* const backup = living_server(replica.backup);
      const auto fault = [&](const char* what) {
        faults += fmt::format("; server {} {}", index(replica.backup), what);
      };
      if (backup == nullptr) {
        fault("does not live");
      } else if (!replica.whole) {
        fault("has not all of it");
      } else if (std::find(taken.begin(), taken.end(), machine_of(*backup)) != taken.end()) {
        fault("is on a machine that has it already");
      } else {
        taken.push_back(machine_of(*backup));
      }
    }
    const std::size_t good = taken.size() - 1;
    if (good < cluster_.factor) {
      add(fmt::format("segment {} of master {} has {} replicas instead of {}{}", index(segment.segment),
                      index(segment.master), good, cluster_.factor, faults));
    }
  }

  const ClusterSnapshot& cluster_;
  Findings findings_;
};

}  // namespace

Findings check_convergence(const ClusterSnapshot& cluster) { return Judge(cluster).judge(); }

}  // namespace slipstream
