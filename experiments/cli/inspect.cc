#include "experiments/cli/inspect.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "emulate/storage/frame_files.h"
#include "experiments/cli/experiment.h"
#include "experiments/cli/inspect_file.h"
#include "experiments/cli/inspect_print.h"
#include "experiments/cli/inspect_totals.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;

std::string not_ours(const InspectedFile& file) {
  return fmt::format(
      "{}: {}; name a replica memory file (node-N.replicas), a stored frame (*.frame) or a folder of them",
      file.path.string(), file.problems.at(0));
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::error_code ignored;
    if (entries->is_regular_file(ignored)) files.push_back(entries->path());
  }
  if (error) {
    throw UserError(kExitUsage, fmt::format("{}: cannot be looked through ({}); name a folder that may be read",
                                            folder.string(), error.message()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Whose each folder of frames is, and whether they are of one cluster.
class Owners {
 public:
  void add(const fs::path& file) {
    const fs::path folder = file.parent_path();
    std::string owner = emulate::look_into_storage(folder.string()).owner;
    std::replace(owner.begin(), owner.end(), '\n', ' ');
    const std::size_t begin = owner.find("cluster ");
    const std::size_t end = owner.find(" node ");
    if (begin == std::string::npos || end == std::string::npos) {
      problems_.push_back(fmt::format("{}: says of nobody that it is his", file.string()));
      return;
    }
    const std::string cluster = owner.substr(begin, end - begin);
    if (first_.empty()) {
      first_ = cluster;
      first_folder_ = folder;
    } else if (cluster != first_) {
      problems_.push_back(
          fmt::format("{} belongs to {}, {} to {}", folder.string(), cluster, first_folder_.string(), first_));
    }
    const std::optional<std::uint16_t> node = node_of(folder);
    if (node && owner.substr(end + 6, owner.find_last_not_of(' ') - end - 5) != fmt::to_string(*node)) {
      problems_.push_back(fmt::format("{} belongs to{}", folder.string(), owner.substr(end)));
    }
  }
  const std::string& cluster() const { return first_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::string first_;
  fs::path first_folder_;
  std::vector<std::string> problems_;
};

struct Told {
  std::string text;
  Json json = Json::array();
  std::size_t problems = 0;
};

void tell_file(const InspectRequest& request, const fs::path& path, Told& told) {
  const MappedFile mapped(path);
  const InspectedFile file = inspect_file(path, mapped.bytes());
  if (file.kind == FileKind::kNone) throw UserError(kExitUsage, not_ours(file));
  told.problems += file.problem_count();
  if (request.json) {
    told.json.push_back(file_json(file, mapped.bytes(), request.entries));
  } else {
    told.text += (told.text.empty() ? "" : "\n") + file_text(file, mapped.bytes(), request.entries);
  }
}

void tell_folder(const InspectRequest& request, const fs::path& folder, Told& told) {
  Totals totals;
  Owners owners;
  Json files = Json::array();
  std::string text;
  std::size_t ours = 0, others = 0, unused = 0, problems = 0;
  for (const fs::path& path : files_in(folder)) {
    if (path.filename() == "owner") owners.add(path);
    const MappedFile mapped(path);
    const InspectedFile file = inspect_file(path, mapped.bytes());
    totals.add(file);
    if (file.kind == FileKind::kUnused) ++unused;
    if (file.kind == FileKind::kNone) ++others;
    if (file.kind == FileKind::kUnused || file.kind == FileKind::kNone) continue;
    ++ours;
    problems += file.problem_count();
    if (request.json)
      files.push_back(file_json(file, mapped.bytes(), request.entries));
    else
      text += request.entries ? file_text(file, mapped.bytes(), true) + "\n" : file_line(file, folder);
  }
  if (ours == 0) {
    throw UserError(kExitUsage,
                    fmt::format("{}: holds no replica memory and no stored frames ({} other files); name the "
                                "folder that a run was told to leave behind",
                                folder.string(), others + unused));
  }
  totals.finish();
  problems += totals.lost() + owners.problems().size();
  told.problems += problems;
  if (request.json) {
    Json all = {{"folder", folder.string()}, {"files", files}, {"owners", owners.problems()}};
    all.update(totals_json(totals));
    told.json.push_back(std::move(all));
    return;
  }
  told.text += fmt::format("{}{}: {} files{}", told.text.empty() ? "" : "\n", folder.string(), ours,
                           owners.cluster().empty() ? "" : ", of " + owners.cluster());
  if (unused + others > 0) told.text += fmt::format(" ({} empty and {} of other kinds are left aside)", unused, others);
  told.text += "\n\n" + text;
  for (const std::string& problem : owners.problems()) told.text += fmt::format("WRONG: {}\n", problem);
  told.text += totals_text(totals);
  told.text += problems == 0 ? "\nAll verifies.\n" : fmt::format("\n{} WRONG or LOST, see above.\n", problems);
}

}  // namespace

int inspect_command(const InspectRequest& request) {
  Told told;
  std::string refused;
  for (const std::string& file : request.files) {
    std::error_code ignored;
    try {
      if (fs::is_directory(file, ignored)) {
        tell_folder(request, file, told);
      } else {
        tell_file(request, file, told);
      }
    } catch (const UserError& problem) {
      refused += fmt::format("{}{}", refused.empty() ? "" : "\nslipstream: ", problem.what());
    }
  }
  if (request.json) {
    fmt::print("{}\n", Json{{"inspected", told.json}, {"problems", told.problems}}.dump(
                           2, ' ', false, Json::error_handler_t::replace));
  } else {
    fmt::print("{}", told.text);
  }
  std::fflush(stdout);
  if (!refused.empty()) throw UserError(kExitUsage, refused);
  return told.problems == 0 ? kExitOk : kExitRunFailed;
}

}  // namespace slipstream::cli
