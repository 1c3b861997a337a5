#include "emulate/storage/storage_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

std::string text_for(const StorageOwner& owner) {
  return fmt::format("slipstream storage 1\ncluster {}\nnode {}\n", owner.cluster, index(owner.node));
}

// For people: "cluster 3f2a, node 1".
std::string owner_in(const std::string& text) {
  std::string cluster;
  std::string node;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.starts_with("cluster ")) cluster = line;
    if (line.starts_with("node ")) node = line;
    at = end + 1;
  }
  return cluster.empty() || node.empty() ? std::string("nobody that can be read") : cluster + ", " + node;
}

bool holds_frames(const std::string& directory) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.path().extension() == ".frame") return true;
  }
  return false;
}

[[noreturn]] void fail(const std::string& directory, const std::string& what, const std::string& remedy) {
  throw std::runtime_error(fmt::format("cannot keep frames in {}: {}; {}", directory, what, remedy));
}

std::string content(int fd) {
  char bytes[512];
  const ssize_t n = ::pread(fd, bytes, sizeof bytes, 0);
  return {bytes, static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

}  // namespace

std::string owner_file(const std::string& directory) { return directory + "/owner"; }

StorageFolder::StorageFolder(const std::string& directory, const StorageOwner& owner) {
  const char* const remedy = "choose a directory that this user may write to";
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) fail(directory, error.message(), remedy);
  if (::access(directory.c_str(), W_OK) != 0) fail(directory, std::strerror(errno), remedy);
  lock_ = FileDescriptor(::open(owner_file(directory).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) fail(directory, std::strerror(errno), remedy);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    fail(directory, "another process uses it", "end that one, or choose another directory");
  }
  const std::string mine = text_for(owner);
  const std::string found = content(lock_.get());
  if (found == mine) return;
  if (found.empty() && !holds_frames(directory)) {
    if (::pwrite(lock_.get(), mine.data(), mine.size(), 0) != static_cast<ssize_t>(mine.size())) {
      fail(directory, fmt::format("its owner's name cannot be written: {}", std::strerror(errno)), "make room there");
    }
    return;
  }
  fail(directory, fmt::format("it belongs to {}, not to {}", owner_in(found), owner_in(mine)),
       "choose another directory, or remove this one if its frames are not needed any more");
}

}  // namespace slipstream::emulate
