// Memory of one node, for fabrics that reach peers over a network: what may be granted is a file where a folder is
// named (it outlives the process, as over shm; what is durable is found again by the node's next life), all else is
// anonymous.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/fabric/fabric.h"
#include "emulate/fabric/anonymous_memory.h"
#include "emulate/fabric/shared_file.h"

namespace slipstream::emulate {

class LocalRegion {
 public:
  // The file is "node-3.NAME" in `directory`; empty: no file. Throws std::runtime_error when there is not enough
  // memory.
  LocalRegion(std::string_view name, std::size_t bytes, Access access, const std::string& directory, NodeId node);

  Bytes memory() const { return memory_; }
  bool holds(ConstBytes part) const {
    return part.data() >= memory_.data() && part.data() + part.size() <= memory_.data() + memory_.size();
  }
  bool may_grant(ConstBytes part) const { return access_ != Access::kLocal && holds(part); }

 private:
  std::shared_ptr<SharedFile> file_;          // one of the two
  std::optional<AnonymousMemory> anonymous_;  //   holds the memory
  Bytes memory_;
  Access access_;
};

}  // namespace slipstream::emulate
