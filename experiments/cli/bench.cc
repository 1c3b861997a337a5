#include "experiments/cli/bench.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include <unistd.h>

#include <fmt/format.h>

#include "experiments/cli/environment.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/results.h"
#include "experiments/cli/runner.h"
#include "experiments/cli/summary.h"
#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;

enum class Over { kEvery, kBest };  // the goal holds at every point, or at the best one

// A goal: a benchmark's items per second, or a claim about a spec's points. Without a comparison it is only reported.
struct Goal {
  std::string_view what;
  std::string_view source;  // a program, or a spec
  std::string_view figure;  // of a benchmark, its name or how it begins; or a claim, whose number is the goal
  double least = 0;         // of a benchmark
  Over over = Over::kEvery;
  std::string_view beside = {};  // told with a figure that has no goal
};

constexpr Goal kGoals[] = {
    {"tailwind: messages a backup handles per write", "quickstart",
     "backup_messages_per_op == 0 where replication.policy=tailwind"},
    {"tailwind: bytes a backup copies per write", "quickstart",
     "backup_copied_bytes_per_op == 0 where replication.policy=tailwind"},
    {"tailwind: turns of a backup per write", "quickstart",
     "backup_turns_per_op == 0 where replication.policy=tailwind"},
    {"event queue, 1 k pending, events/s", "sim_bench", "hold/1000", 15e6},
    {"event queue, 100 k pending, events/s", "sim_bench", "hold/100000", 3.5e6},
    {"simulated PUTs per wall second, factor 3, 4 servers", "sim_bench", "puts/", 400e3},
    {"verbs, no card: 128 B writes posted in batches of 64, writes/s", "emulate_fabric_verbs_loopback_bench",
     "writes/64", 10e6},
    {"packed, shm, one pinned loop, factor 3: tailwind, PUT/s", "outstanding",
     "throughput >= 2000000 where replication.policy=tailwind", 0, Over::kBest},
    {"same run: tailwind/rpc throughput", "outstanding", "tailwind/rpc throughput", 0, Over::kEvery,
     "a bare loop gives 1.1 to 1.45"},
    {"processes, tcp, factor 3, 64 outstanding, PUT/s", "processes-tcp", "throughput >= 160000", 0, Over::kBest},
    {"simulated, unloaded: read, us", "sim-unloaded",
     "read_latency_us_p50 in 4.32..5.445 where workload.name=ycsb-c and replication.policy=none"},
    {"simulated, unloaded: unreplicated write, us", "sim-unloaded",
     "update_latency_us_p50 in 5.49..7.59 where workload.name=write-only and replication.policy=none"},
    {"simulated, saturated: tailwind/rpc throughput", "sim-saturated", "tailwind/rpc throughput", 0, Over::kEvery,
     "published: 1.7x"},
};

bool wanted(const BenchRequest& request, std::string_view source) {
  return request.only.empty() || std::find(request.only.begin(), request.only.end(), source) != request.only.end();
}

std::vector<std::string> bench_programs() {
  std::vector<std::string> programs;
  for (const auto& entry : fs::directory_iterator(executable_folder())) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with("_bench") && ::access(entry.path().c_str(), X_OK) == 0) programs.push_back(name);
  }
  std::sort(programs.begin(), programs.end());
  return programs;
}

Json run_program(const std::string& program) {
  const std::string command =
      fmt::format("'{}' --benchmark_format=json 2>/dev/null", (executable_folder() / program).string());
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "re");
  char buffer[4096];
  while (const std::size_t n = pipe == nullptr ? 0 : std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
  const bool failed = pipe == nullptr || ::pclose(pipe) != 0;
  Json json = Json::parse(text, nullptr, false);
  if (failed || json.is_discarded())
    throw UserError(kExitRunFailed, fmt::format("{} failed; run it by itself to see why", program));
  return json.at("benchmarks");
}

void print_benchmarks(const std::string& program, const Json& benchmarks) {
  std::vector<std::vector<std::string>> rows = {{program, "CPU ns", "items/s", "MB/s", ""}};
  for (const Json& benchmark : benchmarks) {
    if (benchmark.contains("error_occurred")) {
      rows.push_back({benchmark.at("name"), "-", "-", "-"});
      continue;
    }
    static const std::map<std::string, double> kToNs = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    const double ns = benchmark.at("cpu_time").get<double>() * kToNs.at(benchmark.at("time_unit"));
    const auto rate = [&](const char* key, double unit) {
      return benchmark.contains(key) ? format_short(benchmark.at(key).get<double>() / unit) : std::string("-");
    };
    rows.push_back({benchmark.at("name"), format_short(ns), rate("items_per_second", 1), rate("bytes_per_second", 1e6),
                    benchmark.value("label", "")});
  }
  fmt::print("\n{}", aligned(rows));
}

struct SpecResults {
  Spec spec;
  std::vector<PointSummary> summaries;
};

SpecResults run_spec(const BenchRequest& request, const std::string& name) {
  Spec spec = read_spec(find_spec(name), {});
  const std::vector<Point> points = points_of(spec);
  const fs::path path = fs::path(request.out) / name;
  std::error_code ignored;
  if (fs::exists(path / "points.jsonl", ignored)) fs::remove_all(path);  // figures of now, not of an earlier build
  ResultsFolder folder(path, spec.document, environment_of(spec.base), [](const std::string&) {});
  const RunSummary run = run_points(spec, points, folder, 1, ::isatty(STDERR_FILENO) != 0 && !request.json);
  if (run.interrupted) throw UserError(kExitInterrupted, "interrupted; nothing is left running");
  for (const std::string& failure : run.failures)
    fmt::print(stderr, "slipstream: {}: a run failed: {}\n", name, failure);
  std::vector<PointSummary> summaries = summarize_points(points, folder.lines());
  if (!request.json) {
    fmt::print("\n{}\n\n{}\n{}", wrapped(name + ": " + spec.base.description, 0), points_table(spec, summaries),
               ratio_table(spec, summaries));
  }
  return {std::move(spec), std::move(summaries)};
}

struct Row {
  std::string_view what, mark;
  std::string goal, found;
};

Row judge_benchmark(const Goal& goal, const Json& benchmarks) {
  Row row{goal.what, "✗", fmt::format(">= {}", format_short(goal.least)), "not measured"};
  std::vector<double> found;
  for (const Json& benchmark : benchmarks) {
    const std::string& name = benchmark.at("name").get_ref<const std::string&>();
    const bool whole = name == goal.figure || (goal.figure.back() == '/' && name.starts_with(goal.figure));
    if (whole && benchmark.contains("items_per_second"))
      found.push_back(benchmark.at("items_per_second").get<double>());
  }
  if (found.empty()) return row;
  const Series series = series_of(found);
  row.mark = series.low >= goal.least ? "✓" : "✗";
  row.found = format_short(series.low);
  if (series.low != series.high) row.found += " to " + format_short(series.high);
  return row;
}

std::string goal_text(const Claim& claim) {
  if (claim.comparison == "in") return fmt::format("{} to {}", claim.low, claim.high);
  return fmt::format("{} {}", claim.comparison,
                     claim.low >= 1e4 ? format_short(claim.low) : fmt::format("{}", claim.low));
}

Row judge_claim(const Goal& goal, const std::vector<PointSummary>& summaries) {
  const bool reported = !goal.beside.empty();
  const Claim claim = parse_claim(std::string(goal.figure) + (reported ? " >= 0" : ""));
  Row row{goal.what, "✗", reported ? std::string(goal.beside) : goal_text(claim), "not measured"};
  const std::vector<Figure> figures = figures_of(claim, summaries);
  if (figures.empty()) return row;
  const auto by_value = [](const Figure& a, const Figure& b) { return a.value < b.value; };
  const auto [low, high] = std::minmax_element(figures.begin(), figures.end(), by_value);
  const bool best = goal.over == Over::kBest;
  const auto holds = [&](const Figure& figure) { return claim_holds(claim, figure.value); };
  const bool met = best ? holds(*high) : std::all_of(figures.begin(), figures.end(), holds);
  row.mark = reported ? "·" : met ? "✓" : "✗";
  row.found = best || low->value == high->value
                  ? format_short(high->value)
                  : fmt::format("{} to {}", format_short(low->value), format_short(high->value));
  if (best && figures.size() > 1) row.found += fmt::format(" at {}", high->where);
  return row;
}

}  // namespace

int bench_command(const BenchRequest& request) {
  const std::vector<std::string> programs = bench_programs();
  for (const std::string& name : request.only) {
    if (std::find(programs.begin(), programs.end(), name) == programs.end()) find_spec(name);
  }
  const Json environment = environment_of({});
  if (const std::string note = busy_note(environment); !note.empty()) fmt::print(stderr, "{}\n", note);
  std::map<std::string, Json> benchmarks;
  for (const std::string& program : programs) {
    if (!wanted(request, program)) continue;
    benchmarks[program] = run_program(program);
    if (!request.json) print_benchmarks(program, benchmarks[program]);
  }
  std::map<std::string, SpecResults> specs;
  std::vector<Row> rows;
  for (const Goal& goal : kGoals) {
    const std::string source(goal.source);
    if (!wanted(request, source)) continue;
    if (source.ends_with("_bench")) {
      rows.push_back(judge_benchmark(goal, benchmarks.count(source) > 0 ? benchmarks[source] : Json::array()));
      continue;
    }
    if (specs.count(source) == 0) specs.emplace(source, run_spec(request, source));
    rows.push_back(judge_claim(goal, specs.at(source).summaries));
  }
  Json told = Json::array();
  std::vector<std::vector<std::string>> table = {{"", "what", "goal", "found", "measured by"}};
  for (std::size_t i = 0, goal = 0; i < rows.size(); ++i, ++goal) {
    while (!wanted(request, kGoals[goal].source)) ++goal;
    table.push_back({std::string(rows[i].mark), std::string(rows[i].what), rows[i].goal, rows[i].found,
                     std::string(kGoals[goal].source)});
    told.push_back(
        {{"what", rows[i].what}, {"goal", rows[i].goal}, {"found", rows[i].found}, {"met", rows[i].mark != "✗"}});
  }
  if (request.json) {
    fmt::print("{}\n", Json{{"goals", told}, {"benchmarks", benchmarks}}.dump(2));
  } else {
    const Json& machine = environment.at("machine");
    fmt::print("\nGoals, on {} cores of {}\n\n{}", machine.at("cores").dump(), machine.at("cpu").get<std::string>(),
               aligned(table));
  }
  const auto missed = std::count_if(rows.begin(), rows.end(), [](const Row& row) { return row.mark == "✗"; });
  if (missed > 0) fmt::print(stderr, "slipstream: {} of {} goals are missed\n", missed, rows.size());
  return missed > 0 ? kExitClaimFailed : kExitOk;
}

}  // namespace slipstream::cli
