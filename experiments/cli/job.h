// One repeat of one point in a process of its own: a failed invariant, a full memory or a signal ends it alone, and all
// that it started ends with it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "experiments/cli/results.h"
#include "experiments/cli/spec.h"
#include "experiments/cli/world.h"

namespace slipstream::cli {

// What a run is, as lines of the results folder; `outcome` without trouble.
PointRecord make_record(const Point& point, std::uint32_t repeat, const Experiment& experiment,
                        const RunOutcome& outcome);

struct JobResult {
  std::optional<PointRecord> record;
  std::string problem;    // when there is no record
  bool is_setup = false;  // the world could not be set up: another point would fare no better
};

class Job {
 public:
  // Starts the process. It writes the history of a judged run into the results folder itself.
  Job(const Point& point, std::uint32_t repeat, RunWorld run, const std::filesystem::path& folder);
  Job(Job&& other) noexcept;
  Job& operator=(Job&&) = delete;
  ~Job();  // ends the process and its children when they still run

  int descriptor() const { return pipe_; }  // readable when the job has something to tell
  bool read_some();                         // false: the job has told all and is gone; result() is there
  JobResult result() const;
  void interrupt();  // asks the process to end in good order
  const Point& point() const { return *point_; }
  std::uint32_t repeat() const { return repeat_; }

 private:
  void reap();

  const Point* point_;
  std::uint32_t repeat_;
  pid_t pid_ = -1;
  int pipe_ = -1;
  int status_ = 0;
  std::string told_;
};

}  // namespace slipstream::cli
