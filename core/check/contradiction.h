// Contradictions of one key's history that few operations make up between them, whatever the others did: real time
// against versions, two values of one version, a value that nobody wrote. Each refutes linearizability and can be told
// in two lines. What only an order of all operations can show is left to the search (register_search.h).
#pragma once

#include <span>
#include <string>

#include "core/workload/history.h"

namespace slipstream {

// The operations of one key, in the order of their invocation. Empty: none found.
std::string find_contradiction(std::span<const HistoryOperation* const> operations);

}  // namespace slipstream
