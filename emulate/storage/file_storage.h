// Frames as files: one file for each frame in a directory, memory-backed (/dev/shm) or on disk. A thread of its own
// carries the ops out, one after the other, so that post() and poll() never wait for the medium.
//
// Bytes of a frame are written first, the length that covers them after (frame_files.h has the format), so whatever a
// crash leaves behind the length is not taken for part of the frame.
//
// Throws std::runtime_error when the directory cannot be used, is another node's or cluster's, or is in use.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/storage/storage.h"
#include "emulate/fabric/wake_source.h"
#include "emulate/storage/storage_folder.h"

namespace slipstream::emulate {

struct FileStorageOptions {
  std::string directory;     // of one node alone; made when absent
  bool synchronize = false;  // kStored only after fdatasync: outlives the machine, not just the process
  StorageOwner owner;        // whose frames these are
};

class RealStorage : public Storage, public WakeSource {
 public:
  // Bytes appended since the storage was made.
  virtual std::uint64_t bytes_stored() const = 0;
  // Files that looked like frames when it was opened, and are none; frames() leaves them out.
  virtual std::vector<StorageProblem> problems() const = 0;
};

std::unique_ptr<RealStorage> make_file_storage(const FileStorageOptions& options);

}  // namespace slipstream::emulate
