#include "experiments/cli/results.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>

#include "experiments/cli/experiment.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/spec.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;

std::string reason() { return std::strerror(errno); }

[[noreturn]] void cannot_write(const fs::path& file, const std::string& why) {
  throw UserError(kExitRunFailed,
                  fmt::format("{}: cannot be written ({}); what was finished before is kept: make room and give the "
                              "same command again to carry on",
                              file.string(), why));
}

// Everything or an exception.
void write_all(int descriptor, const fs::path& file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) cannot_write(file, reason());
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

int open_to_append(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) cannot_write(file, reason());
  return descriptor;
}

std::pair<std::string, std::uint64_t> key_of(const Json& line) {
  return {line.at("point").get<std::string>(), line.at("repeat").get<std::uint64_t>()};
}

bool is_told_only(const std::string& key) { return key == "description" || key == "figure" || key == "expect"; }

std::string shown(const Json* value) { return value == nullptr ? "absent" : value->dump(); }

std::string difference_at(const std::string& place, const Json* there, const Json* here) {
  if (there != nullptr && here != nullptr && there->is_object() && here->is_object() && place != "/sweep") {
    for (const auto& [key, value] : there->items()) {
      if (place.empty() && is_told_only(key)) continue;
      const auto other = here->find(key);
      const auto found = difference_at(place + "/" + key, &value, other == here->end() ? nullptr : &*other);
      if (!found.empty()) return found;
    }
    for (const auto& [key, value] : here->items()) {
      if (!(place.empty() && is_told_only(key)) && !there->contains(key))
        return difference_at(place + "/" + key, nullptr, &value);
    }
    return {};
  }
  const bool same = there != nullptr && here != nullptr && *there == *here;
  return same ? std::string() : fmt::format("{} is {} there and {} here", place, shown(there), shown(here));
}

}  // namespace

std::string difference(const Json& there, const Json& here) { return difference_at("", &there, &here); }

JsonLines read_json_lines(const fs::path& file) {
  JsonLines result;
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return result;
  const std::string text = read_text(file);
  std::size_t number = 0;
  while (result.whole_bytes < text.size()) {
    ++number;
    const auto end = text.find('\n', result.whole_bytes);
    const std::string line = text.substr(result.whole_bytes, end == std::string::npos ? end : end - result.whole_bytes);
    Json value = Json::parse(line, nullptr, false);
    if (end == std::string::npos || !value.is_object()) {
      if (end != std::string::npos && end + 1 < text.size()) {
        throw UserError(kExitRunFailed,
                        fmt::format("{}:{}: not a line of results; the folder is damaged: remove it, or choose another "
                                    "with --out",
                                    file.string(), number));
      }
      result.cut_short = true;
      return result;
    }
    result.lines.push_back(std::move(value));
    result.whole_bytes = end + 1;
  }
  return result;
}

ResultsFolder::ResultsFolder(fs::path folder, const Json& document, const Json& environment,
                             const std::function<void(const std::string&)>& say)
    : folder_(std::move(folder)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    throw UserError(kExitRunFailed, fmt::format("{}: the results folder cannot be made ({}); choose another with --out",
                                                folder_.string(), error.message()));
  }
  adopt_spec(document);
  points_ = open_to_append(folder_ / "points.jsonl");
  if (::flock(points_, LOCK_EX | LOCK_NB) != 0) {
    ::close(points_);
    throw UserError(kExitRunFailed,
                    fmt::format("{}: another run is writing to this folder; wait for it, or choose another with --out",
                                folder_.string()));
  }
  reload(say);
  const fs::path environment_file = folder_ / "environment.json";
  if (!lines_.empty() && fs::exists(environment_file, error)) {
    const Json before = parse_json(environment_file.string(), read_text(environment_file));
    for (const char* key : {"commit", "machine"}) {
      if (before.contains(key) && before.at(key) != environment.at(key)) {
        say(fmt::format("note: the points already there were made with another {}; environment.json tells of those",
                        key));
      }
    }
  } else {
    write_file("environment.json", environment.dump(2) + "\n");
  }
}

ResultsFolder::~ResultsFolder() {
  if (points_ >= 0) ::close(points_);
  if (timing_ >= 0) ::close(timing_);
}

void ResultsFolder::reload(const std::function<void(const std::string&)>& say) {
  load_points(say);
  drop_stray_timings();
  if (timing_ >= 0) ::close(timing_);
  timing_ = open_to_append(folder_ / "timing.jsonl");
}

void ResultsFolder::adopt_spec(const Json& document) {
  std::error_code ignored;
  const fs::path file = folder_ / "spec.json";
  if (fs::exists(file, ignored)) {
    const std::string differs = difference(parse_json(file.string(), read_text(file)), document);
    if (!differs.empty()) {
      throw UserError(kExitUsage,
                      fmt::format("{}: holds results of another spec ({}); choose another folder with --out, or remove "
                                  "this one",
                                  folder_.string(), differs));
    }
  } else {
    for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
      if (entry.path().extension() == ".part") continue;
      throw UserError(kExitUsage,
                      fmt::format("{}: is not a results folder and not empty ({} is in it); choose another with --out",
                                  folder_.string(), entry.path().filename().string()));
    }
  }
  write_file("spec.json", document.dump(2) + "\n");
}

void ResultsFolder::load_points(const std::function<void(const std::string&)>& say) {
  JsonLines points = read_json_lines(folder_ / "points.jsonl");
  if (points.cut_short) {
    say(fmt::format("{}: the last line was cut short and is dropped; its point runs again",
                    (folder_ / "points.jsonl").string()));
    if (::ftruncate(points_, static_cast<off_t>(points.whole_bytes)) != 0)
      cannot_write(folder_ / "points.jsonl", reason());
  }
  lines_ = std::move(points.lines);
  done_.clear();
  for (const Json& line : lines_) done_.insert(key_of(line));
}

void ResultsFolder::drop_stray_timings() {
  const JsonLines timings = read_json_lines(folder_ / "timing.jsonl");
  std::string kept;
  bool stray = timings.cut_short;
  for (const Json& line : timings.lines) {
    if (done_.count(key_of(line)) > 0)
      kept += line.dump() + "\n";
    else
      stray = true;
  }
  if (stray) write_file("timing.jsonl", kept);
}

void ResultsFolder::append(int descriptor, const std::string& name, const Json& line) {
  const off_t before = ::lseek(descriptor, 0, SEEK_END);
  try {
    write_all(descriptor, folder_ / name, line.dump() + "\n");
  } catch (const UserError&) {
    if (::ftruncate(descriptor, before) != 0) cannot_write(folder_ / name, reason());
    throw;
  }
}

void ResultsFolder::add(const PointRecord& record) {
  for (const auto& [name, content] : record.histograms) write_file("histograms/" + name, content.dump() + "\n");
  append(timing_, "timing.jsonl", record.timing);
  append(points_, "points.jsonl", record.line);
  lines_.push_back(record.line);
  done_.insert(key_of(record.line));
}

void ResultsFolder::write_file(const std::string& name, const std::string& content) {
  WholeFile file(folder_ / name);
  file.append(content);
  file.finish();
}

std::string timeline_name(const std::string& point, std::uint64_t repeat) {
  return fmt::format("timelines/{}-{}.json", point, repeat);
}

std::string history_name(const std::string& point, std::uint64_t repeat) {
  return fmt::format("histories/{}-{}.jsonl", point, repeat);
}

WholeFile::WholeFile(fs::path file) : file_(std::move(file)), part_(fs::path(file_).concat(".part")) {
  std::error_code error;
  fs::create_directories(file_.parent_path(), error);
  descriptor_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) cannot_write(file_, reason());
}

WholeFile::~WholeFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(part_.c_str());
}

void WholeFile::append(std::string_view bytes) { write_all(descriptor_, file_, bytes); }

void WholeFile::finish() {
  if (::close(std::exchange(descriptor_, -1)) != 0 || ::rename(part_.c_str(), file_.c_str()) != 0) {
    const std::string why = reason();
    ::unlink(part_.c_str());
    cannot_write(file_, why);
  }
}

}  // namespace slipstream::cli
