// Runs another program to its end and keeps what it said. In a process group of its own, so that Ctrl-C at a terminal
// reaches this process alone, which then ends things in good order.
#pragma once

#include <string>
#include <vector>

#include "core/base/units.h"

namespace slipstream::emulate {

struct CommandOutcome {
  int status = 0;      // 0: all went well; 127: there is no such program; 124: it took too long and was killed
  std::string output;  // standard output, without newlines at the end
  std::string errors;  // standard error, likewise
};

// Standard input is empty. Throws std::runtime_error when this process has no descriptor or process left.
CommandOutcome run_command(const std::vector<std::string>& words, TimeNs limit_ns = 60 * kSecond);

}  // namespace slipstream::emulate
