#include "core/check/linearizability.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/check/contradiction.h"
#include "core/check/register_search.h"

namespace slipstream {
namespace {

// Nothing: they are linearizable.
std::optional<Finding> check_key(std::span<const HistoryOperation* const> operations,
                                 const LinearizabilityOptions& options, LinearizabilityResult& result) {
  const std::uint64_t key = operations.front()->key;
  const std::string contradiction = find_contradiction(operations);
  if (!contradiction.empty()) {
    return Finding{FindingKind::kNotLinearizable, fmt::format("key {}: {}", key, contradiction)};
  }
  RegisterSearch search(operations);
  const RegisterSearch::Verdict verdict = search.run(options.max_steps);
  result.steps += search.steps();
  if (verdict == RegisterSearch::Verdict::kViolation) {
    return Finding{FindingKind::kNotLinearizable, fmt::format("key {}: {}", key, search.explain())};
  }
  if (verdict == RegisterSearch::Verdict::kLinearizable) return std::nullopt;
  return Finding{FindingKind::kUndecided,
                 fmt::format("key {}: no order of its {} operations found, nor that there is none, in {} steps", key,
                             operations.size(), search.steps())};
}

}  // namespace

LinearizabilityResult check_linearizability(std::span<const HistoryOperation> operations,
                                            const LinearizabilityOptions& options) {
  LinearizabilityResult result;
  result.operations = operations.size();
  std::vector<const HistoryOperation*> sorted;
  sorted.reserve(operations.size());
  for (const HistoryOperation& op : operations) sorted.push_back(&op);
  std::stable_sort(sorted.begin(), sorted.end(), [](const HistoryOperation* a, const HistoryOperation* b) {
    return a->key != b->key ? a->key < b->key : a->invoked_ns < b->invoked_ns;
  });
  const std::span<const HistoryOperation* const> all = sorted;
  std::uint64_t unfit = 0;
  for (std::size_t at = 0; at < sorted.size();) {
    std::size_t end = at;
    while (end < sorted.size() && sorted[end]->key == sorted[at]->key) ++end;
    ++result.keys;
    std::optional<Finding> finding = check_key(all.subspan(at, end - at), options, result);
    if (finding && ++unfit <= options.max_findings) result.findings.push_back(std::move(*finding));
    at = end;
  }
  if (unfit > options.max_findings) {
    result.findings.push_back(
        {FindingKind::kNotLinearizable, fmt::format("{} more keys", unfit - options.max_findings)});
  }
  return result;
}

}  // namespace slipstream
