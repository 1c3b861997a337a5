// The files behind a FileStorage: every call does its work at once and tells the errno, 0 for success.
//
// A few files of freed frames are kept and used again: overwriting pages that are there costs half of what new ones
// cost.
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
  std::string spare_path(std::uint64_t number) const;
  bool use_spare(FrameId frame);
  int make_spare(FrameId frame);
  int write_header(int fd, FrameId frame, std::uint64_t length) const;

  std::string directory_;
  bool synchronize_;
  std::map<FrameId, std::uint64_t> lengths_;
  std::vector<std::uint64_t> spares_;
  std::uint64_t next_spare_ = 0;
};

}  // namespace slipstream::emulate
