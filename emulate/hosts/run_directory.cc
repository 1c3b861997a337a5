#include "emulate/hosts/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "slipstream-run-";

std::string default_parent() {
  std::error_code ignored;
  return fs::is_directory("/dev/shm", ignored) ? "/dev/shm" : "/tmp";
}

// Under another name first: between its making and its locking nobody may take it for abandoned.
int make_lock(const std::string& directory) {
  const std::string draft = directory + "/lock.new";
  const int fd = open(draft.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 || rename(draft.c_str(), (directory + "/lock").c_str()) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

bool is_abandoned(const fs::path& directory) {
  const int fd = open((directory / "lock").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  const bool free = flock(fd, LOCK_EX | LOCK_NB) == 0;
  close(fd);
  return free;
}

}  // namespace

RunDirectory::RunDirectory(const std::string& path, bool keep) : path_(path), keep_(keep) {
  if (path_.empty()) {
    const std::string parent = default_parent();
    remove_abandoned(parent);
    path_ = parent + "/" + std::string(kPrefix) + "XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) {
      throw std::runtime_error(
          fmt::format("cannot make a run directory in {}: {}; name another place with the run "
                      "directory option",
                      parent, std::strerror(errno)));
    }
  } else if (mkdir(path_.c_str(), 0700) != 0) {
    throw std::runtime_error(
        fmt::format("cannot make the run directory {}: {}; it must not exist yet, and its parent must", path_,
                    std::strerror(errno)));
  }
  lock_ = make_lock(path_);
  if (lock_ < 0) {
    const int error = errno;
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    throw std::runtime_error(fmt::format("cannot write into the run directory {}: {}; name one on another file system",
                                         path_, std::strerror(error)));
  }
}

RunDirectory::~RunDirectory() {
  std::error_code ignored;
  if (keep_) {
    fs::remove(path_ + "/lock", ignored);
  } else {
    fs::remove_all(path_, ignored);
  }
  close(lock_);
}

int remove_abandoned(const std::string& parent) {
  int removed = 0;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    if (!entry.path().filename().string().starts_with(kPrefix) || !is_abandoned(entry.path())) continue;
    std::error_code ignored;
    fs::remove_all(entry.path(), ignored);
    ++removed;
  }
  return removed;
}

}  // namespace slipstream::emulate
