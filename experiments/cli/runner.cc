#include "experiments/cli/runner.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <list>
#include <map>
#include <set>

#include <poll.h>

#include <fmt/format.h>

#include "emulate/hosts/run_directory.h"
#include "experiments/cli/job.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/signals.h"

namespace slipstream::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kGrace = std::chrono::seconds(10);  // for a run to end in good order
constexpr auto kSweep = std::chrono::seconds(2);   // for the nodes of a killed run to let go of their memory
constexpr int kLookMs = 200;

struct Task {
  const Point* point;
  std::uint32_t repeat;
};

class Runner {
 public:
  Runner(ResultsFolder& folder, std::size_t jobs, std::vector<Task> tasks, RunWorld run_one, Progress& progress,
         RunSummary& summary)
      : folder_(folder),
        jobs_(jobs),
        tasks_(std::move(tasks)),
        run_world_(run_one),
        progress_(progress),
        summary_(summary) {}

  void run() {
    try {
      run_all();
    } catch (...) {
      end_running();
      throw;
    }
  }

 private:
  struct Running {
    Job job;
    std::size_t task;
  };

  void run_all() {
    while (next_ < tasks_.size() || !running_.empty()) {
      if (signals_caught() != 0) return stop(true);
      while (may_start()) start();
      progress_.show(running_.empty() ? "" : running_.front().job.point().label);
      wait();
      if (give_up_) return stop(false);
    }
  }

  bool may_start() const {
    if (next_ == tasks_.size()) return false;
    if (running_.empty()) return true;
    const bool simulated = tasks_[next_].point->world == World::kSim;
    return simulated && running_.front().job.point().world == World::kSim && running_.size() < jobs_;
  }

  void start() {
    running_.push_back({Job(*tasks_[next_].point, tasks_[next_].repeat, run_world_, folder_.path()), next_});
    ++next_;
  }

  void wait() {
    std::vector<pollfd> polled;
    for (const Running& running : running_) polled.push_back({running.job.descriptor(), POLLIN, 0});
    if (::poll(polled.data(), polled.size(), kLookMs) <= 0) return;
    auto running = running_.begin();
    for (const pollfd& poll : polled) {
      const auto current = running++;
      if (poll.revents == 0 || current->job.read_some()) continue;
      take(*current);
      running_.erase(current);
    }
  }

  void take(const Running& running) {
    JobResult result = running.job.result();
    if (!result.record && signals_caught() == 0) {
      ++summary_.failed;
      if (problems_.insert(result.problem).second) {
        summary_.failures.push_back(fmt::format("{}: {}", running.job.point().label, result.problem));
      }
      give_up_ = give_up_ || result.is_setup;
    }
    if (result.record) progress_.finished();
    ready_.emplace(running.task, std::move(result.record));
    write_ready(false);
  }

  // Writes what has no unfinished run before it; `all`: also what has.
  void write_ready(bool all) {
    while (!ready_.empty() && (all || ready_.begin()->first == written_)) {
      auto record = std::move(ready_.begin()->second);
      written_ = ready_.begin()->first + 1;
      ready_.erase(ready_.begin());
      if (!record) continue;
      folder_.add(*record);
      ++summary_.finished;
    }
  }

  // What is finished is kept, what runs is dropped.
  void stop(bool interrupted) {
    summary_.interrupted = interrupted;
    end_running();
    write_ready(true);
  }

  // Lets what runs end in good order, until patience or the user's (a second Ctrl-C) is at its end.
  void end_running() {
    for (Running& running : running_) running.job.interrupt();
    const auto patience = Clock::now() + kGrace;
    while (!running_.empty() && Clock::now() < patience && signals_caught() < 2) {
      running_.remove_if([](Running& running) {
        pollfd poll{running.job.descriptor(), POLLIN, 0};
        return ::poll(&poll, 1, kLookMs) > 0 && !running.job.read_some();
      });
    }
    const bool leaves_memory = std::any_of(running_.begin(), running_.end(), [](const Running& running) {
      return running.job.point().world == World::kEmulate;
    });
    running_.clear();
    // A run that was killed could not remove its folder; its nodes, which hold it, need a moment to go.
    const auto sweeping = Clock::now() + kSweep;
    while (leaves_memory && emulate::remove_abandoned("/dev/shm") == 0 && Clock::now() < sweeping) {
      ::poll(nullptr, 0, kLookMs);
    }
  }

  ResultsFolder& folder_;
  std::size_t jobs_;
  std::vector<Task> tasks_;
  RunWorld run_world_;
  Progress& progress_;
  RunSummary& summary_;
  std::list<Running> running_;
  std::map<std::size_t, std::optional<PointRecord>> ready_;  // by task
  std::set<std::string> problems_;
  std::size_t next_ = 0;
  std::size_t written_ = 0;  // tasks before this one are in the folder, or failed
  bool give_up_ = false;
};

}  // namespace

RunSummary run_points(const Spec& spec, const std::vector<Point>& points, ResultsFolder& folder, std::size_t jobs,
                      bool show_progress, RunWorld run) {
  RunSummary summary;
  std::vector<Task> tasks;
  for (const World world : spec.base.worlds) {
    for (std::uint32_t repeat = 0; repeat < spec.base.repeats; ++repeat) {
      for (const Point& point : points) {
        if (point.world != world) continue;
        ++summary.runs;
        if (folder.has(point.id, repeat))
          ++summary.skipped;
        else
          tasks.push_back({&point, repeat});
      }
    }
  }
  Progress progress(show_progress, summary.runs, summary.skipped);
  if (summary.skipped > 0) {
    progress.say(fmt::format("{} of {} runs are in {} already and are not made again", summary.skipped, summary.runs,
                             folder.path().string()));
  }
  SignalWatch watch;
  Runner(folder, std::max<std::size_t>(jobs, 1), std::move(tasks), run, progress, summary).run();
  return summary;
}

}  // namespace slipstream::cli
