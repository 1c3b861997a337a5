// A results folder: spec.json (resolved), environment.json, points.jsonl, timing.jsonl, histograms/, histories/ (of
// judged runs), hardware/.
//
// A point counts once its line is whole in points.jsonl; it is the last that is written of a point. What a run left
// half-written is dropped when the folder is opened again.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "experiments/cli/json.h"

namespace slipstream::cli {

// All that is kept of one repeat of one point.
struct PointRecord {
  Json line;
  Json timing;
  std::vector<std::pair<std::string, Json>> histograms;  // file name, content
};

class ResultsFolder {
 public:
  // Creates the folder, or opens one of the same spec to carry on. `say` hears what a user should know about the
  // latter. Throws UserError: a folder of another spec (exit 2), one that another run writes to, a folder that cannot
  // be made.
  ResultsFolder(std::filesystem::path folder, const Json& document, const Json& environment,
                const std::function<void(const std::string&)>& say);
  ~ResultsFolder();
  ResultsFolder(const ResultsFolder&) = delete;
  ResultsFolder& operator=(const ResultsFolder&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  bool has(const std::string& point, std::uint64_t repeat) const { return done_.count({point, repeat}) > 0; }
  const std::vector<Json>& lines() const { return lines_; }

  // Throws UserError (exit 1) when it cannot be written; then the folder is as before.
  void add(const PointRecord& record);
  // Takes in what a part of this run that was made elsewhere (in a guest) has added.
  void reload(const std::function<void(const std::string&)>& say);
  // A whole file at once, replacing what was there.
  void write_file(const std::string& name, const std::string& content);

 private:
  void adopt_spec(const Json& document);
  void load_points(const std::function<void(const std::string&)>& say);
  void drop_stray_timings();
  void append(int descriptor, const std::string& name, const Json& line);

  std::filesystem::path folder_;
  int points_ = -1;
  int timing_ = -1;
  std::vector<Json> lines_;
  std::set<std::pair<std::string, std::uint64_t>> done_;
};

// Where the history of a judged run is, in the folder.
std::string history_name(const std::string& point, std::uint64_t repeat);
std::string timeline_name(const std::string& point, std::uint64_t repeat);

// A file's whole content at once, made piece by piece; replaces what was there. Throws UserError (exit 1).
class WholeFile {
 public:
  explicit WholeFile(std::filesystem::path file);
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;
  void append(std::string_view bytes);
  void finish();  // until then there is no such file, or the old one

 private:
  std::filesystem::path file_;
  std::filesystem::path part_;
  int descriptor_ = -1;
};

// The first place where two resolved specs differ, in words ("/cluster/servers is 4 there, 8 here"); what is merely
// told (description, figure, expect) does not count. Empty: they are the same experiment.
std::string difference(const Json& there, const Json& here);

// Lines of a .jsonl file that end in a newline and are JSON objects; `whole_bytes` is where they end.
struct JsonLines {
  std::vector<Json> lines;
  std::size_t whole_bytes = 0;
  bool cut_short = false;  // something incomplete follows
};
JsonLines read_json_lines(const std::filesystem::path& file);

}  // namespace slipstream::cli
