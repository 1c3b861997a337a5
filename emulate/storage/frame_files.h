// The files behind a FileStorage: every call does its work at once and tells the errno, 0 for success.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/storage/storage.h"

namespace slipstream::emulate {

class FrameFiles {
 public:
  // Finds what is there. Throws std::runtime_error when the directory cannot be used.
  FrameFiles(std::string directory, bool synchronize);

  int append(FrameId frame, ConstBytes bytes);
  int read(FrameId frame, Bytes into, std::uint64_t offset) const;
  int free(FrameId frame);
  std::uint64_t length(FrameId frame) const;
  std::vector<FrameId> frames() const;

 private:
  std::string path(FrameId frame) const;
  int write_header(int fd, FrameId frame, std::uint64_t length) const;

  std::string directory_;
  bool synchronize_;
  std::map<FrameId, std::uint64_t> lengths_;
};

}  // namespace slipstream::emulate
