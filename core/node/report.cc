#include "core/node/report.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "core/base/crc32c.h"
#include "core/node/checked_client.h"
#include "core/node/client_node.h"
#include "core/node/coordinator_node.h"
#include "core/node/server_node.h"

namespace slipstream {
namespace {

double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

void add_latency(std::vector<Metric>& metrics, const std::string& prefix, const Histogram& h) {
  const auto us = [](double ns) { return ns / 1000.0; };
  metrics.push_back({prefix + "latency_us_mean", us(h.mean_ns())});
  metrics.push_back({prefix + "latency_us_p50", us(static_cast<double>(h.quantile_ns(0.5)))});
  metrics.push_back({prefix + "latency_us_p90", us(static_cast<double>(h.quantile_ns(0.9)))});
  metrics.push_back({prefix + "latency_us_p99", us(static_cast<double>(h.quantile_ns(0.99)))});
  metrics.push_back({prefix + "latency_us_p999", us(static_cast<double>(h.quantile_ns(0.999)))});
  metrics.push_back({prefix + "latency_us_max", us(static_cast<double>(h.max_ns()))});
}

// Of all clients' operations on tablets of the living that began in a part of the window that lies within the recovery.
void add_foreground(std::vector<Metric>& metrics, std::span<const NodeReport> reports, const RecoveryTimes& times) {
  Histogram meanwhile;
  for (const NodeReport& report : reports) {
    const ClientStats& client = report.client;
    if (report.kind != NodeKind::kClient || client.window_end_ns <= client.window_start_ns) continue;
    const auto part_ns = (client.window_end_ns - client.window_start_ns) / static_cast<TimeNs>(kTimelineParts);
    for (std::size_t i = 0; i < kTimelineParts; ++i) {
      const TimeNs from = client.window_start_ns + static_cast<TimeNs>(i) * part_ns;
      if (from >= times.declared_ns && from + part_ns <= times.done_ns) client.timeline.begun[i].add_to(meanwhile);
    }
  }
  if (meanwhile.count() == 0) return;
  metrics.push_back({"recovery_foreground_ops", static_cast<double>(meanwhile.count())});
  for (const auto& [name, quantile] : {std::pair{"p50", 0.5}, std::pair{"p99", 0.99}}) {
    metrics.push_back({fmt::format("recovery_latency_us_{}", name),
                       static_cast<double>(meanwhile.quantile_ns(quantile)) / kMicrosecond});
  }
}

// How long the slowest recovery took, its parts, and what clients saw meanwhile. None: no such metric.
void add_recoveries(std::vector<Metric>& metrics, std::span<const NodeReport> reports) {
  constexpr auto kMs = static_cast<double>(kMillisecond);
  for (const NodeReport& report : reports) {
    if (report.kind != NodeKind::kCoordinator || report.deaths == 0) continue;
    const RecoveryTimes* slowest = nullptr;
    double done = 0;
    for (const RecoveryTimes& times : report.recoveries) {
      if (times.done_ns == 0) continue;
      ++done;
      if (slowest == nullptr || times.done_ns - times.declared_ns > slowest->done_ns - slowest->declared_ns)
        slowest = &times;
    }
    metrics.push_back({"recoveries_done", done});
    if (slowest == nullptr) continue;
    metrics.push_back({"recovery_ms", static_cast<double>(slowest->done_ns - slowest->declared_ns) / kMs});
    metrics.push_back({"recovery_find_ms", static_cast<double>(slowest->found_ns - slowest->declared_ns) / kMs});
    metrics.push_back({"recovered_log_bytes", static_cast<double>(slowest->bytes)});
    TimeNs scan_ns = 0;
    std::uint64_t scanned = 0;
    for (const NodeReport& server : reports) {
      scan_ns = std::max(scan_ns, server.scan_ns);
      scanned += server.scanned_bytes;
    }
    metrics.push_back({"recovery_scan_ms", static_cast<double>(scan_ns) / kMs});
    metrics.push_back({"recovery_scanned_bytes", static_cast<double>(scanned)});
    add_foreground(metrics, reports, *slowest);
  }
}

// Sums over all nodes of a run.
struct Totals {
  Ledger ledger;
  std::array<double, kRoles> cpu_ns{};
  double fabric_cpu_ns = 0;
  double network_bytes = 0;
  double throughput = 0;
  double log_bytes = 0;
  double log_live_bytes = 0;
  double completed = 0;
  double failed = 0;
  double wrong = 0;
  double retries = 0;
  std::array<Histogram, kOperationTypes> latency;

  double work(Role role, Work kind) const { return static_cast<double>(ledger.get(role, kind)); }
  double cpu(Role role) const { return cpu_ns[static_cast<std::size_t>(role)]; }
};

Totals total(std::span<const NodeReport> reports) {
  Totals t;
  for (const NodeReport& r : reports) {
    t.ledger += r.ledger;
    for (std::size_t i = 0; i < kRoles; ++i) t.cpu_ns[i] += static_cast<double>(r.cpu_ns[i]);
    if (r.kind != NodeKind::kCoordinator) t.fabric_cpu_ns += static_cast<double>(r.fabric_cpu_ns);
    t.network_bytes += static_cast<double>(r.network_bytes);
    // A server that holds nothing does not count.
    t.log_bytes += r.log_live_bytes == 0 ? 0 : static_cast<double>(r.log_bytes);
    t.log_live_bytes += static_cast<double>(r.log_live_bytes);
    if (r.kind != NodeKind::kClient) continue;
    const ClientStats& c = r.client;
    const auto window = static_cast<double>(c.window_end_ns - c.window_start_ns);
    t.throughput += ratio(static_cast<double>(c.completed) * 1e9, window);
    t.completed += static_cast<double>(c.completed);
    t.failed += static_cast<double>(c.failed);
    t.wrong += static_cast<double>(c.wrong);
    t.retries += static_cast<double>(c.retries);
    for (std::size_t i = 0; i < kOperationTypes; ++i) t.latency[i].merge(c.latency[i]);
  }
  return t;
}

}  // namespace

std::vector<Metric> summarize(const ClusterOptions&, std::span<const NodeReport> reports) {
  const Totals t = total(reports);
  std::vector<Metric> m;
  m.push_back({"throughput_ops_per_s", t.throughput});
  Histogram all;
  for (const Histogram& h : t.latency) all.merge(h);
  add_latency(m, "", all);
  for (std::size_t i = 0; i < kOperationTypes; ++i) {
    if (t.latency[i].count() == 0) continue;
    add_latency(m, fmt::format("{}_", name(static_cast<OperationType>(i))), t.latency[i]);
  }
  m.push_back({"completed_ops", t.completed});
  m.push_back({"failed_ops", t.failed});
  m.push_back({"wrong_reads", t.wrong});
  m.push_back({"retries", t.retries});

  const double writes = t.work(Role::kPrimary, Work::kMutation);
  const double served = writes + t.work(Role::kPrimary, Work::kRead);
  const double issued = t.work(Role::kClient, Work::kIssue);
  m.push_back({"writes", writes});
  m.push_back({"backup_messages_per_op", ratio(t.work(Role::kBackup, Work::kMessageIn), writes)});
  m.push_back({"backup_copied_bytes_per_op", ratio(t.work(Role::kBackup, Work::kCopyBytes), writes)});
  m.push_back({"backup_turns_per_op", ratio(t.work(Role::kBackup, Work::kTurn), writes)});
  m.push_back({"backup_control_messages_per_op", ratio(t.work(Role::kBackup, Work::kControlMessageIn), writes)});
  m.push_back({"backup_crc_bytes_per_op", ratio(t.work(Role::kBackup, Work::kCrcBytes), writes)});
  m.push_back({"one_sided_writes_per_op", ratio(t.work(Role::kPrimary, Work::kPostWrite), writes)});
  m.push_back({"primary_messages_out_per_op", ratio(t.work(Role::kPrimary, Work::kMessageOut), served)});
  m.push_back({"primary_cpu_ns_per_op", ratio(t.cpu(Role::kPrimary), served)});
  m.push_back({"backup_cpu_ns_per_op", ratio(t.cpu(Role::kBackup), served)});
  m.push_back({"client_cpu_ns_per_op", ratio(t.cpu(Role::kClient), issued)});
  m.push_back({"fabric_cpu_ns_per_op", ratio(t.fabric_cpu_ns, served)});
  m.push_back({"network_bytes_per_op", ratio(t.network_bytes, served)});
  m.push_back({"cleaner_copied_bytes_per_op", ratio(t.work(Role::kPrimary, Work::kCleanedBytes), writes)});
  m.push_back({"log_utilization_ratio", ratio(t.log_live_bytes, t.log_bytes)});
  add_recoveries(m, reports);
  return m;
}

void PartLatency::add(TimeNs latency_ns) {
  const auto v = static_cast<std::uint64_t>(std::max<TimeNs>(latency_ns, TimeNs{1} << kFirstOctave));
  const std::size_t octave = static_cast<std::size_t>(std::bit_width(v)) - 1;
  const std::size_t fraction = (v >> (octave - kSubBits)) & ((1u << kSubBits) - 1);
  ++counts[std::min(((octave - kFirstOctave) << kSubBits) + fraction, kBuckets - 1)];
}

void PartLatency::add_to(Histogram& histogram) const {
  for (std::size_t i = 0; i < kBuckets; ++i) {
    if (counts[i] == 0) continue;
    const TimeNs width = TimeNs{1} << (kFirstOctave + (i >> kSubBits) - kSubBits);
    const auto low = static_cast<TimeNs>((1u << kSubBits) + (i & ((1u << kSubBits) - 1))) * width;
    histogram.add(low + width / 2, counts[i]);
  }
}

void Timeline::add(TimeNs start_ns, TimeNs end_ns, TimeNs now, TimeNs latency_ns, bool was_moved) {
  const auto part_of = [&](TimeNs at) {
    return static_cast<std::size_t>(static_cast<double>(at - start_ns) / static_cast<double>(end_ns - start_ns) *
                                    kTimelineParts);
  };
  const TimeNs begun_ns = now - latency_ns;
  if (!was_moved && begun_ns >= start_ns && begun_ns < end_ns) begun[part_of(begun_ns)].add(latency_ns);
  if (now < start_ns || now >= end_ns) return;
  const std::size_t part = part_of(now);
  const auto us = static_cast<std::uint32_t>(std::min<TimeNs>(latency_ns / kMicrosecond, UINT32_MAX));
  ++completed[part];
  worst_us[part] = std::max(worst_us[part], us);
}

void complete(NodeReport& report, const Node& node) {
  if (const auto* server = dynamic_cast<const ServerNode*>(&node)) {
    report.recovered = server->recovery().recovered_in();
    report.scan_ns = server->scan_ns();
    report.scanned_bytes = server->backup().scanned_bytes();
    const Log& log = server->master().log();
    report.log_bytes = log.slots() * log.segment_bytes();
    report.log_live_bytes = log.live_bytes();
  }
  const auto* coordinator = dynamic_cast<const CoordinatorNode*>(&node);
  if (coordinator == nullptr) return;
  const std::vector<RecoveryTimes>& times = coordinator->coordinator().recoveries();
  report.deaths = times.size();
  std::copy_n(times.begin(), std::min(times.size(), report.recoveries.size()), report.recoveries.begin());
}

const ClientStats* client_stats(const Node& node) {
  if (const auto* client = dynamic_cast<const ClientNode*>(&node)) return &client->stats();
  const auto* checked = dynamic_cast<const CheckedClient*>(&node);
  return checked == nullptr ? nullptr : &checked->stats();
}

// The bytes are the struct as it lies in memory: reports travel between processes of one build on one machine.
static_assert(std::is_trivially_copyable_v<NodeReport>);

std::vector<std::byte> encode(const NodeReport& report) {
  std::vector<std::byte> bytes(sizeof(NodeReport) + sizeof(std::uint32_t));
  std::memcpy(bytes.data(), &report, sizeof(report));
  const std::uint32_t crc = crc32c(0xffffffff, ConstBytes(bytes).first(sizeof(report)));
  std::memcpy(bytes.data() + sizeof(report), &crc, sizeof(crc));
  return bytes;
}

NodeReport decode_report(ConstBytes bytes) {
  NodeReport report;
  std::uint32_t crc = 0;
  if (bytes.size() != sizeof(report) + sizeof(crc)) {
    throw std::runtime_error(
        fmt::format("a node's report has {} bytes instead of {}: the node did not finish, or is of "
                    "another build",
                    bytes.size(), sizeof(report) + sizeof(crc)));
  }
  std::memcpy(&crc, bytes.data() + sizeof(report), sizeof(crc));
  if (crc != crc32c(0xffffffff, bytes.first(sizeof(report)))) {
    throw std::runtime_error("a node's report does not verify: run again");
  }
  std::memcpy(&report, bytes.data(), sizeof(report));
  return report;
}

}  // namespace slipstream
