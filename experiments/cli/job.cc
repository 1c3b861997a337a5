#include "experiments/cli/job.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "experiments/cli/guest.h"
#include "experiments/cli/world.h"

namespace slipstream::cli {
namespace {

Json histogram_json(const Histogram& histogram, std::string_view operation) {
  Json json = {{"operation", operation},
               {"unit", "ns"},
               {"count", histogram.count()},
               {"sum", histogram.sum_ns()},
               {"max", histogram.max_ns()}};
  Json& buckets = json["buckets"] = Json::object();
  for (std::size_t i = 0; i < Histogram::kBuckets; ++i) {
    if (histogram.bucket_count(i) > 0) buckets[std::to_string(Histogram::bucket_low_ns(i))] = histogram.bucket_count(i);
  }
  return json;
}

std::string encode(const JobResult& result) {
  Json json = {{"problem", result.problem}, {"is_setup", result.is_setup}};
  if (result.record) {
    json["line"] = result.record->line;
    json["timing"] = result.record->timing;
    json["histograms"] = Json::object();
    for (const auto& [name, content] : result.record->histograms) json["histograms"][name] = content;
  }
  return json.dump();
}

// As JSON lines, for checkers outside, too.
void write_history(const std::filesystem::path& file, std::span<const HistoryOperation> operations) {
  constexpr std::size_t kPiece = 1 << 20;
  WholeFile history(file);
  std::string lines;
  std::size_t index = 0;
  for (const HistoryEvent& event : events_of(operations)) {
    append_json_line(lines, index++, operations[event.operation], event.ends);
    if (lines.size() < kPiece) continue;
    history.append(lines);
    lines.clear();
  }
  history.append(lines);
  history.finish();
}

// Equal parts of the measured window: operations completed, the slowest of them, how long the living made clients wait,
// bytes replayed for dead servers.
void write_timeline(const std::filesystem::path& file, const Timelines& timelines) {
  WholeFile whole(file);
  const Json json = {{"part_ns", timelines.part_ns},
                     {"completed", timelines.completed},
                     {"worst_us", timelines.worst_us},
                     {"living_p99_us", timelines.living_p99_us},
                     {"recovered_bytes", timelines.recovered}};
  whole.append(json.dump());
  whole.finish();
}

JobResult run_job(const Point& point, std::uint32_t repeat, RunWorld run, const std::filesystem::path& folder) {
  Experiment experiment = point.experiment;
  experiment.cluster.seed += repeat;
  if (repeat != 0) experiment.trace_out.clear();
  try {
    const RunOutcome outcome = run(experiment, point.world);
    if (!outcome.trouble.empty()) return {std::nullopt, outcome.trouble, false};
    if (outcome.timelines.part_ns != 0) write_timeline(folder / timeline_name(point.id, repeat), outcome.timelines);
    if (outcome.judged) write_history(folder / history_name(point.id, repeat), outcome.history);
    return {make_record(point, repeat, experiment, outcome), {}, false};
  } catch (const std::bad_alloc&) {
    return {std::nullopt, "out of memory; lower /workload/records, /cluster/log_memory or the number of nodes", false};
  } catch (const std::exception& problem) {
    return {std::nullopt, problem.what(), true};
  }
}

[[noreturn]] void child_main(const Point& point, std::uint32_t repeat, RunWorld run,
                             const std::filesystem::path& folder, int pipe) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const std::string told = encode(run_job(point, repeat, run, folder));
  std::string_view rest = told;
  while (!rest.empty()) {
    const ssize_t written = ::write(pipe, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ::_exit(1);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  ::_exit(0);
}

}  // namespace

PointRecord make_record(const Point& point, std::uint32_t repeat, const Experiment& experiment,
                        const RunOutcome& outcome) {
  PointRecord record;
  const bool simulated = point.world == World::kSim;
  record.line = {{"point", point.id},
                 {"repeat", repeat},
                 {"seed", experiment.cluster.seed},
                 {"world", name(point.world)},
                 {"timing", simulated ? "virtual" : "wall"},
                 {"acknowledged", acknowledged_text(experiment.cluster.replication)},
                 {"ordering", ordering_text(point.world, outcome.write_order)}};
  if (experiment.swarm.seeds > 0) record.line["acknowledged"] = record.line["ordering"] = "as each scenario draws it";
  if (!simulated) {
    record.line["fabric"] = emulate::name(experiment.emulate.fabric);
    record.line["hosts"] = emulate::name(experiment.emulate.hosts);
    if (const std::string guest = guest_text(); !guest.empty()) record.line["guest"] = guest;
  }
  if (simulated) record.line["state_hash"] = fmt::format("{:016x}", outcome.state_hash);
  if (!outcome.network.empty()) record.line["network"] = outcome.network;
  if (outcome.judged) {
    constexpr std::size_t kMostTold = 20;
    record.line["history"] = history_name(point.id, repeat);
    Json& findings = record.line["findings"] = Json::array();
    for (const Finding& finding : outcome.findings) {
      if (findings.size() == kMostTold) break;
      findings.push_back(fmt::format("{}: {}", slipstream::name(finding.kind), finding.text));
    }
  }
  record.line["params"] = point.params;
  Json& metrics = record.line["metrics"] = Json::object();
  for (const Metric& metric : outcome.metrics) metrics[metric.name] = metric.value;
  rusage own{}, children{};  // the largest process counts
  ::getrusage(RUSAGE_SELF, &own);
  ::getrusage(RUSAGE_CHILDREN, &children);
  record.timing = {
      {"point", point.id}, {"repeat", repeat}, {"world", name(point.world)}, {"wall_s", outcome.wall_seconds}};
  if (simulated) {
    record.timing["simulated_s"] = outcome.simulated_seconds;
    record.timing["events"] = outcome.events;
    const double events = static_cast<double>(outcome.events);
    record.timing["events_per_s"] = outcome.wall_seconds > 0 ? events / outcome.wall_seconds : 0.0;
  }
  record.timing["peak_memory_bytes"] = static_cast<std::int64_t>(std::max(own.ru_maxrss, children.ru_maxrss)) * 1024;
  for (std::size_t type = 0; type < kOperationTypes; ++type) {
    if (outcome.latency[type].count() == 0) continue;
    const auto operation = name(static_cast<OperationType>(type));
    record.histograms.emplace_back(fmt::format("{}-{}-{}.json", point.id, repeat, operation),
                                   histogram_json(outcome.latency[type], operation));
  }
  return record;
}

Job::Job(const Point& point, std::uint32_t repeat, RunWorld run, const std::filesystem::path& folder)
    : point_(&point), repeat_(repeat) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw UserError(kExitRunFailed, fmt::format("cannot start a run: {}", std::strerror(errno)));
  std::fflush(nullptr);  // or each process that the run starts would print what is still in our buffers
  pid_ = ::fork();
  if (pid_ < 0) {
    const int error = errno;
    ::close(ends[0]);
    ::close(ends[1]);
    throw UserError(kExitRunFailed, fmt::format("cannot start a process for the run: {}", std::strerror(error)));
  }
  if (pid_ == 0) {
    ::close(ends[0]);
    child_main(point, repeat, run, folder, ends[1]);
  }
  ::setpgid(pid_, pid_);
  ::close(ends[1]);
  pipe_ = ends[0];
}

Job::Job(Job&& other) noexcept
    : point_(other.point_),
      repeat_(other.repeat_),
      pid_(std::exchange(other.pid_, -1)),
      pipe_(std::exchange(other.pipe_, -1)),
      status_(other.status_),
      told_(std::move(other.told_)) {}

Job::~Job() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    reap();
  }
  if (pipe_ >= 0) ::close(pipe_);
}

bool Job::read_some() {
  char buffer[65536];
  const ssize_t n = ::read(pipe_, buffer, sizeof buffer);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (n > 0) {
    told_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }
  reap();
  return false;
}

void Job::reap() {
  while (pid_ > 0 && ::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  if (pid_ > 0) ::kill(-pid_, SIGKILL);  // whatever it left behind
  pid_ = -1;
}

void Job::interrupt() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

JobResult Job::result() const {
  const Json json = Json::parse(told_, nullptr, false);
  if (json.is_discarded() || !WIFEXITED(status_) || WEXITSTATUS(status_) != 0) {
    const std::string why = WIFSIGNALED(status_) ? fmt::format("its process was ended by signal {} ({})",
                                                               WTERMSIG(status_), ::strsignal(WTERMSIG(status_)))
                                                 : std::string("its process ended without a result");
    return {std::nullopt, why, false};
  }
  JobResult result{std::nullopt, json.at("problem").get<std::string>(), json.at("is_setup").get<bool>()};
  if (json.contains("line")) {
    result.record.emplace(PointRecord{json.at("line"), json.at("timing"), {}});
    for (const auto& [name, content] : json.at("histograms").items())
      result.record->histograms.emplace_back(name, content);
  }
  return result;
}

}  // namespace slipstream::cli
