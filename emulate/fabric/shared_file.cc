#include "emulate/fabric/shared_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace slipstream::emulate {

namespace {

// Every mapping of this process, by what the file is, not by how it is called.
struct Registry {
  std::mutex mutex;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::weak_ptr<SharedFile>> files;
};

Registry& registry() {
  static Registry* const instance = new Registry;  // outlives every static that may hold a file
  return *instance;
}

[[noreturn]] void fail(const std::string& what, const std::string& path, int error, const char* remedy) {
  throw std::runtime_error(fmt::format("{} {}: {}; {}", what, path, std::strerror(error), remedy));
}

struct flock whole_file(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

void copy_file(int from, int to, const std::string& path) {
  std::vector<char> piece(kMiB);
  off_t at = 0;
  while (true) {
    const ssize_t n = ::pread(from, piece.data(), piece.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot read", path, errno, "choose another run directory");
    if (n == 0) return;
    for (ssize_t done = 0; done < n;) {
      const ssize_t m = ::pwrite(to, piece.data() + done, static_cast<std::size_t>(n - done), at + done);
      if (m < 0 && errno != EINTR) fail("cannot write the next life's", path, errno, "choose another run directory");
      done += std::max<ssize_t>(m, 0);
    }
    at += n;
  }
}

}  // namespace

// Under a name of its own: nobody sees it before it is whole.
FileDescriptor SharedFile::make(const std::string& path, std::size_t bytes) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  FileDescriptor fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) fail("cannot create", path, errno, "choose a run directory that this user may write to");
  const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
  if (error != 0) {
    ::unlink(fresh.c_str());
    fail(fmt::format("cannot get {} bytes for", bytes), path, error,
         "make room there, choose another run directory, or make logs and buffers smaller");
  }
  return fd;
}

std::shared_ptr<SharedFile> SharedFile::name(FileDescriptor fd, const std::string& path) {
  const std::string fresh = path + ".new";
  if (::rename(fresh.c_str(), path.c_str()) != 0) fail("cannot rename to", path, errno, "choose another run directory");
  return map(std::move(fd), path);
}

std::shared_ptr<SharedFile> SharedFile::create(const std::string& path, std::size_t bytes) {
  return name(make(path, bytes), path);
}

std::shared_ptr<SharedFile> SharedFile::successor(const std::string& path, std::size_t bytes) {
  FileDescriptor fd = make(path, bytes);
  const FileDescriptor old(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  if (old.valid() && ::fstat(old.get(), &status) == 0 && static_cast<std::size_t>(status.st_size) == bytes) {
    copy_file(old.get(), fd.get(), path);
  }
  return name(std::move(fd), path);
}

std::shared_ptr<SharedFile> SharedFile::open(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return nullptr;
    fail("cannot open", path, errno, "choose a run directory that belongs to this user");
  }
  return map(std::move(fd), path);
}

std::shared_ptr<SharedFile> SharedFile::map(FileDescriptor fd, const std::string& path) {
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) fail("cannot look at", path, errno, "choose another run directory");
  const std::pair<std::uint64_t, std::uint64_t> name{status.st_dev, status.st_ino};
  Registry& all = registry();
  const std::lock_guard guard(all.mutex);
  if (auto known = all.files[name].lock()) return known;
  void* const memory = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_POPULATE, fd.get(), 0);
  if (memory == MAP_FAILED) fail("cannot map", path, errno, "make logs and buffers smaller");
  std::shared_ptr<SharedFile> file(new SharedFile);
  file->fd_ = std::move(fd);
  file->memory_ = static_cast<std::byte*>(memory);
  file->size_ = static_cast<std::size_t>(status.st_size);
  file->device_ = name.first;
  file->inode_ = name.second;
  all.files[name] = file;
  return file;
}

SharedFile::~SharedFile() {
  {
    Registry& all = registry();
    const std::lock_guard guard(all.mutex);
    const auto known = all.files.find({device_, inode_});
    if (known != all.files.end() && known->second.expired()) all.files.erase(known);
  }
  if (memory_ != nullptr) ::munmap(memory_, size_);
}

bool SharedFile::owner_is_alive() const {
  struct flock lock = whole_file(F_WRLCK);
  return ::fcntl(fd_.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

void SharedFile::drop_pages(std::size_t offset, std::size_t bytes) { ::madvise(memory_ + offset, bytes, MADV_REMOVE); }

FileDescriptor take_owner_lock(const std::string& path) {
  // An open file description of its own: not that of a mapping, which peers in this process share.
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) fail("cannot open", path, errno, "choose another run directory");
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    fail("cannot lock", path, errno, "another process uses it: end that one or choose another run directory");
  }
  return fd;
}

}  // namespace slipstream::emulate
