// Judges a run by what its nodes recorded: durability, exactly once, linearizability. Every world calls this.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/check/finding.h"
#include "core/node/node_record.h"
#include "core/workload/history.h"

namespace slipstream {

struct Judgement {
  Findings findings;                      // empty: nothing was violated
  std::vector<HistoryOperation> history;  // of all clients, merged
  std::uint64_t unknown = 0;              // operations without a known outcome
  std::uint64_t deaths = 0;               // lives of servers that were declared over
};

// The records of all nodes that have one, of a run that came to its end: every client did its final reads.
Judgement judge(std::span<const NodeRecord> records);

}  // namespace slipstream
