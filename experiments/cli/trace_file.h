// A file that a run's Chrome trace goes to; it opens in Perfetto.
#pragma once

#include <fstream>
#include <string>

#include "core/node/cluster.h"
#include "core/node/trace.h"

namespace slipstream::cli {

class TraceFile {
 public:
  // Throws UserError when the file cannot be made.
  TraceFile(const std::string& path, const ClusterOptions& cluster);
  Observer& observer() { return trace_; }
  // Throws UserError when not all could be written.
  void finish(TimeNs end_ns);

 private:
  std::string path_;
  std::ofstream file_;
  ChromeTrace trace_;
};

}  // namespace slipstream::cli
