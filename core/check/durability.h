// Durability: what was acknowledged is there after the faults, and was served all along. Tells the kinds of harm apart,
// so that policies can be compared by them; whether the history has an order at all is linearizability's question.
//
//  - torn: a value that nobody wrote to its key, read at any time; or one version with two values;
//  - stale: a read told an older version than one that was acknowledged before it was invoked; the final
//    state has the newer one;
//  - lost: the final state is older than an acknowledged mutation (a removed object that is back lost its removal);
//  - duplicated: a value is there again, with a newer version than it was acknowledged with;
//  - phantom: a value is there whose write was refused.
#pragma once

#include <span>

#include "core/check/final_read.h"
#include "core/check/finding.h"
#include "core/workload/history.h"

namespace slipstream {

// `operations` of all clients, merged; `finals` in any order, none or several of a key. Without any, nothing is known
// to be lost: what is missing is then called stale.
Findings check_durability(std::span<const HistoryOperation> operations, std::span<const FinalRead> finals);

}  // namespace slipstream
