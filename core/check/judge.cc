#include "core/check/judge.h"

#include <algorithm>

#include "core/check/durability.h"
#include "core/check/exactly_once.h"
#include "core/check/linearizability.h"

namespace slipstream {

Judgement judge(std::span<const NodeRecord> records) {
  Judgement judgement;
  for (const NodeRecord& record : records) {
    judgement.deaths += record.deaths;
    judgement.history.insert(judgement.history.end(), record.operations.begin(), record.operations.end());
  }
  sort_by_invocation(judgement.history);
  // A read is final when it was asked for after every mutation had its answer: those of the last client to come to it.
  TimeNs quiet_ns = 0;
  for (const HistoryOperation& operation : judgement.history) {
    if (operation.is_undecided()) {
      ++judgement.unknown;
    } else if (operation.is_mutation()) {
      quiet_ns = std::max(quiet_ns, operation.ended_ns);
    }
  }
  std::vector<FinalRead> finals;
  for (const NodeRecord& record : records) {
    for (const CheckedClient::Final& read : record.finals) {
      const bool answered = read.outcome == Outcome::kOk || read.outcome == Outcome::kNotFound;
      if (answered && read.invoked_ns > quiet_ns) finals.push_back({read.key, true, read.version, read.value});
    }
  }
  const auto add = [&](Findings found) {
    judgement.findings.insert(judgement.findings.end(), found.begin(), found.end());
  };
  add(check_durability(judgement.history, finals));
  add(check_exactly_once(judgement.history, finals));
  add(check_linearizability(judgement.history).findings);
  return judgement;
}

}  // namespace slipstream
