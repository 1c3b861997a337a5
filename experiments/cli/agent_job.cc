#include "experiments/cli/agent_job.h"

#include <fmt/format.h>

#include "experiments/cli/fields.h"
#include "experiments/cli/json.h"

namespace slipstream::cli {

std::string job_text(const Experiment& experiment) {
  Json job = Json::object();
  for (const Field& field : fields()) job[field.path] = field.get(experiment);
  return job.dump();
}

Experiment experiment_of_job(const std::string& job) {
  const Json values = Json::parse(job, nullptr, false);
  if (!values.is_object()) throw UserError(kExitUsage, "the job is not one of a run");
  Experiment experiment;
  for (const Field& field : fields()) {
    const auto value = values.find(field.path);
    if (value == values.end()) throw UserError(kExitUsage, fmt::format("the job lacks {}", field.path));
    field.set(experiment, *value);  // checked when the spec was read
  }
  return experiment;
}

emulate::AgentJob agent_job(const std::string& job) {
  const Experiment experiment = experiment_of_job(job);
  return {emulate::plan_of(experiment.cluster), experiment.emulate};
}

}  // namespace slipstream::cli
