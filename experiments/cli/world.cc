#include "experiments/cli/world.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "experiments/cli/agent_job.h"
#include "experiments/cli/guest.h"
#include "experiments/cli/hardware.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/trace_file.h"
#include "sim/cluster_run.h"
#include "sim/scenario.h"

namespace slipstream::cli {
namespace {

void take_reports(RunOutcome& outcome, const ClusterOptions& cluster, const std::vector<NodeReport>& reports) {
  outcome.metrics = summarize(cluster, reports);
  outcome.write_order = WriteOrder::kWhole;
  for (const NodeReport& report : reports) outcome.write_order = std::min(outcome.write_order, report.write_order);
  for (const NodeReport& report : reports) {
    if (report.kind != NodeKind::kClient) continue;
    for (std::size_t i = 0; i < kOperationTypes; ++i) outcome.latency[i].merge(report.client.latency[i]);
  }
}

constexpr TimeNs kRetiredBack = 20 * kMillisecond;  // a server that was declared dead by mistake begins anew

// What there is to tell of faults and deaths, and the judges' verdict.
void take_records(RunOutcome& outcome, const ClusterOptions& cluster, std::uint64_t crashes,
                  std::span<const NodeRecord> records) {
  if (!cluster.checked && !cluster.membership.recoverable) return;
  Judgement judgement = judge(records);
  outcome.judged = cluster.checked;
  outcome.findings = std::move(judgement.findings);
  outcome.history = std::move(judgement.history);
  const auto tell = [&](const char* name, std::uint64_t value) {
    outcome.metrics.push_back({name, static_cast<double>(value)});
  };
  tell("crashes", crashes);
  tell("deaths_declared", judgement.deaths);
  if (!cluster.checked) return;
  tell("checked_operations", outcome.history.size());
  tell("unknown_operations", judgement.unknown);
  tell("violations", outcome.findings.size());
}

Timelines timelines_of(const ClusterOptions& cluster, const std::vector<NodeReport>& reports) {
  Timelines timelines;
  timelines.part_ns = cluster.duration_ns / static_cast<TimeNs>(kTimelineParts);
  for (const NodeReport& report : reports) {
    for (std::size_t i = 0; i < kTimelineParts; ++i) {
      timelines.completed[i] += report.client.timeline.completed[i];
      timelines.worst_us[i] = std::max<std::uint64_t>(timelines.worst_us[i], report.client.timeline.worst_us[i]);
      timelines.recovered[i] += report.recovered[i];
    }
  }
  for (std::size_t i = 0; i < kTimelineParts; ++i) {
    Histogram begun;
    for (const NodeReport& report : reports) report.client.timeline.begun[i].add_to(begun);
    timelines.living_p99_us[i] = static_cast<double>(begun.quantile_ns(0.99)) / kMicrosecond;
  }
  return timelines;
}

// A run is not lost because its trace is.
void finish_trace(TraceFile& trace, double wall_seconds) {
  try {
    trace.finish(static_cast<TimeNs>(wall_seconds * static_cast<double>(kSecond)));
  } catch (const UserError& problem) {
    fmt::print(stderr, "slipstream: {}\n", problem.what());
  }
}

RunOutcome run_emulate(const Experiment& experiment) {
  emulate::EmulateOptions options = experiment.emulate;
  options.job = job_text(experiment);
  options.faults = fault_plan(experiment.faults, experiment.cluster);
  if (experiment.cluster.membership.recoverable) {
    options.restart_retired_ns = kRetiredBack;
    options.keep_when_in_trouble = guest_text().empty();  // a guest is gone when its run is over
  }
  if (options.hosts == emulate::HostKind::kMininet) options.source = repository_root().string();
  std::optional<TraceFile> trace;
  if (!experiment.trace_out.empty()) trace.emplace(experiment.trace_out, experiment.cluster);
  options.observer = trace ? &trace->observer() : nullptr;
  emulate::RunResult result = emulate::run_emulated(experiment.cluster, options);
  if (trace) finish_trace(*trace, result.wall_seconds);
  if (!result.run_directory.empty() && result.trouble.empty()) {
    fmt::print(stderr, "slipstream: replica memory and stored replicas are left in {0}; see `slipstream inspect {0}`\n",
               result.run_directory);
  }
  RunOutcome outcome;
  outcome.trouble = std::move(result.trouble);
  outcome.wall_seconds = result.wall_seconds;
  outcome.network = std::move(result.network);
  if (!outcome.trouble.empty()) {
    if (!result.run_directory.empty()) {
      outcome.trouble += fmt::format("; replica memory and storage are kept in {}, remove it when you have seen enough",
                                     result.run_directory);
    }
    return outcome;
  }
  take_reports(outcome, experiment.cluster, result.reports);
  std::vector<NodeRecord> records;
  for (const std::vector<std::byte>& bytes : result.records) {
    if (!bytes.empty()) records.push_back(decode_record(bytes));
  }
  take_records(outcome, experiment.cluster, result.crashes, records);
  if (experiment.cluster.membership.recoverable) outcome.timelines = timelines_of(experiment.cluster, result.reports);
  return outcome;
}

// Scenarios instead of a run: how many of them did harm, by kind. A scenario counts once for each kind.
RunOutcome run_swarm(const Experiment& experiment, const sim::HardwareProfile& hardware) {
  RunOutcome outcome;
  std::map<FindingKind, std::uint64_t> harmed;
  std::uint64_t any = 0;
  std::uint64_t faults = 0;
  const std::uint64_t first = experiment.cluster.seed * 1'000'000;
  for (std::uint64_t seed = first; seed < first + experiment.swarm.seeds; ++seed) {
    const sim::Scenario scenario =
        sim::draw_scenario(seed, {experiment.cluster.replication.policy, fault_kind_of(experiment.swarm.fault)});
    const sim::Verdict verdict = sim::run_scenario(scenario, hardware);
    std::set<FindingKind> kinds;
    for (const Finding& finding : verdict.findings) kinds.insert(finding.kind);
    for (const FindingKind kind : kinds) ++harmed[kind];
    any += kinds.empty() ? 0 : 1;
    faults += verdict.faults;
    outcome.state_hash = mix64(outcome.state_hash ^ verdict.state_hash);
  }
  const auto tell = [&](const char* name, std::uint64_t value) {
    outcome.metrics.push_back({name, static_cast<double>(value)});
  };
  tell("scenarios", experiment.swarm.seeds);
  tell("faults_struck", faults);
  tell("harmed_scenarios", any);
  tell("lost_scenarios", harmed[FindingKind::kLost]);
  tell("torn_scenarios", harmed[FindingKind::kTorn]);
  tell("stale_scenarios", harmed[FindingKind::kStale]);
  tell("duplicated_scenarios", harmed[FindingKind::kDuplicated] + harmed[FindingKind::kPhantom]);
  tell("stuck_scenarios", harmed[FindingKind::kNotConverged]);
  return outcome;
}

RunOutcome run_sim(const Experiment& experiment) {
  const sim::HardwareProfile hardware = read_hardware(hardware_file(experiment.sim.hardware));
  if (experiment.swarm.seeds > 0) return run_swarm(experiment, hardware);
  const auto start = std::chrono::steady_clock::now();
  sim::SimOptions options = experiment.sim.options;
  if (experiment.cluster.membership.recoverable) {
    options.keep_stored_bytes = true;
    options.restart_retired_ns = kRetiredBack;
  }
  const FaultPlan faults = fault_plan(experiment.faults, experiment.cluster);
  std::optional<TraceFile> trace;
  if (!experiment.trace_out.empty()) trace.emplace(experiment.trace_out, experiment.cluster);
  sim::RunResult result =
      sim::run_cluster(experiment.cluster, hardware, options, faults, trace ? &trace->observer() : nullptr);
  if (trace) trace->finish(result.timing.simulated_ns);
  RunOutcome outcome;
  outcome.trouble = std::move(result.trouble);
  outcome.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  outcome.simulated_seconds = static_cast<double>(result.timing.simulated_ns) / 1e9;
  outcome.events = result.timing.events;
  outcome.state_hash = result.timing.state_hash;
  if (!outcome.trouble.empty()) return outcome;
  take_reports(outcome, experiment.cluster, result.reports);
  for (Metric& metric : sim::core_metrics(result.cores, experiment.cluster))
    outcome.metrics.push_back(std::move(metric));
  take_records(outcome, experiment.cluster, result.crashes, result.records);
  if (experiment.cluster.membership.recoverable) outcome.timelines = timelines_of(experiment.cluster, result.reports);
  return outcome;
}

}  // namespace

std::vector<std::string> known_metrics() {
  // A client that has seen every type of operation makes every metric appear.
  std::vector<NodeReport> reports(1);
  reports[0].kind = NodeKind::kClient;
  for (Histogram& latency : reports[0].client.latency) latency.add(1);
  std::vector<std::string> names;
  for (const Metric& metric : summarize({}, reports)) names.push_back(metric.name);
  for (const Metric& metric : sim::core_metrics({}, {})) names.push_back(metric.name);
  for (const char* name : {"crashes",
                           "deaths_declared",
                           "checked_operations",
                           "unknown_operations",
                           "violations",
                           "recoveries_done",
                           "recovery_ms",
                           "recovery_find_ms",
                           "recovered_log_bytes",
                           "recovery_scan_ms",
                           "recovery_scanned_bytes",
                           "recovery_foreground_ops",
                           "recovery_latency_us_p50",
                           "recovery_latency_us_p99",
                           "scenarios",
                           "faults_struck",
                           "harmed_scenarios",
                           "lost_scenarios",
                           "torn_scenarios",
                           "stale_scenarios",
                           "duplicated_scenarios",
                           "stuck_scenarios"}) {
    names.emplace_back(name);
  }
  return names;
}

RunOutcome run_world(const Experiment& experiment, World world) {
  return world == World::kSim ? run_sim(experiment) : run_emulate(experiment);
}

std::string acknowledged_text(const ReplicationOptions& replication) {
  if (replication.policy == Policy::kNone) return "the primary alone";
  return replication.factor == 1 ? "the backup" : fmt::format("all {} backups", replication.factor);
}

std::string ordering_text(World world, WriteOrder order) {
  return world == World::kSim ? "packets land in order, each whole" : std::string(name(order));
}

}  // namespace slipstream::cli
