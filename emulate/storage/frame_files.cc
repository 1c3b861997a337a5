#include "emulate/storage/frame_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "emulate/fabric/file_descriptor.h"

namespace slipstream::emulate {

namespace {

constexpr std::uint64_t kMagic = 0x31656d6172666c73;
constexpr std::uint64_t kDataAt = 4096;
constexpr std::string_view kSuffix = ".frame";
constexpr std::string_view kSpareSuffix = ".spare";
constexpr std::size_t kMostSpares = 4;

struct Header {
  std::uint64_t magic = kMagic;
  FrameId frame = 0;
  std::uint64_t length = 0;
};

// Calls that move bytes may move fewer than asked for, or be interrupted.
int write_all(int fd, const void* data, std::size_t size, std::uint64_t at) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::pwrite(fd, from, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;
    from += n;
    at += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

int read_all(int fd, void* data, std::size_t size, std::uint64_t at) {
  char* to = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = ::pread(fd, to, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;
    to += n;
    at += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

}  // namespace

FrameFiles::FrameFiles(std::string directory, bool synchronize)
    : directory_(std::move(directory)), synchronize_(synchronize) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  std::filesystem::directory_iterator entries(directory_, error);
  if (error || ::access(directory_.c_str(), W_OK) != 0) {
    throw std::runtime_error(fmt::format("cannot keep frames in {}: {}; choose a directory that this user may write to",
                                         directory_, error ? error.message() : std::strerror(errno)));
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kSpareSuffix)) {
      std::filesystem::remove(entry.path(), error);
      continue;
    }
    FrameId frame = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), frame, 16);
    if (parsed.ec != std::errc{} || std::string_view(parsed.ptr) != kSuffix) continue;
    const FileDescriptor fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    Header header;
    if (!fd.valid() || read_all(fd.get(), &header, sizeof header, 0) != 0) continue;  // torn when it was created
    if (header.magic == kMagic && header.frame == frame) lengths_[frame] = header.length;
  }
}

std::string FrameFiles::path(FrameId frame) const { return fmt::format("{}/{:016x}{}", directory_, frame, kSuffix); }

std::string FrameFiles::spare_path(std::uint64_t number) const {
  return fmt::format("{}/{}{}", directory_, number, kSpareSuffix);
}

int FrameFiles::write_header(int fd, FrameId frame, std::uint64_t length) const {
  const Header header{kMagic, frame, length};
  if (synchronize_ && ::fdatasync(fd) != 0) return errno;  // the bytes before the length that covers them
  if (const int error = write_all(fd, &header, sizeof header, 0); error != 0) return error;
  return synchronize_ && ::fdatasync(fd) != 0 ? errno : 0;
}

int FrameFiles::append(FrameId frame, ConstBytes bytes) {
  const auto known = lengths_.find(frame);
  const bool fresh = known == lengths_.end();
  const std::uint64_t length = fresh ? 0 : known->second;
  const int flags = O_RDWR | O_CLOEXEC | (fresh && !use_spare(frame) ? O_CREAT | O_TRUNC : 0);
  const FileDescriptor fd(::open(path(frame).c_str(), flags, 0600));
  if (!fd.valid()) return errno;
  int error = write_all(fd.get(), bytes.data(), bytes.size(), kDataAt + length);
  if (error == 0) error = write_header(fd.get(), frame, length + bytes.size());
  if (error == 0) {
    lengths_[frame] = length + bytes.size();
  } else if (fresh) {
    ::unlink(path(frame).c_str());
  }
  return error;
}

int FrameFiles::read(FrameId frame, Bytes into, std::uint64_t offset) const {
  const auto known = lengths_.find(frame);
  if (known == lengths_.end()) return ENOENT;
  if (offset > known->second || into.size() > known->second - offset) return EINVAL;
  const FileDescriptor fd(::open(path(frame).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return errno;
  return read_all(fd.get(), into.data(), into.size(), kDataAt + offset);
}

// False: there is none.
bool FrameFiles::use_spare(FrameId frame) {
  if (spares_.empty() || ::rename(spare_path(spares_.back()).c_str(), path(frame).c_str()) != 0) return false;
  spares_.pop_back();
  return true;
}

// The old header must be gone before new bytes come: the file may be given to a frame of the same number.
int FrameFiles::make_spare(FrameId frame) {
  const FileDescriptor fd(::open(path(frame).c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return errno;
  const Header none{0, 0, 0};
  if (const int error = write_all(fd.get(), &none, sizeof none, 0); error != 0) return error;
  if (synchronize_ && ::fdatasync(fd.get()) != 0) return errno;
  if (::rename(path(frame).c_str(), spare_path(next_spare_).c_str()) != 0) return errno;
  spares_.push_back(next_spare_++);
  return 0;
}

int FrameFiles::free(FrameId frame) {
  if (lengths_.erase(frame) == 0) return ENOENT;
  if (spares_.size() < kMostSpares) return make_spare(frame);
  return ::unlink(path(frame).c_str()) != 0 && errno != ENOENT ? errno : 0;
}

std::uint64_t FrameFiles::length(FrameId frame) const {
  const auto known = lengths_.find(frame);
  return known == lengths_.end() ? 0 : known->second;
}

std::vector<FrameId> FrameFiles::frames() const {
  std::vector<FrameId> result;
  for (const auto& [frame, length] : lengths_) result.push_back(frame);
  return result;
}

}  // namespace slipstream::emulate
