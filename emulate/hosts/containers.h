// Each node in a container of its own, started by podman or docker on this machine: the agent (agents.h) is the
// container's only process. All containers of a run are on a private network that is made for it, from which nothing
// leads outside; they start from an image that holds this very build (docker/make_image.sh makes it). Over verbs a
// container gets the machine's RDMA device, and its node one of the device's addresses in turn; the run's network then
// carries the bootstrap only.
//
// Nothing is left behind: containers are gone with their agents, and an agent ends when the driver does, however that
// ends. The network of a driver that was killed is removed by the next run; so are containers, should an agent have
// hung. Both are found by their labels `slipstream.host` and `slipstream.run`; the run's name holds the driver's
// process.
#pragma once

#include <string>
#include <vector>

#include "emulate/hosts/options.h"
#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

// Throws std::runtime_error with cause and remedy: no engine, no image, no rights, no network.
RunResult run_containers(const RunPlan& plan, const EmulateOptions& options);

// The image that this build makes.
std::string default_image();

}  // namespace slipstream::emulate
