// Claims about the points of a run: "tailwind/rpc throughput >= 1.5", "backup_messages_per_op == 0 where
// replication.policy=tailwind". A claim is checked on the median over the repeats of every point it speaks of, and
// holds when it holds at each of them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/cli/json.h"

namespace slipstream::cli {

struct Series {
  double median = 0;
  double low = 0;
  double high = 0;
};
Series series_of(std::vector<double> values);

// A point with all its repeats.
struct PointSummary {
  std::string id;
  std::string world;
  std::vector<std::string> swept;        // paths of the sweep that concern its world
  Json params;                           // what distinguishes it, by path
  std::map<std::string, Json> settings;  // every option of the point, by path
  std::map<std::string, Series> metrics;
  std::size_t repeats = 0;
};

struct Condition {
  std::string path;  // "world", or an option's path
  std::string value;
  bool equal = true;
};

struct Claim {
  std::string text;
  std::string over, under;  // policies of a ratio; empty: the metric itself
  std::string metric;
  std::string comparison;  // ">=", "<=", ">", "<", "==", "!=", "in"
  double low = 0;          // the number compared with; "in": both ends
  double high = 0;
  std::vector<Condition> where;
};

std::string_view claim_grammar();  // for `schema` and `describe`

// Throws std::invalid_argument that says what is wrong with the text.
Claim parse_claim(const std::string& text);

// What a claim speaks of: the metric, or its ratio, at one point.
struct Figure {
  double value = 0;
  std::string where;
};
std::vector<Figure> figures_of(const Claim& claim, std::span<const PointSummary> points);
bool claim_holds(const Claim& claim, double value);

struct Verdict {
  enum class Outcome { kHolds, kFails, kNotChecked } outcome = Outcome::kNotChecked;
  std::string found;  // "1.62 to 1.71 at 4 points", "1.31 at workload.name=ycsb-a"; or why it was not checked
};
Verdict check_claim(const Claim& claim, std::span<const PointSummary> points);

// The points grouped by all that is equal but the policy: pairs (over, under).
struct PolicyPair {
  const PointSummary* over;
  const PointSummary* under;
};
std::vector<PolicyPair> policy_pairs(std::span<const PointSummary> points, const std::string& over,
                                     const std::string& under);

// "workload.name=ycsb-a (sim)": what the sweep set, without `but`.
std::string label_of(const PointSummary& point, std::string_view but = {});

}  // namespace slipstream::cli
