// What a checker found. No findings: what it checks holds. A checker that cannot decide says so by a finding, too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slipstream {

enum class FindingKind : std::uint8_t {
  // Harm done to data, as clients see it.
  kLost,        // an acknowledged mutation is not there any more
  kTorn,        // a value that nobody wrote to its key
  kStale,       // an older value was served although a newer one was acknowledged, and is there
  kDuplicated,  // a mutation took effect more than once
  kPhantom,     // an effect of a mutation that was refused
  // Rules of the system.
  kNotLinearizable,
  kReplicas,      // replicas differ, or are too few
  kLog,           // an invariant of the log
  kNotConverged,  // something is still missing after the faults ended
  kUndecided,     // the checker gave up at its bound: neither good nor bad
};
std::string_view name(FindingKind kind);  // "lost", "torn", "stale", "duplicated", "phantom", "not-linearizable", ...

struct Finding {
  FindingKind kind = FindingKind::kUndecided;
  std::string text;  // for people; may have several lines
};
using Findings = std::vector<Finding>;

// One after the other, each with its kind.
std::string describe(const Findings& findings);

}  // namespace slipstream
