// A whole cluster as data: what an experiment asks for, and how its nodes are made. Both worlds start from this.
//
// Nodes: 0 is the coordinator, then the servers, then the clients. A machine holds one node.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "core/cluster/membership_options.h"
#include "core/log/log_options.h"
#include "core/replication/replication_options.h"
#include "core/turn/node.h"
#include "core/workload/workload.h"

namespace slipstream {

struct ClusterOptions {
  std::uint64_t seed = 1;
  std::uint16_t servers = 4;
  std::uint16_t primaries = 0;  // servers that hold tablets, the first ones; the others only back them up. 0: all
  std::uint16_t clients = 1;
  LogOptions log;
  ReplicationOptions replication;
  WorkloadOptions workload;
  TimeNs warmup_ns = 100 * kMillisecond;
  TimeNs duration_ns = kSecond;
  TimeNs rpc_timeout_ns = 500 * kMillisecond;  // a client's request without an answer is sent again
  MembershipOptions membership;
  bool checked = false;  // the clients record every operation (checked_client.h); the workload gives keys and sizes
};

enum class NodeKind : std::uint8_t { kCoordinator, kServer, kClient };
std::string_view name(NodeKind kind);

inline std::uint16_t node_count(const ClusterOptions& o) {
  return static_cast<std::uint16_t>(1 + o.servers + o.clients);
}
inline std::uint16_t primary_count(const ClusterOptions& o) { return o.primaries == 0 ? o.servers : o.primaries; }
NodeKind kind_of(const ClusterOptions& options, NodeId node);
std::string node_name(const ClusterOptions& options, NodeId node);  // "coordinator", "server-0", "client-0"

// What cannot work, in words that name the option; empty when all is well. (A factor that the servers cannot hold, ...)
std::string problem_with(const ClusterOptions& options);

// Makes the node, for its first life (0) or a later one: its memory comes from `fabric`, and what `storage` holds is
// what an earlier life left. Both outlive it. Only a checked client has to be told which life it is, below
// kMostCheckedLives: it has nothing to find it in, and what it records is to be told from what the earlier one did.
inline constexpr std::uint32_t kMostCheckedLives = 64;
std::unique_ptr<Node> make_node(const ClusterOptions& options, NodeId node, Fabric& fabric, const Storage& storage,
                                std::uint32_t life = 0);

}  // namespace slipstream
