// The state that a run left behind, as clients read it when all was quiet.
#pragma once

#include <cstdint>

#include "core/workload/history.h"

namespace slipstream {

// A key as it was read after the faults had ended and everything was healed.
struct FinalRead {
  std::uint64_t key = 0;
  bool answered = true;
  std::uint64_t version = 0;  // 0: absent
  HistoryValue value;
};

}  // namespace slipstream
