// The inventory of a spec, /emulate/machines: the real machines on which a run with hosts ssh puts its nodes.
#pragma once

#include <vector>

#include "emulate/hosts/options.h"
#include "experiments/cli/fields.h"
#include "experiments/cli/json.h"

namespace slipstream::cli {

// A list of objects; what a machine leaves to its default is not in it.
Json machines_json(const std::vector<emulate::Machine>& machines);

// Of a value that check_machines() has passed, or of no machine.
std::vector<emulate::Machine> machines_of(const Json& value);

// At least one machine, each with an address of its own.
Checked check_machines(const Json& value);

// The JSON Schema of one machine.
Json machine_schema();

}  // namespace slipstream::cli
