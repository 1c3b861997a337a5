// What the command line can be asked for. Each command returns the exit status (experiment.h) and throws UserError when
// it was asked for something that cannot be.
#pragma once

#include <optional>
#include <string>

#include "experiments/cli/spec.h"
#include "experiments/cli/world.h"

namespace slipstream::cli {

struct RunRequest {
  std::string spec;  // file or name
  Overrides overrides;
  std::string out;        // empty: results/NAME
  std::size_t jobs = 0;   // 0: one per core
  std::string trace_out;  // a Chrome trace of the first run goes to this file
  bool json = false;
  std::string guest_part;  // in a guest: the hosts whose points are run here (guest.h); empty: this is a whole run
};

int run_command(const RunRequest& request, RunWorld run = run_world);
int describe_command(const RunRequest& request);
int list_command(bool json);
int schema_command();
int report_command(const std::string& folder);
int agent_command();  // a node of a run elsewhere

}  // namespace slipstream::cli
