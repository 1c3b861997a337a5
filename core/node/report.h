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
#include "core/cluster/coordinator.h"
#include "core/fabric/fabric.h"
#include "core/node/cluster.h"

namespace slipstream {

// The measured window in equal parts, for a picture of what happened when.
inline constexpr std::size_t kTimelineParts = 200;
// Latencies of one part, in buckets of 9 % relative width: from 256 ns to 17 s, what lies beyond in the outermost.
struct PartLatency {
  static constexpr std::size_t kSubBits = 3;
  static constexpr std::size_t kFirstOctave = 8;
  static constexpr std::size_t kBuckets = 26 << kSubBits;
  std::array<std::uint32_t, kBuckets> counts{};

  void add(TimeNs latency_ns);
  void add_to(Histogram& histogram) const;  // as the buckets' middles
};
struct Timeline {
  std::array<std::uint32_t, kTimelineParts> completed{};  // operations
  std::array<std::uint32_t, kTimelineParts> worst_us{};   // latency of the slowest of these
  // By the part that the operation's start lies in; only of those whose tablet stayed where it was.
  std::array<PartLatency, kTimelineParts> begun{};

  // An operation that is completed now; the window is from start_ns to end_ns.
  void add(TimeNs start_ns, TimeNs end_ns, TimeNs now, TimeNs latency_ns, bool was_moved);
};

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
  Timeline timeline;
};

struct NodeReport {
  NodeId node = kNoNode;
  NodeKind kind = NodeKind::kServer;
  Ledger ledger;                               // between the marks
  std::array<std::uint64_t, kRoles> cpu_ns{};  // CPU time in step() between the marks; sim: modelled busy time
  std::uint64_t fabric_cpu_ns = 0;             // in post() and poll(): over shm and tcp also what a NIC would do
  std::uint64_t network_bytes = 0;             // sent by this node, between the marks
  TimeNs window_ns = 0;                        // between the marks, on the node's clock
  WriteOrder write_order = WriteOrder::kNone;  // what its fabric promises inside one write
  ClientStats client;                          // clients only
  std::array<std::uint64_t, kTimelineParts> recovered{};  // servers: bytes replayed for the dead, by part of the window
  TimeNs scan_ns = 0;                // servers: the longest time from a master's fencing until its open replicas here
  std::uint64_t scanned_bytes = 0;   // were still and scanned; and how many bytes of such were valid, in all
  std::uint64_t log_bytes = 0;       // servers: log memory,
  std::uint64_t log_live_bytes = 0;  // and what of it was live at the end
  // Coordinator only: the first recoveries, and how many there were.
  std::array<RecoveryTimes, 16> recoveries{};
  std::uint64_t deaths = 0;
};

struct Metric {
  std::string name;
  double value = 0;
};

// The metrics of a run. What they divide by: backup_*_per_op and one_sided_writes_per_op by the mutations that the
// servers executed in their window; CPU of primaries, backups and fabric (clients' fabric included), messages out and
// network bytes by mutations and reads; client CPU by the requests that the clients issued.
std::vector<Metric> summarize(const ClusterOptions& options, std::span<const NodeReport> reports);

// What a node knows that its world does not: recoveries. The client's counters come by client_stats().
void complete(NodeReport& report, const Node& node);
// The client's counters, when the node is one; nullptr otherwise.
const ClientStats* client_stats(const Node& node);

// A report as bytes and back, for worlds whose nodes live in processes of their own. Throws std::runtime_error when the
// bytes are not a whole report of this build.
std::vector<std::byte> encode(const NodeReport& report);
NodeReport decode_report(ConstBytes bytes);

}  // namespace slipstream
