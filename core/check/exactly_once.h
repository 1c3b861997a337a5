// Exactly once: every mutation took effect once, or, when its outcome is unknown, at most once (RIFL, Lee et al.,
// SOSP'15). From the answers and a final state that was read when all was quiet:
//  - an operation has one answer;
//  - a written value is known by one version only, and no two mutations answered the same version of a key;
//  - a counter that was only ever incremented is the sum of the acknowledged increments and some of the unknown ones.
#pragma once

#include <span>

#include "core/check/final_read.h"
#include "core/check/finding.h"
#include "core/workload/history.h"

namespace slipstream {

// `operations` of all clients, merged; `finals` in any order, none or several of a key.
Findings check_exactly_once(std::span<const HistoryOperation> operations, std::span<const FinalRead> finals);

}  // namespace slipstream
