// What a run says at its end: a table of the points, the ratios between policies, what a figure means, the claims.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "experiments/cli/expect.h"
#include "experiments/cli/spec.h"

namespace slipstream::cli {

// Repeats of the same point together, in the order of `points`; points without a line are left out.
std::vector<PointSummary> summarize_points(const std::vector<Point>& points, const std::vector<Json>& lines);

// Rows of cells, the first row is the heading; columns aligned, numbers to the right.
std::string aligned(const std::vector<std::vector<std::string>>& rows);

// Broken into lines of at most `width` characters; all but the first start with `indent` spaces.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width = 120);

std::string points_table(const Spec& spec, const std::vector<PointSummary>& summaries);
std::string ratio_table(const Spec& spec, const std::vector<PointSummary>& summaries);  // empty when no two compare
std::string notes(const std::vector<Point>& points);

struct CheckedClaim {
  const Claim* claim;
  Verdict verdict;
};
std::vector<CheckedClaim> check_claims(const Spec& spec, const std::vector<PointSummary>& summaries);
std::string claims_text(const std::vector<CheckedClaim>& claims);

// Violations of safety, in words; empty: none.
std::vector<std::string> violations(const std::vector<PointSummary>& summaries);
// Those that the judges of histories found: of each run the first line of the first one, and the file to look at.
std::vector<std::string> judged_violations(const std::vector<Json>& lines, const std::string& folder);

// What is no violation but should be known: runs that completed nothing, operations answered with an error. A line
// each.
std::string remarks(const std::vector<PointSummary>& summaries);

// For --json and expect.json.
Json claims_json(const std::vector<CheckedClaim>& claims);
Json summaries_json(const std::vector<PointSummary>& summaries);

}  // namespace slipstream::cli
