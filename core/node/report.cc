#include "core/node/report.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include <fmt/format.h>

#include "core/base/crc32c.h"
#include "core/node/client_node.h"

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

// Sums over all nodes of a run.
struct Totals {
  Ledger ledger;
  std::array<double, kRoles> cpu_ns{};
  double fabric_cpu_ns = 0;
  double network_bytes = 0;
  double throughput = 0;
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
  return m;
}

const ClientStats* client_stats(const Node& node) {
  const auto* client = dynamic_cast<const ClientNode*>(&node);
  return client == nullptr ? nullptr : &client->stats();
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
