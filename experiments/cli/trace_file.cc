#include "experiments/cli/trace_file.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "experiments/cli/experiment.h"

namespace slipstream::cli {
namespace {

std::vector<std::string> names_of(const ClusterOptions& cluster) {
  std::vector<std::string> names;
  for (std::uint16_t i = 0; i < node_count(cluster); ++i) names.push_back(node_name(cluster, NodeId{i}));
  return names;
}

}  // namespace

TraceFile::TraceFile(const std::string& path, const ClusterOptions& cluster)
    : path_(path), file_(path, std::ios::binary), trace_(names_of(cluster), [this](std::string_view piece) {
        file_.write(piece.data(), static_cast<std::streamsize>(piece.size()));
      }) {
  if (!file_) throw UserError(kExitRunFailed, fmt::format("--trace-out {}: {}", path, std::strerror(errno)));
}

void TraceFile::finish(TimeNs end_ns) {
  trace_.finish(end_ns * kPsPerNs);
  file_.flush();
  if (!file_) throw UserError(kExitRunFailed, fmt::format("--trace-out {}: not all could be written", path_));
}

}  // namespace slipstream::cli
