// The files behind a FileStorage: every call does its work at once and tells the errno, 0 for success.
//
// A file: a page that holds the header {magic, frame, durable length, CRC32C of these}, then the frame's bytes. A file
// whose header is damaged, or that is shorter than its header says, is no frame; problems() tells of it.
//
// A few files of freed frames are kept and used again: overwriting pages that are there costs half of what new ones
// cost.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/storage/storage.h"
#include "emulate/storage/storage_folder.h"

namespace slipstream::emulate {

class FrameFiles {
 public:
  // Finds what is there. Throws std::runtime_error when the directory cannot be used.
  FrameFiles(const std::string& directory, const StorageOwner& owner, bool synchronize);

  int append(FrameId frame, ConstBytes bytes);
  int read(FrameId frame, Bytes into, std::uint64_t offset) const;
  int free(FrameId frame);
  std::uint64_t length(FrameId frame) const;
  std::vector<StoredFrame> frames() const;
  // Of when it was opened.
  const std::vector<StorageProblem>& problems() const { return problems_; }

 private:
  std::string path(FrameId frame) const;
  std::string spare_path(std::uint64_t number) const;
  bool use_spare(FrameId frame);
  int make_spare(FrameId frame);
  int write_header(int fd, FrameId frame, std::uint64_t length) const;

  StorageFolder folder_;
  std::string directory_;
  bool synchronize_;
  std::map<FrameId, std::uint64_t> lengths_;
  std::vector<StorageProblem> problems_;
  std::vector<std::uint64_t> spares_;
  std::uint64_t next_spare_ = 0;
};

// What a folder of frames holds, for who looks from outside: nothing is changed or locked. Throws std::runtime_error
// when the folder cannot be read.
struct FolderContents {
  std::string owner;  // as its file says; empty: it does not say
  std::vector<StoredFrame> frames;
  std::vector<StorageProblem> problems;
};
FolderContents look_into_storage(const std::string& directory);

// A frame's file, of which only the bytes are known; they may be cut or damaged.
struct FrameInFile {
  FrameId frame = 0;
  std::uint64_t length = 0;  // of the frame, as the header says; a damaged header: what is there
  ConstBytes contents;       // of the frame, as far as they are there
  std::string problem;       // empty: none
};
// Nothing when the bytes do not begin as a frame's file does.
std::optional<FrameInFile> frame_in(ConstBytes file);

}  // namespace slipstream::emulate
