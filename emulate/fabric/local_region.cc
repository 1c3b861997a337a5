#include "emulate/fabric/local_region.h"

#include <algorithm>

#include <fmt/format.h>

namespace slipstream::emulate {

LocalRegion::LocalRegion(std::string_view name, std::size_t bytes, Access access, const std::string& directory,
                         NodeId node)
    : access_(access) {
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  if (access != Access::kLocal && !directory.empty()) {
    const std::string path = fmt::format("{}/node-{}.{}", directory, index(node), name);
    // The file itself is found again, without a copy: nobody but its node ever maps it, and that one is dead.
    if (access == Access::kDurable) file_ = SharedFile::open(path);
    if (file_ == nullptr || file_->memory().size() != size) file_ = SharedFile::create(path, size);
    file_->close_descriptor();
    memory_ = file_->memory().first(bytes);
  } else {
    anonymous_.emplace(name, size);
    memory_ = anonymous_->memory().first(bytes);
  }
}

}  // namespace slipstream::emulate
