#include "core/node/cluster.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/node/checked_client.h"
#include "core/node/client_node.h"
#include "core/node/coordinator_node.h"
#include "core/node/server_node.h"

namespace slipstream {

std::string_view name(NodeKind kind) {
  switch (kind) {
    case NodeKind::kCoordinator: return "coordinator";
    case NodeKind::kServer: return "server";
    case NodeKind::kClient: return "client";
  }
  return "unknown";
}

NodeKind kind_of(const ClusterOptions& options, NodeId node) {
  SLIP_CHECK(index(node) < node_count(options), "node {} of {}", index(node), node_count(options));
  if (index(node) == 0) return NodeKind::kCoordinator;
  return index(node) <= options.servers ? NodeKind::kServer : NodeKind::kClient;
}

std::string node_name(const ClusterOptions& options, NodeId node) {
  switch (kind_of(options, node)) {
    case NodeKind::kCoordinator: return "coordinator";
    case NodeKind::kServer: return fmt::format("server-{}", index(node) - 1);
    case NodeKind::kClient: return fmt::format("client-{}", index(node) - 1 - options.servers);
  }
  return "unknown";
}

std::string problem_with(const ClusterOptions& o) {
  const std::uint16_t factor = o.replication.policy == Policy::kNone ? 0 : o.replication.factor;
  if (o.servers == 0) return "cluster.servers: at least one server is needed";
  if (o.clients == 0) return "cluster.clients: at least one client is needed";
  if (o.primaries > o.servers) {
    return fmt::format("cluster.primaries: {} of {} servers; at most all of them, which 0 means, too", o.primaries,
                       o.servers);
  }
  if (o.servers + o.clients > 4000) {
    return fmt::format("cluster: {} servers and {} clients are more than 4000 nodes", o.servers, o.clients);
  }
  if (factor >= o.servers) {
    return fmt::format(
        "replication.factor: {} replicas do not fit on {} servers (at most {}: a primary never holds its "
        "own replica)",
        factor, o.servers, o.servers - 1);
  }
  if (o.replication.policy == Policy::kOneSidedUnsafe && factor > kLengthWords - 1) {
    return fmt::format("replication.factor: {} replicas; onesided-unsafe has room for the lengths of {}", factor,
                       kLengthWords - 1);
  }
  if (o.log.segment_bytes < 4 * kKiB || o.log.segment_bytes > 8 * kMiB) {
    return fmt::format("cluster.segment: {} bytes; 4 KiB to 8 MiB work", o.log.segment_bytes);
  }
  const std::size_t segments = o.log.memory_bytes / o.log.segment_bytes;
  if (segments * o.log.segment_bytes != o.log.memory_bytes || segments < 4 || segments > 65536) {
    return fmt::format("cluster.log_memory: {} bytes are not 4 to 65536 whole segments of {} bytes", o.log.memory_bytes,
                       o.log.segment_bytes);
  }
  const std::size_t named = o.log.max_named();
  if (named * sizeof(std::uint64_t) * 2 > o.log.segment_bytes) {
    return fmt::format("cluster.segment: the digest of {} segments takes more than half of a segment of {} bytes",
                       named, o.log.segment_bytes);
  }
  const std::size_t entry = o.workload.key_bytes + o.workload.value_bytes + 512;
  if (named * sizeof(std::uint64_t) + entry > o.log.segment_bytes || entry > kMaxMessage - 4 * kKiB) {
    return fmt::format(
        "workload.value: an object of {} bytes does not fit into a segment of {} bytes and a message of "
        "{} bytes",
        entry, o.log.segment_bytes, kMaxMessage);
  }
  if (o.replication.max_write_bytes == 0 || o.replication.max_write_bytes > 1 * kMiB) {
    return fmt::format("replication.max_write: {} bytes; 1 B to 1 MiB work", o.replication.max_write_bytes);
  }
  if (o.replication.window == 0 || o.replication.window > 128) {
    return fmt::format("replication.window: {}; 1 to 128 work", o.replication.window);
  }
  // Opening a head needs its buffer before the old head's is given back.
  if (factor > 0 && o.replication.buffers < 2u * factor) {
    return fmt::format(
        "replication.buffers: {} buffers are too few for factor {}: a new head's replicas are opened before the old "
        "ones are given back; {} are needed at least",
        o.replication.buffers, factor, 2 * factor);
  }
  if (o.workload.outstanding == 0 || o.workload.outstanding >= kMutationWindow) {
    return fmt::format("workload.outstanding: {}; 1 to {} work", o.workload.outstanding, kMutationWindow - 1);
  }
  // What is not live goes, where the log is cleaned: completion records, above all.
  const std::size_t object = o.workload.key_bytes + o.workload.value_bytes + (o.log.cleans() ? 32 : 128);
  const std::size_t loaded = o.workload.records / primary_count(o) * object;
  if (loaded > o.log.memory_bytes) {
    return fmt::format("cluster.log_memory: {} records take about {} MiB on each primary, which has {} MiB",
                       o.workload.records, loaded / kMiB, o.log.memory_bytes / kMiB);
  }
  return {};
}

std::unique_ptr<Node> make_node(const ClusterOptions& options, NodeId node, Fabric& fabric, const Storage& storage,
                                std::uint32_t life) {
  switch (kind_of(options, node)) {
    case NodeKind::kCoordinator: return std::make_unique<CoordinatorNode>(options, storage);
    case NodeKind::kServer: return std::make_unique<ServerNode>(options, node, fabric, storage);
    case NodeKind::kClient:
      if (options.checked) return std::make_unique<CheckedClient>(options, node, life);
      return std::make_unique<ClientNode>(options, node);
  }
  return nullptr;
}

}  // namespace slipstream
