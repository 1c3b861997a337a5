#include "core/check/finding.h"

#include <fmt/format.h>

namespace slipstream {

std::string_view name(FindingKind kind) {
  switch (kind) {
    case FindingKind::kLost: return "lost";
    case FindingKind::kTorn: return "torn";
    case FindingKind::kStale: return "stale";
    case FindingKind::kDuplicated: return "duplicated";
    case FindingKind::kPhantom: return "phantom";
    case FindingKind::kNotLinearizable: return "not-linearizable";
    case FindingKind::kReplicas: return "replicas";
    case FindingKind::kLog: return "log";
    case FindingKind::kNotConverged: return "not-converged";
    case FindingKind::kUndecided: return "undecided";
  }
  return "?";
}

std::string describe(const Findings& findings) {
  std::string text;
  for (const Finding& finding : findings) text += fmt::format("{}: {}\n", name(finding.kind), finding.text);
  return text;
}

}  // namespace slipstream
