// For tests: the fabrics that this machine has. Verbs are among them where there is an RDMA device, as in the virtual
// machine in which the tests are run once more.
#pragma once

#include <algorithm>
#include <vector>

#include "emulate/fabric/verbs/verbs.h"
#include "emulate/hosts/options.h"

namespace slipstream::emulate {

inline std::vector<FabricKind> fabrics_here() {
  std::vector<FabricKind> fabrics = {FabricKind::kShm, FabricKind::kTcp};
  const auto ports = verbs_ports();
  const auto usable = [](const VerbsPort& port) { return port.is_active && !port.addresses.empty(); };
  if (std::any_of(ports.begin(), ports.end(), usable)) fabrics.push_back(FabricKind::kVerbs);
  return fabrics;
}

}  // namespace slipstream::emulate
