// What a run tells: each node's counters over the measured window, and the metrics made of them. Both worlds fill the
// same reports, so a metric has one definition. Metric names end in their unit.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/histogram.h"
#include "core/base/ledger.h"
#include "core/node/cluster.h"

namespace slipstream {

// Counted by a client. `completed`, `retries`: between its two marks; `failed`, `wrong`: from the warm-up to the end.
// Latencies of open loops run from the intended arrival.
struct ClientStats {
  std::array<Histogram, kOperationTypes> latency;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;  // answered with an error
  std::uint64_t wrong = 0;   // reads whose value is not one of their key's
  std::uint64_t retries = 0;
  TimeNs window_start_ns = 0;
  TimeNs window_end_ns = 0;
};

struct NodeReport {
  NodeId node = kNoNode;
  NodeKind kind = NodeKind::kServer;
  Ledger ledger;                               // between the marks
  std::array<std::uint64_t, kRoles> cpu_ns{};  // CPU time in step() between the marks; sim: modelled busy time
  std::uint64_t fabric_cpu_ns = 0;             // in post() and poll(): over shm and tcp also what a NIC would do
  std::uint64_t network_bytes = 0;             // sent by this node, between the marks
  TimeNs window_ns = 0;                        // between the marks, on the node's clock
  ClientStats client;                          // clients only
};

struct Metric {
  std::string name;
  double value = 0;
};

// The metrics of a run. What they divide by: backup_*_per_op and one_sided_writes_per_op by the mutations that the
// servers executed in their window; CPU of primaries, backups and fabric (clients' fabric included), messages out and
// network bytes by mutations and reads; client CPU by the requests that the clients issued.
std::vector<Metric> summarize(const ClusterOptions& options, std::span<const NodeReport> reports);

// The client's counters, when the node is one; nullptr otherwise.
const ClientStats* client_stats(const Node& node);

// A report as bytes and back, for worlds whose nodes live in processes of their own. Throws std::runtime_error when the
// bytes are not a whole report of this build.
std::vector<std::byte> encode(const NodeReport& report);
NodeReport decode_report(ConstBytes bytes);

}  // namespace slipstream
