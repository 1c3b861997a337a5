// Each node on a real machine of the inventory (EmulateOptions::machines): the agent (agents.h) is started there by
// ssh, which asks nothing: keys and known host keys must be there. What else ssh needs to know stands in its
// configuration, or in SLIPSTREAM_SSH in the environment: the command to use instead of "ssh", such as "ssh -i key -J
// gateway".
//
// Nodes are dealt to the machines in turn, servers first, then clients, the coordinator last: servers are on machines
// of their own when there are as many, and on as many as there are when there are fewer; and clients are apart from
// servers while there are machines without one.
//
// Nothing is left on a machine: an agent ends when its ssh connection does, and that ends with the driver.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "emulate/hosts/agents.h"
#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

// Throws std::runtime_error with cause and remedy: a machine that is not reached, that lets nobody in, that has no
// slipstream or another build of it.
RunResult run_ssh(const RunPlan& plan, const EmulateOptions& options);

// Where each node lives, by node id. `ssh` is the command in words.
std::vector<Place> ssh_places(const RunPlan& plan, const EmulateOptions& options, const std::vector<std::string>& ssh);

}  // namespace slipstream::emulate
