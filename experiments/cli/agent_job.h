// What a run tells its agents (emulate/hosts/agents.h) to run: the point's options as JSON, by path. All of the table
// of fields travels, so an agent has what the driver has.
#pragma once

#include <string>

#include "emulate/hosts/agents.h"
#include "experiments/cli/experiment.h"

namespace slipstream::cli {

std::string job_text(const Experiment& experiment);

// Throws when it is not a job of this build.
Experiment experiment_of_job(const std::string& job);

// As emulate::run_agent() wants it.
emulate::AgentJob agent_job(const std::string& job);

}  // namespace slipstream::cli
