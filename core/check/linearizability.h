// Linearizability of the key-value history (Herlihy and Wing, 1990): for each key there is one order of all operations,
// in which each takes effect at one moment between its invocation and its answer, that the register allows. Keys are
// checked one by one; linearizability is local. Operations of unknown outcome take effect at any time after their
// invocation, or never; refused ones never.
//
// A history that has an order costs what sorting it costs. To rule out all orders of a key with many unknown mutations
// can take longer than the bound allows, unless few operations contradict each other (contradiction.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/check/finding.h"
#include "core/workload/history.h"

namespace slipstream {

struct LinearizabilityOptions {
  std::uint64_t max_steps = 5'000'000;  // of the search, per key; beyond them it gives up, which is a finding
  std::size_t max_findings = 20;
};

struct LinearizabilityResult {
  Findings findings;
  std::uint64_t operations = 0;
  std::uint64_t keys = 0;
  std::uint64_t steps = 0;
};

// `operations` of all clients, merged.
LinearizabilityResult check_linearizability(std::span<const HistoryOperation> operations,
                                            const LinearizabilityOptions& options = {});

}  // namespace slipstream
