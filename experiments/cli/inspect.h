// `slipstream inspect`: what replica files, stored frames, segments, the coordinator's state and whole folders of these
// hold, and where they stop being valid. Nothing is changed.
//
// Exit status: 0 all verifies; 1 something does not, and is told; 2 a file is none of these.
#pragma once

#include <string>
#include <vector>

namespace slipstream::cli {

struct InspectRequest {
  std::vector<std::string> files;  // files and folders
  bool entries = false;            // list every entry, too
  bool json = false;
};

int inspect_command(const InspectRequest& request);

}  // namespace slipstream::cli
