// Files mapped as shared memory, and the lock that tells whether a process still lives. Within one process every file
// is mapped once, however many fabrics use it: caches that predict ways by linear address (AMD Zen) then see one
// address, not several aliases of a line.
//
// Failures throw std::runtime_error with the path, the cause and what to do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/units.h"
#include "emulate/fabric/file_descriptor.h"

namespace slipstream::emulate {

class SharedFile {
 public:
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;
  ~SharedFile();

  // A new file of zeroes, in memory that is really there (a full file system is told now, not by a signal later).
  // Replaces a file of that name; processes that mapped the old one keep it.
  static std::shared_ptr<SharedFile> create(const std::string& path, std::size_t bytes);
  // A new file with the bytes of the one of that name, where there is one of this size, else of zeroes. The old one is
  // replaced, as above: whoever still writes through a mapping of it does not write into the new one.
  static std::shared_ptr<SharedFile> successor(const std::string& path, std::size_t bytes);
  // nullptr when there is no such file.
  static std::shared_ptr<SharedFile> open(const std::string& path);

  Bytes memory() const { return {memory_, size_}; }
  // Whether somebody holds the file's owner lock. Needs the descriptor.
  bool owner_is_alive() const;
  // For files of which there are many: the mapping stays.
  void close_descriptor() { fd_.reset(); }
  // Gives the pages of a range back; they read as zeroes afterwards.
  void drop_pages(std::size_t offset, std::size_t bytes);

 private:
  SharedFile() = default;
  static FileDescriptor make(const std::string& path, std::size_t bytes);
  static std::shared_ptr<SharedFile> name(FileDescriptor fd, const std::string& path);
  static std::shared_ptr<SharedFile> map(FileDescriptor fd, const std::string& path);

  FileDescriptor fd_;
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;
};

// The lock that an owner holds on its file while it lives, however it dies: the kernel lets it go with the descriptor.
FileDescriptor take_owner_lock(const std::string& path);

}  // namespace slipstream::emulate
