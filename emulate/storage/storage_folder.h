// Whose a folder of frames is. The file "owner" in it names the cluster and the node that made it, and is locked
// (flock) by the process that uses it, for as long as that lives. So nobody takes another's frames for his own, and no
// two processes write into one folder.
#pragma once

#include <string>

#include "core/base/ids.h"
#include "emulate/fabric/file_descriptor.h"

namespace slipstream::emulate {

struct StorageOwner {
  std::string cluster;  // one word that no other cluster has
  NodeId node = kNoNode;
};

// A file that looks like a frame and is none.
struct StorageProblem {
  std::string file;  // its path
  std::string what;
  bool operator==(const StorageProblem&) const = default;
};

class StorageFolder {
 public:
  // Makes the folder when it is absent, and the owner's when it is empty. Throws std::runtime_error, in one line with
  // what, where and how to mend it, when it cannot be made or used, is another's, or is in use.
  StorageFolder(const std::string& directory, const StorageOwner& owner);

 private:
  FileDescriptor lock_;
};

std::string owner_file(const std::string& directory);

}  // namespace slipstream::emulate
