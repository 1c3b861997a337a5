#include "experiments/cli/summary.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

struct Column {
  std::string_view metric;
  std::string_view heading;
  bool spread;  // with the smallest and largest over the repeats
};

// A column without a figure is left out; ratios are those of the first five.
constexpr std::array<Column, 18> kColumns = {{{"throughput_ops_per_s", "ops/s", true},
                                              {"latency_us_p50", "p50 us", true},
                                              {"latency_us_p99", "p99 us", true},
                                              {"primary_cpu_ns_per_op", "primary ns/op", false},
                                              {"backup_cpu_ns_per_op", "backup ns/op", false},
                                              {"client_cpu_ns_per_op", "client ns/op", false},
                                              {"fabric_cpu_ns_per_op", "fabric ns/op", false},
                                              {"backup_messages_per_op", "backup msgs/op", false},
                                              {"recovery_ms", "recovery ms", true},
                                              {"recovery_scan_ms", "scan ms", false},
                                              {"recovery_latency_us_p99", "p99 us meanwhile", true},
                                              {"scenarios", "scenarios", false},
                                              {"harmed_scenarios", "harmed", false},
                                              {"lost_scenarios", "lost", false},
                                              {"torn_scenarios", "torn", false},
                                              {"stale_scenarios", "stale", false},
                                              {"duplicated_scenarios", "duplicated", false},
                                              {"stuck_scenarios", "stuck", false}}};
constexpr std::size_t kRatios = 5;

// Characters, not bytes: only the first byte of a UTF-8 sequence counts.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::string heading_of(const std::string& path) {
  if (path == "workload.name") return "workload";
  const auto dot = path.rfind('.');
  std::string word = dot == std::string::npos ? path : path.substr(dot + 1);
  std::replace(word.begin(), word.end(), '_', ' ');
  return word;
}

// Swept paths first, then policy and workload when they are not among them.
std::vector<std::string> distinguishing(const Spec& spec) {
  std::vector<std::string> paths;
  for (const SweepAxis& axis : spec.sweep) paths.push_back(axis.field->path);
  for (const char* path : {"replication.policy", "workload.name"}) {
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  }
  return paths;
}

std::string place_of(const PointSummary& point) {
  if (point.world == "sim") return "sim";
  return text_of(point.settings.at("emulate.fabric")) + " " + text_of(point.settings.at("emulate.hosts"));
}

bool has(const PointSummary& point, std::string_view metric) { return point.metrics.count(std::string(metric)) > 0; }

std::string cell(const PointSummary& point, const Column& column) {
  const auto found = point.metrics.find(std::string(column.metric));
  if (found == point.metrics.end()) return "-";
  const Series& series = found->second;
  return column.spread ? format_spread(series.median, series.low, series.high) : format_short(series.median);
}

std::string cell_of_param(const PointSummary& point, const std::string& path) {
  const auto setting = point.settings.find(path);
  return setting == point.settings.end() ? "-" : text_of(setting->second);
}

std::string ratio_of(const PolicyPair& pair, std::string_view metric) {
  const auto over = pair.over->metrics.find(std::string(metric));
  const auto under = pair.under->metrics.find(std::string(metric));
  if (over == pair.over->metrics.end() || under == pair.under->metrics.end() || under->second.median == 0) return "-";
  return fmt::format("{:.2f}x", over->second.median / under->second.median);
}

}  // namespace

std::vector<PointSummary> summarize_points(const std::vector<Point>& points, const std::vector<Json>& lines) {
  std::vector<PointSummary> summaries;
  for (const Point& point : points) {
    PointSummary summary{point.id, std::string(name(point.world)), point.swept, point.params, point.settings, {}, 0};
    std::map<std::string, std::vector<double>> values;
    for (const Json& line : lines) {
      if (line.at("point") != point.id) continue;
      ++summary.repeats;
      for (const auto& [metric, value] : line.at("metrics").items()) {
        if (value.is_number()) values[metric].push_back(value.get<double>());
      }
    }
    if (summary.repeats == 0) continue;
    for (auto& [metric, list] : values) summary.metrics[metric] = series_of(std::move(list));
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  std::vector<bool> left;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    left.resize(widths.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  for (std::size_t r = 1; r < rows.size(); ++r) {
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const bool number = rows[r][i].find_first_not_of("0123456789.,-–() kMGx") == std::string::npos;
      if (!number) left[i] = true;
    }
  }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const std::string padding(widths[i] - width_of(rows[r][i]), ' ');
      line += (i == 0 ? "" : "  ") + (left[i] ? rows[r][i] + padding : padding + rows[r][i]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text += line + "\n";
  }
  return text;
}

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string result;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (column > indent && column + 1 + width_of(word) > width) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    result += word;
    column += width_of(word);
  }
  return result;
}

std::string points_table(const Spec& spec, const std::vector<PointSummary>& summaries) {
  const std::vector<std::string> paths = distinguishing(spec);
  // In the simulator a NIC is no software.
  const bool real =
      std::any_of(summaries.begin(), summaries.end(), [](const PointSummary& p) { return p.world != "sim"; });
  std::vector<Column> columns(kColumns.begin(), kColumns.end());
  std::erase_if(columns, [&](const Column& column) {
    return (!real && column.metric == "fabric_cpu_ns_per_op") ||
           std::none_of(summaries.begin(), summaries.end(),
                        [&](const PointSummary& p) { return has(p, column.metric); });
  });
  std::vector<std::vector<std::string>> rows(1);
  for (const std::string& path : paths) rows[0].push_back(heading_of(path));
  rows[0].push_back("world");
  for (const Column& column : columns) rows[0].emplace_back(column.heading);
  for (const PointSummary& point : summaries) {
    std::vector<std::string> row;
    for (const std::string& path : paths) row.push_back(cell_of_param(point, path));
    row.push_back(place_of(point));
    for (const Column& column : columns) row.push_back(cell(point, column));
    rows.push_back(std::move(row));
  }
  return aligned(rows);
}

std::string ratio_table(const Spec& spec, const std::vector<PointSummary>& summaries) {
  std::vector<std::string> paths = distinguishing(spec);
  std::erase(paths, "replication.policy");
  std::vector<std::string> policies;
  for (const PointSummary& point : summaries) {
    const std::string policy = text_of(point.params.at("replication.policy"));
    if (std::find(policies.begin(), policies.end(), policy) == policies.end()) policies.push_back(policy);
  }
  const bool has_rpc = std::find(policies.begin(), policies.end(), "rpc") != policies.end();
  if (policies.size() < 2) return {};
  const std::string base = has_rpc ? "rpc" : policies.front();
  std::vector<std::vector<std::string>> rows(1);
  rows[0].push_back("ratio");
  for (const std::string& path : paths) rows[0].push_back(heading_of(path));
  rows[0].push_back("world");
  for (const char* heading : {"throughput", "p50", "p99", "primary CPU", "backup CPU"}) rows[0].emplace_back(heading);
  for (const std::string& policy : policies) {
    if (policy == base) continue;
    for (const PolicyPair& pair : policy_pairs(summaries, policy, base)) {
      std::vector<std::string> row = {policy + "/" + base};
      for (const std::string& path : paths) row.push_back(cell_of_param(*pair.over, path));
      row.push_back(place_of(*pair.over));
      for (std::size_t i = 0; i < kRatios; ++i) row.push_back(ratio_of(pair, kColumns[i].metric));
      if (std::count(row.end() - kRatios, row.end(), "-") == kRatios) continue;
      rows.push_back(std::move(row));
    }
  }
  return rows.size() < 2 ? std::string() : aligned(rows);
}

std::string notes(const std::vector<Point>& points) {
  std::set<Policy> policies;
  std::set<std::string> profiles;
  std::set<emulate::FabricKind> fabrics;
  for (const Point& point : points) {
    policies.insert(point.experiment.cluster.replication.policy);
    if (point.world == World::kSim) profiles.insert(point.experiment.sim.hardware);
    if (point.world == World::kEmulate) fabrics.insert(point.experiment.emulate.fabric);
  }
  std::string text = "A write is acknowledged\n";
  if (policies.count(Policy::kNone) > 0) text += "  none      when it is in the primary's log; no backup has it\n";
  if (policies.count(Policy::kRpc) > 0) {
    text += "  rpc       when every backup of the segment has answered: its CPU has checked and copied the bytes\n";
  }
  if (policies.count(Policy::kTailwind) > 0) {
    text += "  tailwind  when every backup's NIC has acknowledged the one-sided write; its CPU sees nothing of it\n";
  }
  if (policies.count(Policy::kOneSidedUnsafe) > 0) {
    text +=
        "  onesided-unsafe  when every backup's NIC has acknowledged the bytes and then their length; nothing tells "
        "whether they are whole\n";
  }
  if (fabrics.count(emulate::FabricKind::kShm) > 0) {
    text +=
        "Over shm the primary's core does the copying that a NIC would do (fabric ns/op), so what one-sided policies "
        "gain "
        "is understated.\n";
  }
  if (fabrics.count(emulate::FabricKind::kTcp) > 0) {
    text +=
        "Over tcp the kernel, and software below the node at the receiver, do what a NIC would do (fabric ns/op).\n";
  }
  for (const std::string& profile : profiles) {
    text += fmt::format("Simulated figures are in virtual time, with the costs of experiments/hardware/{}.json.\n",
                        profile);
  }
  return text;
}

std::vector<CheckedClaim> check_claims(const Spec& spec, const std::vector<PointSummary>& summaries) {
  std::vector<CheckedClaim> checked;
  for (const Claim& claim : spec.expect) checked.push_back({&claim, check_claim(claim, summaries)});
  return checked;
}

std::string claims_text(const std::vector<CheckedClaim>& claims) {
  std::string text;
  for (const CheckedClaim& claim : claims) {
    const std::string_view mark = claim.verdict.outcome == Verdict::Outcome::kHolds   ? "✓"
                                  : claim.verdict.outcome == Verdict::Outcome::kFails ? "✗"
                                                                                      : "–";
    text += fmt::format("  {} {}: {}\n", mark, claim.claim->text, claim.verdict.found);
  }
  return text;
}

std::vector<std::string> violations(const std::vector<PointSummary>& summaries) {
  std::vector<std::string> found;
  for (const PointSummary& point : summaries) {
    const auto wrong = point.metrics.find("wrong_reads");
    if (wrong == point.metrics.end() || wrong->second.high == 0) continue;
    found.push_back(fmt::format("{:.0f} reads returned a value that was never written to their key, at {}",
                                wrong->second.high, label_of(point)));
  }
  return found;
}

std::vector<std::string> judged_violations(const std::vector<Json>& lines, const std::string& folder) {
  std::vector<std::string> found;
  for (const Json& line : lines) {
    if (!line.contains("findings") || line.at("findings").empty()) continue;
    const auto first = line.at("findings")[0].get<std::string>();
    const double all = line.at("metrics").value("violations", 0.0);
    found.push_back(fmt::format("{}{}; see {}/{} and the findings in {}/points.jsonl",
                                first.substr(0, first.find('\n')),
                                all > 1 ? fmt::format(" (and {:.0f} more)", all - 1) : "", folder,
                                line.at("history").get<std::string>(), folder));
  }
  return found;
}

std::string remarks(const std::vector<PointSummary>& summaries) {
  std::string text;
  for (const PointSummary& point : summaries) {
    const auto completed = point.metrics.find("completed_ops");
    if (completed != point.metrics.end() && completed->second.low == 0) {
      text +=
          fmt::format("Note: a run completed no operation in its measured time, so its figures say nothing, at {}\n",
                      label_of(point));
    }
    const auto failed = point.metrics.find("failed_ops");
    if (failed == point.metrics.end() || failed->second.high == 0) continue;
    text += fmt::format("Note: {:.0f} operations were answered with an error at {}\n", failed->second.high,
                        label_of(point));
  }
  return text;
}

Json claims_json(const std::vector<CheckedClaim>& claims) {
  static constexpr std::string_view kOutcomes[] = {"holds", "fails", "not checked"};
  Json list = Json::array();
  for (const CheckedClaim& claim : claims) {
    list.push_back({{"claim", claim.claim->text},
                    {"outcome", kOutcomes[static_cast<std::size_t>(claim.verdict.outcome)]},
                    {"found", claim.verdict.found}});
  }
  return list;
}

Json summaries_json(const std::vector<PointSummary>& summaries) {
  Json list = Json::array();
  for (const PointSummary& point : summaries) {
    Json json = {{"point", point.id}, {"world", point.world}, {"repeats", point.repeats}, {"params", point.params}};
    for (const auto& [metric, series] : point.metrics) {
      json["metrics"][metric] = {{"median", series.median}, {"low", series.low}, {"high", series.high}};
    }
    list.push_back(std::move(json));
  }
  return list;
}

}  // namespace slipstream::cli
