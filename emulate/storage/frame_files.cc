#include "emulate/storage/frame_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "core/base/crc32c.h"
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
  std::uint32_t crc = 0;  // of the fields above
  std::uint32_t unused = 0;

  std::uint32_t right_crc() const {
    return crc32c(0, {reinterpret_cast<const std::byte*>(this), offsetof(Header, crc)});
  }
};
static_assert(sizeof(Header) == 32);

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

// What is wrong with the file of a frame; empty: nothing is, and `header` is its header.
std::string problem_with(const std::string& path, FrameId frame, Header& header) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) return fmt::format("cannot be read: {}", std::strerror(errno));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < sizeof header) return fmt::format("its header is cut: the file has {} bytes", size);
  if (const int error = read_all(fd.get(), &header, sizeof header, 0); error != 0) {
    return fmt::format("its header cannot be read: {}", std::strerror(error));
  }
  if (header.magic == 0 && header.length == 0) return "it has no header: its first append did not end";
  if (header.magic != kMagic) return fmt::format("its header is damaged: it begins with {:016x}", header.magic);
  if (header.crc != header.right_crc()) return "its header is damaged: the checksum does not fit";
  if (header.frame != frame) return fmt::format("it holds frame {:016x}, which is not its name", header.frame);
  if (header.length > 0 && size < kDataAt + header.length) {
    return fmt::format("it is cut: of {} bytes there are {}", header.length, size < kDataAt ? 0 : size - kDataAt);
  }
  return {};
}

struct Found {
  std::map<FrameId, std::uint64_t> lengths;
  std::vector<StorageProblem> problems;
  std::vector<std::string> spares;
};

Found find_frames(const std::string& directory) {
  Found found;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error) {
    throw std::runtime_error(
        fmt::format("cannot look for frames in {}: {}; name a directory of frames", directory, error.message()));
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kSpareSuffix)) found.spares.push_back(entry.path().string());
    FrameId frame = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), frame, 16);
    if (parsed.ec != std::errc{} || std::string_view(parsed.ptr) != kSuffix) continue;
    Header header;
    std::string problem = problem_with(entry.path().string(), frame, header);
    if (problem.empty()) {
      found.lengths[frame] = header.length;
    } else {
      found.problems.push_back({entry.path().string(), std::move(problem)});
    }
  }
  const auto by_name = [](const StorageProblem& a, const StorageProblem& b) { return a.file < b.file; };
  std::sort(found.problems.begin(), found.problems.end(), by_name);
  return found;
}

}  // namespace

FrameFiles::FrameFiles(const std::string& directory, const StorageOwner& owner, bool synchronize)
    : folder_(directory, owner), directory_(directory), synchronize_(synchronize) {
  Found found = find_frames(directory_);
  lengths_ = std::move(found.lengths);
  problems_ = std::move(found.problems);
  for (const std::string& spare : found.spares) ::unlink(spare.c_str());
}

FolderContents look_into_storage(const std::string& directory) {
  FolderContents contents;
  Found found = find_frames(directory);
  for (const auto& [frame, length] : found.lengths) contents.frames.push_back({frame, length});
  contents.problems = std::move(found.problems);
  const FileDescriptor fd(::open(owner_file(directory).c_str(), O_RDONLY | O_CLOEXEC));
  char text[512];
  const ssize_t n = fd.valid() ? ::read(fd.get(), text, sizeof text) : 0;
  if (n > 0) contents.owner.assign(text, static_cast<std::size_t>(n));
  return contents;
}

std::optional<FrameInFile> frame_in(ConstBytes file) {
  Header header;
  if (file.size() < sizeof header.magic) return std::nullopt;
  std::memcpy(&header, file.data(), std::min(file.size(), sizeof header));
  if (header.magic != kMagic) return std::nullopt;
  FrameInFile found;
  found.contents = file.subspan(std::min<std::size_t>(file.size(), kDataAt));
  found.frame = header.frame;
  found.length = header.length;
  if (file.size() < sizeof header) {
    found.problem = fmt::format("its header is cut: the file has {} bytes", file.size());
  } else if (header.crc != header.right_crc()) {
    found.problem = "its header is damaged: the checksum does not fit";
    found.length = found.contents.size();
  } else if (found.contents.size() < header.length) {
    found.problem = fmt::format("it is cut: of {} bytes there are {}", header.length, found.contents.size());
  } else {
    found.contents = found.contents.first(header.length);
  }
  return found;
}

std::string FrameFiles::path(FrameId frame) const { return fmt::format("{}/{:016x}{}", directory_, frame, kSuffix); }

std::string FrameFiles::spare_path(std::uint64_t number) const {
  return fmt::format("{}/{}{}", directory_, number, kSpareSuffix);
}

int FrameFiles::write_header(int fd, FrameId frame, std::uint64_t length) const {
  Header header{kMagic, frame, length};
  header.crc = header.right_crc();
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
  const Header none{0, 0, 0, 0, 0};
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

std::vector<StoredFrame> FrameFiles::frames() const {
  std::vector<StoredFrame> result;
  for (const auto& [frame, length] : lengths_) result.push_back({frame, length});
  return result;
}

}  // namespace slipstream::emulate
