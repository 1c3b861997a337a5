#include "experiments/cli/paths.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "experiments/cli/experiment.h"
#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;

bool is_root(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / "experiments" / "specs", ignored);
}

}  // namespace

fs::path executable_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::current_path() : program.parent_path();
}

fs::path repository_root() {
  if (const char* named = std::getenv("SLIPSTREAM_ROOT"); named != nullptr && *named != '\0') {
    if (is_root(named)) return named;
    throw UserError(kExitUsage,
                    fmt::format("SLIPSTREAM_ROOT is {}, which has no experiments/specs; set it to a checkout of "
                                "Slipstream, or unset it",
                                named));
  }
  for (fs::path folder = executable_folder(); folder.has_relative_path(); folder = folder.parent_path()) {
    if (is_root(folder)) return folder;
  }
  const fs::path built_from = fs::path(__FILE__).parent_path().parent_path().parent_path();
  if (is_root(built_from)) return built_from;
  throw UserError(kExitUsage,
                  "cannot find the folder experiments/specs; set SLIPSTREAM_ROOT to a checkout of Slipstream");
}

std::vector<std::string> json_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

fs::path find_spec(const std::string& file_or_name) {
  std::error_code ignored;
  if (fs::is_regular_file(file_or_name, ignored)) return file_or_name;
  if (file_or_name.find('/') != std::string::npos || fs::path(file_or_name).extension() == ".json") return file_or_name;
  const fs::path folder = repository_root() / "experiments" / "specs";
  const fs::path file = folder / (file_or_name + ".json");
  if (fs::exists(file, ignored)) return file;
  const std::string near = nearest(file_or_name, json_names(folder));
  throw UserError(
      kExitUsage,
      fmt::format("no spec \"{}\" in {}{}; `slipstream list` names them, a path names a file of yours", file_or_name,
                  folder.string(), near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near)));
}

std::string read_text(const fs::path& file) {
  std::error_code error;
  if (fs::is_directory(file, error)) {
    throw UserError(kExitUsage, fmt::format("{}: is a folder; name a file", file.string()));
  }
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (stream) text << stream.rdbuf();
  if (!stream) {
    throw UserError(kExitUsage, fmt::format("{}: cannot be read ({}); check the path and its permissions",
                                            file.string(), std::strerror(errno == 0 ? EIO : errno)));
  }
  return text.str();
}

}  // namespace slipstream::cli
