// A node's fabric and storage with the plan's faults around them: those that are made inside its own process. They come
// at times of the run's clock, which the wrappers are told when it starts.
#pragma once

#include <memory>

#include "core/fabric/faulty_fabric.h"
#include "core/node/faults.h"
#include "core/storage/faulty_storage.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/loop/clock.h"
#include "emulate/loop/loop.h"
#include "emulate/storage/file_storage.h"

namespace slipstream::emulate {

// One of a node's lives. Faults that were due before it began are not its own.
struct Life {
  std::uint32_t number = 1;
  TimeNs begins_ns = -1;
};

// What the plan has in store for the core, the fabric and the storage of this node. What lasts over the node's death,
// slowness and partitions, is its next life's, too.
std::vector<Slowness> slow_times(const FaultPlan& plan, NodeId node);
FaultyOptions fabric_faults(const FaultPlan& plan, std::uint64_t seed, NodeId node, const Life& life);
FaultyStorageOptions storage_faults(const FaultPlan& plan, std::uint64_t seed, NodeId node, const Life& life);

class OnRunClock {
 public:
  virtual ~OnRunClock() = default;
  // Before that no fault comes.
  virtual void start(const Clock& clock) = 0;
};

// Nothing around it when there is nothing in store. `clocked`: gets who must be started; lives as long as the result.
std::unique_ptr<RealFabric> with_faults(std::unique_ptr<RealFabric> fabric, const FaultyOptions& options, NodeId node,
                                        std::vector<OnRunClock*>& clocked);
std::unique_ptr<RealStorage> with_faults(std::unique_ptr<RealStorage> storage, const FaultyStorageOptions& options,
                                         NodeId node, std::vector<OnRunClock*>& clocked);

}  // namespace slipstream::emulate
