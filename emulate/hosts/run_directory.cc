#include "emulate/hosts/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

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

std::string fresh_id() {
  std::uint64_t number = 0;
  if (getrandom(&number, sizeof number, 0) != sizeof number) {
    throw std::runtime_error(fmt::format("no random bytes: {}; is this Linux 3.17 or later?", std::strerror(errno)));
  }
  return fmt::format("{:016x}", number);
}

bool is_abandoned(const fs::path& directory) {
  const int fd = open((directory / "lock").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  const bool free = flock(fd, LOCK_EX | LOCK_NB) == 0;
  close(fd);
  return free;
}

}  // namespace

RunDirectory RunDirectory::at(const std::string& path, bool keep) {
  if (mkdir(path.c_str(), 0700) != 0) {
    throw std::runtime_error(fmt::format("cannot make the directory {}: {}; it must not exist yet, and its parent must",
                                         path, std::strerror(errno)));
  }
  return RunDirectory(path, keep);
}

RunDirectory RunDirectory::fresh_in(const std::string& parent, bool keep) {
  std::error_code ignored;  // what it comes to is told below
  fs::create_directories(parent, ignored);
  remove_abandoned(parent);
  std::string path = parent + "/" + std::string(kPrefix) + "XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    throw std::runtime_error(
        fmt::format("cannot make a directory in {}: {}; name another place", parent, std::strerror(errno)));
  }
  return RunDirectory(path, keep);
}

RunDirectory::RunDirectory(std::string made, bool keep) : path_(std::move(made)), keep_(keep), lock_(make_lock(path_)) {
  if (lock_ >= 0) return;
  const int error = errno;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  throw std::runtime_error(
      fmt::format("cannot write into {}: {}; name a directory on another file system", path_, std::strerror(error)));
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

RunDirectories::RunDirectories(const std::string& run_directory, const std::string& storage_directory, bool keep)
    : id_(fresh_id()),
      run_(run_directory.empty() ? RunDirectory::fresh_in(default_parent(), keep)
                                 : RunDirectory::at(run_directory, keep)) {
  if (!storage_directory.empty()) storage_.reset(new RunDirectory(RunDirectory::fresh_in(storage_directory, keep)));
}

void RunDirectories::keep() {
  run_.keep();
  if (storage_) storage_->keep();
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

int remove_abandoned() { return remove_abandoned(default_parent()); }

}  // namespace slipstream::emulate
