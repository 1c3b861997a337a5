// Frames as files: one file for each frame in a directory, memory-backed (/dev/shm) or on disk. A thread of its own
// carries the ops out, one after the other, so that post() and poll() never wait for the medium.
//
// A file: a page that holds the header {magic, frame, durable length}, then the frame's bytes. Bytes are written first,
// the length after them, so whatever a crash leaves behind the length is not taken for part of the frame.
//
// Throws std::runtime_error when the directory cannot be used.
#pragma once

#include <memory>
#include <string>

#include "core/storage/storage.h"
#include "emulate/fabric/wake_source.h"

namespace slipstream::emulate {

struct FileStorageOptions {
  std::string directory;     // of one node alone; made when absent
  bool synchronize = false;  // kStored only after fdatasync: outlives the machine, not just the process
};

class RealStorage : public Storage, public WakeSource {
 public:
  // Bytes appended since the storage was made.
  virtual std::uint64_t bytes_stored() const = 0;
};

std::unique_ptr<RealStorage> make_file_storage(const FileStorageOptions& options);

}  // namespace slipstream::emulate
