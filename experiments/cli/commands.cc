#include "experiments/cli/commands.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/cli/agent_job.h"
#include "experiments/cli/environment.h"
#include "experiments/cli/guest.h"
#include "experiments/cli/hardware.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/results.h"
#include "experiments/cli/runner.h"
#include "experiments/cli/summary.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;

void say(const std::string& text) { fmt::print(stderr, "{}\n", text); }

double planned_seconds(const std::vector<Point>& points, World world, std::uint32_t repeats) {
  double seconds = 0;
  for (const Point& point : points) {
    if (point.world != world) continue;
    seconds +=
        static_cast<double>(point.experiment.cluster.warmup_ns + point.experiment.cluster.duration_ns) / 1e9 * repeats;
  }
  return seconds;
}

std::string count_text(std::size_t n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

// Where it runs and how much that is: "4 points for real (shm, packed), about 5 s; ...".
std::string plan_text(const Spec& spec, const std::vector<Point>& points) {
  std::string text;
  for (const World world : spec.base.worlds) {
    const auto here = static_cast<std::size_t>(
        std::count_if(points.begin(), points.end(), [&](const Point& p) { return p.world == world; }));
    const double seconds = planned_seconds(points, world, spec.base.repeats);
    text += fmt::format("  {:<8} {} x {}, {:.3g} s of {} time\n", name(world), count_text(here, "point"),
                        count_text(spec.base.repeats, "repeat"), seconds, world == World::kSim ? "virtual" : "real");
  }
  return text;
}

void copy_profiles(const std::vector<Point>& points, ResultsFolder& folder) {
  for (const Point& point : points) {
    if (point.world != World::kSim) continue;
    const std::string& profile = point.experiment.sim.hardware;
    const fs::path copy = folder.path() / "hardware" / (profile + ".json");
    const std::string now = read_text(hardware_file(profile));
    std::error_code ignored;
    if (fs::exists(copy, ignored) && !folder.lines().empty() && read_text(copy) != now) {
      throw UserError(
          kExitUsage,
          fmt::format("{}: its points were made with another version of the profile {}; choose another folder "
                      "with --out, or remove this one",
                      folder.path().string(), profile));
    }
    if (!fs::exists(copy, ignored) || folder.lines().empty()) folder.write_file("hardware/" + profile + ".json", now);
  }
}

std::string same_command_hint(const ResultsFolder& folder) {
  return fmt::format("what is finished is in {}; the same command carries on there", folder.path().string());
}

// All points that the folder does not hold yet: in a guest, then here.
RunSummary run_everywhere(const RunRequest& request, const Spec& spec, const std::vector<Point>& points,
                          ResultsFolder& folder, RunWorld run) {
  const bool show_progress = ::isatty(STDERR_FILENO) != 0 && !request.json;
  const std::size_t cores = static_cast<std::size_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  const std::size_t jobs = request.jobs == 0 ? cores : request.jobs;
  const GuestPlan guest = plan_guest(points, has_rdma_device());
  if (guest.hosts.empty()) return run_points(spec, points, folder, jobs, show_progress, run);
  std::vector<Point> inside, outside;
  for (const Point& point : points) (guest.takes(point) ? inside : outside).push_back(point);
  RunSummary summary = run_in_guest(guest, spec, inside, folder, show_progress, say);
  if (summary.interrupted) {
    summary.runs = points.size() * spec.base.repeats;
    return summary;
  }
  const RunSummary rest = run_points(spec, outside, folder, jobs, show_progress, run);
  summary.runs += rest.runs;
  summary.skipped += rest.skipped;
  summary.finished += rest.finished;
  summary.failed += rest.failed;
  summary.failures.insert(summary.failures.end(), rest.failures.begin(), rest.failures.end());
  summary.interrupted = rest.interrupted;
  return summary;
}

// Tables on stdout, or one JSON object.
int tell_results(const RunRequest& request, const Spec& spec, const std::vector<Point>& points, ResultsFolder& folder) {
  const std::vector<PointSummary> summaries = summarize_points(points, folder.lines());
  const std::vector<CheckedClaim> claims = check_claims(spec, summaries);
  std::vector<std::string> unsafe = violations(summaries);
  const std::vector<std::string> judged = judged_violations(folder.lines(), folder.path().string());
  unsafe.insert(unsafe.end(), judged.begin(), judged.end());
  folder.write_file("expect.json", claims_json(claims).dump(2) + "\n");
  if (request.json) {
    const Json all = {{"results", folder.path().string()},
                      {"points", summaries_json(summaries)},
                      {"expect", claims_json(claims)},
                      {"violations", unsafe}};
    fmt::print("{}\n", all.dump(2));
  } else {
    fmt::print("\n{}\n", points_table(spec, summaries));
    if (spec.base.repeats > 1)
      fmt::print("Each figure is the median of {} repeats (smallest–largest).\n\n", spec.base.repeats);
    if (const std::string ratios = ratio_table(spec, summaries); !ratios.empty()) fmt::print("{}\n", ratios);
    fmt::print("{}{}\n", notes(points), guest_note(folder.lines()));
    if (!claims.empty()) fmt::print("Expected\n{}\n", claims_text(claims));
    fmt::print("{}", remarks(summaries));
    for (const std::string& violation : unsafe) fmt::print("UNSAFE: {}\n", violation);
    fmt::print("Results: {}\n", folder.path().string());
  }
  if (!unsafe.empty()) return kExitUnsafe;
  const bool failed = std::any_of(claims.begin(), claims.end(),
                                  [](const CheckedClaim& c) { return c.verdict.outcome == Verdict::Outcome::kFails; });
  return failed ? kExitClaimFailed : kExitOk;
}

// The exit status of plots/report.py, which prints where the report is unless it is to be quiet.
int make_report(const std::string& folder, bool quiet) {
  const fs::path script = repository_root() / "plots" / "report.py";
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid < 0) throw UserError(kExitRunFailed, fmt::format("cannot start /usr/bin/python3: {}", std::strerror(errno)));
  if (pid == 0) {
    if (quiet && std::freopen("/dev/null", "w", stdout) == nullptr) ::_exit(kExitRunFailed);
    // By its full name: a bare one would be looked up in PATH, and another Python's libraries be taken.
    ::execl("/usr/bin/python3", "/usr/bin/python3", script.c_str(), folder.c_str(), static_cast<char*>(nullptr));
    fmt::print(stderr, "slipstream: /usr/bin/python3 cannot be run ({}); install python3 and python3-matplotlib\n",
               std::strerror(errno));
    ::_exit(kExitRunFailed);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitRunFailed;
}

void tell_report(const fs::path& folder) {
  if (make_report(folder.string(), true) == 0) {
    fmt::print("Report:  {}\n", (folder / "report.html").string());
  } else {
    fmt::print(stderr, "slipstream: no report was made; `slipstream report {}` tries again\n", folder.string());
  }
}

std::string value_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::vector<std::string> items;
  for (const Json& item : value) items.push_back(value_text(item));
  return fmt::format("{}", fmt::join(items, ", "));
}

void describe_fields(const Spec& spec) {
  constexpr std::size_t kDocColumn = 56;
  for (const Field& field : fields()) {
    if (field.path == "name" || field.path == "description" || field.path == "figure") continue;
    const auto axis =
        std::find_if(spec.sweep.begin(), spec.sweep.end(), [&](const SweepAxis& a) { return a.field == &field; });
    const Json::json_pointer pointer(field.pointer());
    std::string value;
    if (axis != spec.sweep.end()) {
      value = "sweep: " + value_text(axis->values);
    } else if (spec.document.contains(pointer)) {
      const bool is_default = !field.required && spec.document.at(pointer) == field.get(Experiment{});
      value = value_text(spec.document.at(pointer)) + (is_default ? " (default)" : "");
    } else {
      continue;
    }
    const std::string head = fmt::format("  {:<27} {}", field.path, value);
    const bool long_head = head.size() + 2 > kDocColumn;
    fmt::print("{}{}{}\n", head,
               long_head ? "\n" + std::string(kDocColumn, ' ') : std::string(kDocColumn - head.size(), ' '),
               wrapped(field.doc, kDocColumn));
  }
}

// Has the first run of the point traced.
void trace(Point& point, const std::string& file, const ResultsFolder& folder) {
  using emulate::HostKind;
  const HostKind hosts = point.experiment.emulate.hosts;
  if (point.experiment.swarm.seeds > 0) {
    throw UserError(kExitUsage, "--trace-out: these are scenarios; `slipstream swarm --seed S --trace` tells one");
  }
  if (point.world == World::kEmulate &&
      (hosts == HostKind::kContainers || hosts == HostKind::kMininet || hosts == HostKind::kSsh)) {
    throw UserError(kExitUsage,
                    fmt::format("--trace-out: hosts \"{}\" keep no trace; --hosts packed, processes and vm do, "
                                "and the simulator (--on sim)",
                                emulate::name(hosts)));
  }
  if (folder.has(point.id, 0)) {
    throw UserError(kExitUsage, fmt::format("--trace-out: the first run is in {} already and is not made again; name "
                                            "another folder with --out",
                                            folder.path().string()));
  }
  point.experiment.trace_out = fs::absolute(file).string();
  if (!std::ofstream(point.experiment.trace_out)) {
    throw UserError(kExitUsage, fmt::format("--trace-out {}: {}", file, std::strerror(errno)));
  }
}

}  // namespace

int run_command(const RunRequest& request, RunWorld run) {
  const Spec spec = read_spec_for_here(find_spec(request.spec), request.overrides, has_rdma_device(), say);
  std::vector<Point> points = points_of(spec);
  const fs::path out = request.out.empty() ? fs::path("results") / spec.base.name : fs::path(request.out);
  const Json environment = environment_of(spec.base);
  ResultsFolder folder(out, spec.document, environment, say);
  copy_profiles(points, folder);
  if (!request.trace_out.empty()) trace(points.front(), request.trace_out, folder);
  if (!request.json) {
    fmt::print("{}\n{}", wrapped(spec.base.name + ": " + spec.base.description, 0), plan_text(spec, points));
    std::fflush(stdout);
  }
  const bool real = std::count(spec.base.worlds.begin(), spec.base.worlds.end(), World::kEmulate) > 0;
  if (const std::string note = busy_note(environment); real && !note.empty()) say(note);
  const RunSummary summary = run_everywhere(request, spec, points, folder, run);
  if (summary.interrupted) {
    fmt::print(stderr, "slipstream: interrupted after {} of {} runs; {}\n", summary.skipped + summary.finished,
               summary.runs, same_command_hint(folder));
    return kExitInterrupted;
  }
  for (const std::string& failure : summary.failures) fmt::print(stderr, "slipstream: a run failed: {}\n", failure);
  if (folder.lines().empty()) return kExitRunFailed;
  const int status = tell_results(request, spec, points, folder);
  if (summary.failed > 0) {
    fmt::print(stderr, "slipstream: {} of {} runs failed; {}\n", summary.failed, summary.runs,
               same_command_hint(folder));
  }
  if (!request.json) tell_report(out);
  return status == kExitUnsafe ? status : summary.failed == 0 ? status : kExitRunFailed;
}

int describe_command(const RunRequest& request) {
  const Spec spec = read_spec_for_here(find_spec(request.spec), request.overrides, has_rdma_device(), say);
  if (request.json) {
    fmt::print("{}\n", spec.document.dump(2));
    return kExitOk;
  }
  const std::vector<Point> points = points_of(spec);
  fmt::print("{} ({})\n\n{}\n", spec.base.name, spec.file, wrapped(spec.base.description, 0));
  if (!spec.base.figure.empty()) fmt::print("Stands beside: {}\n", spec.base.figure);
  fmt::print("\nRuns\n{}", plan_text(spec, points));
  fmt::print("\nOptions\n");
  describe_fields(spec);
  if (!spec.expect.empty()) {
    fmt::print("\nExpected\n");
    for (const Claim& claim : spec.expect) fmt::print("  {}\n", claim.text);
  }
  fmt::print("\n{}", notes(points));
  return kExitOk;
}

int list_command(bool json) {
  const fs::path folder = repository_root() / "experiments" / "specs";
  Json list = Json::array();
  std::string text;
  for (const std::string& name : json_names(folder)) {
    const Spec spec = read_spec(folder / (name + ".json"), {});
    const std::size_t points = points_of(spec).size();
    std::vector<std::string> worlds;
    for (const World world : spec.base.worlds) worlds.emplace_back(cli::name(world));
    list.push_back({{"spec", name},
                    {"worlds", worlds},
                    {"points", points},
                    {"description", spec.base.description},
                    {"figure", spec.base.figure}});
    text += fmt::format("{} ({}; {} x {})\n    {}\n", name, fmt::join(worlds, " and "), count_text(points, "point"),
                        count_text(spec.base.repeats, "repeat"), wrapped(spec.base.description, 4));
  }
  fmt::print("{}", json ? list.dump(2) + "\n" : text);
  return kExitOk;
}

int schema_command() {
  fmt::print("{}\n", schema().dump(2));
  return kExitOk;
}

int agent_command() {
  if (::isatty(STDIN_FILENO) != 0) throw UserError(kExitUsage, "an agent is started by a run, not by hand");
  return emulate::run_agent(agent_job);
}

int report_command(const std::string& folder) {
  std::error_code ignored;
  if (!fs::exists(fs::path(folder) / "points.jsonl", ignored)) {
    throw UserError(
        kExitUsage,
        fmt::format("{}: is not a results folder (it has no points.jsonl); name the folder a run told you", folder));
  }
  return make_report(folder, false) == 0 ? kExitOk : kExitRunFailed;
}

}  // namespace slipstream::cli
