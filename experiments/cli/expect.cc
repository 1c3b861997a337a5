#include "experiments/cli/expect.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

#include <fmt/format.h>

#include "experiments/cli/fields.h"
#include "experiments/cli/units.h"
#include "experiments/cli/world.h"

namespace slipstream::cli {
namespace {

constexpr std::string_view kGrammar =
    "claims about the results, each [POLICY/POLICY] METRIC COMPARISON [where OPTION=VALUE [and OPTION=VALUE]...]; a "
    "comparison is >=, <=, >, <, ==, != with a number, or `in LOW..HIGH`; an option is a path of the spec or `world`; "
    "checked on the median over the repeats, at every point it speaks of. \"tailwind/rpc throughput >= 1.5\" compares "
    "points that differ in the policy alone";

constexpr std::array<std::string_view, 6> kComparisons = {">=", "<=", "==", "!=", ">", "<"};

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text) {
    if (c == ' ' || c == '\t') {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
    } else {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

double claim_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw std::invalid_argument(
        fmt::format("\"{}\" is not a number; write it plainly, in the unit the metric's name ends with", text));
  }
  return value;
}

Condition parse_condition(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw std::invalid_argument(
        fmt::format("\"{}\" is not a condition; expected OPTION=VALUE, such as world=sim", text));
  }
  Condition condition;
  condition.equal = text[equals - 1] != '!';
  condition.path = text.substr(0, condition.equal ? equals : equals - 1);
  condition.value = text.substr(equals + 1);
  if (condition.path == "world") {
    if (condition.value != "sim" && condition.value != "emulate") {
      throw std::invalid_argument(fmt::format("world={}: a world is sim or emulate", condition.value));
    }
    return condition;
  }
  const Field* field = find_field(condition.path);
  if (field == nullptr) {
    std::vector<std::string> paths;
    for (const Field& known : fields()) paths.push_back(known.path);
    const std::string near = nearest(condition.path, paths);
    throw std::invalid_argument(fmt::format("there is no option \"{}\"{}", condition.path,
                                            near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near)));
  }
  const bool plain = field->kind == Kind::kInteger || field->kind == Kind::kBool;
  const Json value = plain ? Json::parse(condition.value, nullptr, false) : Json(condition.value);
  const Checked checked = check_value(*field, value);
  if (!checked.problem.empty()) throw std::invalid_argument(fmt::format("{}: {}", condition.path, checked.problem));
  condition.value = checked.value.is_string() ? checked.value.get<std::string>() : checked.value.dump();
  return condition;
}

std::vector<Condition> parse_conditions(std::string text) {
  std::vector<Condition> conditions;
  for (std::size_t end = 0; end != std::string::npos;) {
    end = text.find(" and ");
    const auto first = text.find_first_not_of(' ');
    const auto last = text.find_last_not_of(' ', end == std::string::npos ? end : end - 1);
    if (first == std::string::npos) throw std::invalid_argument("ends where OPTION=VALUE is expected");
    conditions.push_back(parse_condition(text.substr(first, last + 1 - first)));
    if (end != std::string::npos) text = text.substr(end + std::string(" and ").size());
  }
  return conditions;
}

// With room around the comparisons, which people write without.
std::string spaced(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto op = std::find_if(kComparisons.begin(), kComparisons.end(),
                                 [&](std::string_view c) { return text.compare(i, c.size(), c) == 0; });
    if (op == kComparisons.end()) {
      result += text[i];
    } else {
      result += fmt::format(" {} ", *op);
      i += op->size() - 1;
    }
  }
  return result;
}

std::string checked_policy(const std::string& policy) {
  if (policy_of(policy)) return policy;
  throw std::invalid_argument(
      fmt::format("\"{}\" is not a policy; expected {}", policy, expectation(*find_field("replication.policy"))));
}

bool meets(const PointSummary& point, const Condition& condition) {
  std::string value;
  if (condition.path == "world") {
    value = point.world;
  } else {
    const auto setting = point.settings.find(condition.path);
    if (setting == point.settings.end()) return false;
    value = setting->second.is_string() ? setting->second.get<std::string>() : setting->second.dump();
  }
  return (value == condition.value) == condition.equal;
}

// "throughput" stands for throughput_ops_per_s.
std::string full_metric_name(const std::string& name) { return name == "throughput" ? "throughput_ops_per_s" : name; }

std::string checked_metric(const std::string& written) {
  std::string metric = full_metric_name(written);
  const std::vector<std::string> known = known_metrics();
  if (std::find(known.begin(), known.end(), metric) != known.end()) return metric;
  const std::string near = nearest(metric, known);
  throw std::invalid_argument(fmt::format("there is no metric \"{}\"{}", written,
                                          near.empty() ? "" : fmt::format(" (did you mean {}?)", near)));
}

// nullptr where the point has no such figure, as the read latency of a write-only load.
const Series* metric_of(const PointSummary& point, const std::string& name) {
  const auto found = point.metrics.find(name);
  return found == point.metrics.end() ? nullptr : &found->second;
}

}  // namespace

std::string_view claim_grammar() { return kGrammar; }

Series series_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

Claim parse_claim(const std::string& text) {
  Claim claim;
  claim.text = text;
  const auto where_at = text.find(" where");
  const std::vector<std::string> words = words_of(spaced(text.substr(0, where_at)));
  std::size_t next = 0;
  const auto take = [&](std::string_view expected) -> const std::string& {
    if (next == words.size()) throw std::invalid_argument(fmt::format("ends where {} is expected", expected));
    return words[next++];
  };
  if (!words.empty() && words[0].find('/') != std::string::npos) {
    const auto slash = words[0].find('/');
    claim.over = checked_policy(words[0].substr(0, slash));
    claim.under = checked_policy(words[0].substr(slash + 1));
    ++next;
  }
  claim.metric = checked_metric(take("a metric"));
  claim.comparison = take("a comparison");
  if (claim.comparison == "in") {
    const std::string& range = take("LOW..HIGH");
    const auto dots = range.find("..");
    if (dots == std::string::npos) {
      throw std::invalid_argument(fmt::format("\"{}\" is not a range; expected LOW..HIGH", range));
    }
    claim.low = claim_number(std::string_view(range).substr(0, dots));
    claim.high = claim_number(std::string_view(range).substr(dots + 2));
  } else if (std::find(kComparisons.begin(), kComparisons.end(), claim.comparison) != kComparisons.end()) {
    claim.low = claim.high = claim_number(take("a number"));
  } else {
    throw std::invalid_argument(
        fmt::format("\"{}\" is not a comparison; expected >=, <=, >, <, ==, != or in", claim.comparison));
  }
  if (next < words.size()) {
    throw std::invalid_argument(fmt::format("\"{}\" is not understood; only `where` may follow", words[next]));
  }
  if (where_at != std::string::npos)
    claim.where = parse_conditions(text.substr(where_at + std::string(" where").size()));
  return claim;
}

bool claim_holds(const Claim& claim, double value) {
  if (claim.comparison == ">=") return value >= claim.low;
  if (claim.comparison == "<=") return value <= claim.low;
  if (claim.comparison == ">") return value > claim.low;
  if (claim.comparison == "<") return value < claim.low;
  if (claim.comparison == "==") return value == claim.low;
  if (claim.comparison == "!=") return value != claim.low;
  return value >= claim.low && value <= claim.high;
}

std::vector<Figure> figures_of(const Claim& claim, std::span<const PointSummary> points) {
  std::vector<PointSummary> chosen;
  for (const PointSummary& point : points) {
    if (std::all_of(claim.where.begin(), claim.where.end(), [&](const Condition& c) { return meets(point, c); })) {
      chosen.push_back(point);
    }
  }
  std::vector<Figure> figures;
  if (claim.over.empty()) {
    for (const PointSummary& point : chosen) {
      if (const Series* series = metric_of(point, claim.metric)) figures.push_back({series->median, label_of(point)});
    }
    return figures;
  }
  for (const PolicyPair& pair : policy_pairs(chosen, claim.over, claim.under)) {
    const Series* over = metric_of(*pair.over, claim.metric);
    const Series* under = metric_of(*pair.under, claim.metric);
    if (over == nullptr || under == nullptr || under->median == 0) continue;
    figures.push_back({over->median / under->median, label_of(*pair.over, "replication.policy")});
  }
  return figures;
}

Verdict check_claim(const Claim& claim, std::span<const PointSummary> points) {
  // Where nothing was done nothing was wrong, either: such a run proves no claim.
  for (const PointSummary& point : points) {
    const Series* completed = metric_of(point, "completed_ops");
    const auto speaks_of = [&point](const Condition& c) { return meets(point, c); };
    if (completed != nullptr && completed->low == 0 && std::all_of(claim.where.begin(), claim.where.end(), speaks_of)) {
      return {Verdict::Outcome::kFails, fmt::format("a run completed no operation at {}", label_of(point))};
    }
  }
  const std::vector<Figure> figures = figures_of(claim, points);
  if (figures.empty()) return {Verdict::Outcome::kNotChecked, "no point of this run to check it on"};
  const auto by_value = [](const Figure& a, const Figure& b) { return a.value < b.value; };
  const auto [low, high] = std::minmax_element(figures.begin(), figures.end(), by_value);
  const auto failing = [&](const Figure& figure) { return !claim_holds(claim, figure.value); };
  const auto failed = std::count_if(figures.begin(), figures.end(), failing);
  if (failed > 0) {
    const bool low_fails = failing(*low);
    const Figure& worst = low_fails && !(failing(*high) && claim.comparison[0] == '<') ? *low
                          : failing(*high)                                             ? *high
                                           : *std::find_if(figures.begin(), figures.end(), failing);
    return {Verdict::Outcome::kFails,
            fmt::format("found {} at {}{}", format_short(worst.value), worst.where,
                        figures.size() > 1 ? fmt::format(" ({} of {} points fail)", failed, figures.size()) : "")};
  }
  if (low->value == high->value) {
    return {Verdict::Outcome::kHolds,
            fmt::format("found {}{}", format_short(low->value),
                        figures.size() > 1 ? fmt::format(" at all {} points", figures.size()) : "")};
  }
  return {Verdict::Outcome::kHolds, fmt::format("found {} to {} at {} points", format_short(low->value),
                                                format_short(high->value), figures.size())};
}

std::vector<PolicyPair> policy_pairs(std::span<const PointSummary> points, const std::string& over,
                                     const std::string& under) {
  std::vector<PolicyPair> pairs;
  const auto policy = [](const PointSummary& point) {
    return point.params.at("replication.policy").get<std::string>();
  };
  for (const PointSummary& a : points) {
    if (policy(a) != over) continue;
    for (const PointSummary& b : points) {
      if (policy(b) != under || a.world != b.world) continue;
      Json with_same_policy = b.params;
      with_same_policy["replication.policy"] = over;
      if (with_same_policy == a.params) pairs.push_back({&a, &b});
    }
  }
  return pairs;
}

std::string label_of(const PointSummary& point, std::string_view but) {
  std::string label;
  for (const std::string& path : point.swept) {
    if (path == but) continue;
    const Json& value = point.params.at(path);
    label += fmt::format("{}{}={}", label.empty() ? "" : ", ", path,
                         value.is_string() ? value.get<std::string>() : value.dump());
  }
  return label.empty() ? point.world : fmt::format("{} ({})", label, point.world);
}

}  // namespace slipstream::cli
