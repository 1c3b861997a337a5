#include "experiments/cli/inspect_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "emulate/fabric/file_descriptor.h"
#include "emulate/storage/frame_files.h"
#include "experiments/cli/experiment.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;

bool are_zero(ConstBytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::string time_text(const fs::path& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return {};
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(status.st_mtime));
}

// The segments of a master's log memory, or one alone.
void take_segments(ConstBytes bytes, InspectedFile& file) {
  const std::size_t capacity = header_in(bytes)->capacity;
  file.kind = FileKind::kSegments;
  if (capacity == 0 || bytes.size() <= capacity || bytes.size() % capacity != 0) {
    file.replicas.push_back(*inspect_bare_segment(bytes));
    if (bytes.size() < capacity) {
      file.problems.push_back(
          fmt::format("the segment has room for {} bytes, of which {} are here", capacity, bytes.size()));
    }
    return;
  }
  for (std::size_t at = 0; at < bytes.size(); at += capacity) {
    std::optional<InspectedReplica> segment = inspect_bare_segment(bytes.subspan(at, capacity));
    if (!segment) continue;
    segment->at = at;
    segment->buffer = at / capacity;
    // Behind what is certified, log memory holds what is not certified yet, or a former segment's.
    if (!segment->segment.flipped) segment->problems.clear();
    file.replicas.push_back(std::move(*segment));
  }
}

void take_state(ConstBytes bytes, InspectedFile& file) {
  file.kind = FileKind::kState;
  file.state = snapshots_in(bytes);
  if (!file.state->stop.empty()) {
    file.problems.push_back(
        fmt::format("it verifies up to byte {} of {}: {}", file.state->valid_bytes, bytes.size(), file.state->stop));
  }
}

bool take_frame(ConstBytes bytes, InspectedFile& file) {
  const std::optional<emulate::FrameInFile> frame = emulate::frame_in(bytes);
  if (!frame) return false;
  file.is_frame = true;
  file.frame = frame->frame;
  file.contents_at =
      bytes.size() < frame->contents.size() ? 0 : static_cast<std::size_t>(frame->contents.data() - bytes.data());
  if (!frame->problem.empty()) file.problems.push_back(frame->problem);
  if (is_state_frame(frame->contents)) {
    take_state(frame->contents, file);
  } else if (auto replica = inspect_stored_replica(frame->frame, frame->length, frame->contents)) {
    file.kind = FileKind::kStoredReplica;
    file.replicas.push_back(std::move(*replica));
  } else {
    file.kind = FileKind::kStoredReplica;
    if (frame->problem.empty()) file.problems.push_back("what it holds is no replica and no view");
  }
  return true;
}

// What says nothing by itself is judged by its name.
void take_unknown(ConstBytes bytes, InspectedFile& file) {
  const std::string ending = file.path.extension().string();
  const bool is_zero = are_zero(bytes);
  if (ending == ".frame") {
    file.kind = FileKind::kStoredReplica;
    file.problems.push_back(is_zero ? "a frame's file without a header: its first append did not end"
                                    : "a frame's file whose header is damaged: it does not begin as one does");
  } else if (ending == ".spare" || (ending == ".replicas" && is_zero && !bytes.empty())) {
    file.kind = FileKind::kUnused;
  } else if (ending == ".replicas") {
    file.kind = FileKind::kReplicaMemory;
    file.problems.push_back(fmt::format("no record in its {} bytes verifies", bytes.size()));
  } else if (bytes.empty()) {
    file.problems.push_back("is empty");
  } else {
    file.problems.push_back(
        "does not begin as replica memory, a stored frame, a segment or the coordinator's state does");
  }
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) {
  const emulate::FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status = {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) {
    throw UserError(kExitUsage, fmt::format("{}: cannot be read ({}); name a file that is there and may be read",
                                            path.string(), std::strerror(errno)));
  }
  if (!S_ISREG(status.st_mode)) {
    throw UserError(kExitUsage, fmt::format("{}: is no file and no folder; name one of these", path.string()));
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return;
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (memory == MAP_FAILED) {
    throw UserError(kExitUsage, fmt::format("{}: cannot be read ({}); copy it to another place and name that",
                                            path.string(), std::strerror(errno)));
  }
  bytes_ = {static_cast<const std::byte*>(memory), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

std::string_view name(FileKind kind) {
  switch (kind) {
    case FileKind::kReplicaMemory: return "replica memory";
    case FileKind::kStoredReplica: return "stored replica";
    case FileKind::kState: return "coordinator's state";
    case FileKind::kSegments: return "segments";
    case FileKind::kUnused: return "unused";
    case FileKind::kNone: break;
  }
  return "none";
}

std::size_t InspectedFile::problem_count() const {
  std::size_t count = problems.size();
  for (const InspectedReplica& replica : replicas) count += replica.problems.size();
  return count;
}

std::optional<std::uint16_t> node_of(const fs::path& path) {
  constexpr std::string_view kPrefix = "node-";
  std::optional<std::uint16_t> node;
  for (const fs::path& part : path) {
    const std::string word = part.string();
    std::uint16_t number = 0;
    if (!word.starts_with(kPrefix)) continue;
    const char* const end = word.data() + word.size();
    const auto parsed = std::from_chars(word.data() + kPrefix.size(), end, number);
    if (parsed.ec == std::errc{} && (parsed.ptr == end || *parsed.ptr == '.')) node = number;
  }
  return node;
}

InspectedFile inspect_file(const fs::path& path, ConstBytes bytes) {
  InspectedFile file;
  file.path = path;
  file.bytes = bytes.size();
  file.written = time_text(path);
  file.node = node_of(path);
  if (take_frame(bytes, file)) return file;
  if (is_state_frame(bytes)) {
    take_state(bytes, file);
  } else if (header_in(bytes)) {
    take_segments(bytes, file);
  } else if (auto memory = inspect_replica_file(bytes)) {
    file.kind = FileKind::kReplicaMemory;
    file.replicas = std::move(memory->replicas);
    file.problems = std::move(memory->problems);
    file.memory = std::move(*memory);
  } else {
    take_unknown(bytes, file);
  }
  return file;
}

}  // namespace slipstream::cli
