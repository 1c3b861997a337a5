// One file as `slipstream inspect` sees it: recognised by its content, taken apart, judged. Files are only read.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/cluster/state_log.h"
#include "core/replication/inspect.h"

namespace slipstream::cli {

// The bytes of a file, for as long as it lives. Throws UserError when it cannot be read.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ConstBytes bytes() const { return bytes_; }

 private:
  ConstBytes bytes_;
};

enum class FileKind {
  kReplicaMemory,
  kStoredReplica,
  kState,     // the coordinator's
  kSegments,  // one alone, or a master's log memory
  kUnused,    // memory that was never used, or a file kept for the next frame
  kNone
};
std::string_view name(FileKind kind);

struct InspectedFile {
  std::filesystem::path path;
  FileKind kind = FileKind::kNone;
  std::size_t bytes = 0;
  std::string written;                // when the file was written last
  std::optional<std::uint16_t> node;  // whose it is, as its path tells
  bool is_frame = false;
  FrameId frame = 0;
  std::size_t contents_at = 0;                  // of a frame's contents, or 0
  std::optional<ReplicaFileInspection> memory;  // kReplicaMemory, but for its replicas
  std::vector<InspectedReplica> replicas;
  std::optional<Snapshots> state;
  std::vector<std::string> problems;  // of the file, besides those of its replicas

  std::size_t problem_count() const;
};

// kNone: `problems` says what was expected and found.
InspectedFile inspect_file(const std::filesystem::path& path, ConstBytes bytes);

// The number in the last folder or file name of the path that begins with "node-".
std::optional<std::uint16_t> node_of(const std::filesystem::path& path);

}  // namespace slipstream::cli
