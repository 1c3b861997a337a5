// What one key of the store may do, one operation after the other: the sequential object that a linearizable history is
// measured by (core/workload/history.h tells the semantics).
//
// The version that a mutation of unknown outcome made is not known until something meets it: `least` is then a bound.
#pragma once

#include <cstdint>
#include <string>

#include "core/workload/history.h"

namespace slipstream {

struct RegisterState {
  std::uint64_t least = 0;  // absent: all that follows has a greater version
  HistoryValue value;
  bool present = false;
  bool exact = true;  // present: `least` is the version; else the version is `least` or greater

  bool operator==(const RegisterState&) const = default;
};
std::string describe(const RegisterState& state);

// An operation as the search sees it: known outcomes as recorded; an undecided mutation that is taken to have happened
// has the outcome kOk, and version 0 when nothing tells it.
struct RegisterOperation {
  std::uint64_t asked = 0;
  std::uint64_t version = 0;
  HistoryValue written;
  HistoryValue seen;
  Action action = Action::kRead;
  Outcome outcome = Outcome::kOk;
  bool decided = true;  // `version` and `seen` are what was answered
};

// Whether the outcome can come about in `state`; moves it on when so.
bool apply(const RegisterOperation& operation, RegisterState& state);
// Why it cannot.
std::string why_not(const RegisterOperation& operation, const RegisterState& state);

}  // namespace slipstream
