#include "emulate/hosts/processes.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "emulate/hosts/child.h"
#include "emulate/hosts/interrupt.h"
#include "emulate/hosts/run_directory.h"
#include "emulate/loop/clock.h"

namespace slipstream::emulate {
namespace {

constexpr TimeNs kGrace = 3 * kSecond;  // for a child to end by itself once the run is over
constexpr int kLookMs = 100;            // how often signals and limits are looked at
constexpr int kStartingLookMs = 1;
constexpr std::size_t kLastWords = 2000;  // bytes of a child's stderr that are told

class SharedMemory {
 public:
  SharedMemory() {
    void* const memory = mmap(nullptr, sizeof(SharedRun), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error(fmt::format("no shared memory: {}", std::strerror(errno)));
    run_ = new (memory) SharedRun;
  }
  ~SharedMemory() { munmap(run_, sizeof(SharedRun)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  SharedRun& operator*() const { return *run_; }

 private:
  SharedRun* run_ = nullptr;
};

struct Child {
  NodeId id = kNoNode;
  pid_t pid = 0;
  int pidfd = -1;  // readable when it has ended
  bool running = false;
  bool put_down = false;  // by us, after the grace time
  int status = 0;         // as of waitpid()
};

// The children of a run. None of them outlives this object.
class Children {
 public:
  // Where SIGCHLD is ignored (it may be inherited so), nobody learns how a child ended.
  Children() {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, &before_);
  }
  ~Children() {
    kill_all();
    while (count_running() != 0) collect(kLookMs);
    sigaction(SIGCHLD, &before_, nullptr);
  }
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // In a child it does not return.
  void start(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories,
             Listeners& listeners, const Clock& clock, SharedRun& shared) {
    const pid_t driver = getpid();
    std::fflush(nullptr);  // what is buffered now would be written by every child
    children_.reserve(plan.nodes);
    for (std::uint16_t i = 0; i < plan.nodes; ++i) {
      const pid_t pid = fork();
      if (pid == 0) run_child(plan, options, directories, NodeId{i}, listeners, clock, shared, driver);
      if (pid < 0)
        throw std::runtime_error(fmt::format("cannot start a process: {}; fewer nodes, or a higher limit (ulimit -u)",
                                             std::strerror(errno)));
      Child& child = children_.emplace_back();
      child.id = NodeId{i};
      child.pid = pid;
      child.pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
      child.running = true;
      const std::string line = fmt::format("{}\n", pid);
      write_file(child_files(directories.run(), child.id).pid, std::as_bytes(std::span(line)));
    }
  }

  // Waits at most `timeout_ms` for an end of one that runs, and notes all that have ended.
  void collect(int timeout_ms) {
    std::vector<pollfd> polled;
    for (const Child& child : children_) {
      if (child.running) polled.push_back({child.pidfd, POLLIN, 0});  // a descriptor below 0 is skipped
    }
    poll(polled.data(), polled.size(), timeout_ms);
    for (Child& child : children_) {
      if (!child.running) continue;
      if (waitpid(child.pid, &child.status, WNOHANG) != child.pid) continue;
      child.running = false;
      close(child.pidfd);
      ended_.push_back(&child);
    }
  }

  void kill_all() {
    for (Child& child : children_) {
      if (!child.running) continue;
      child.put_down = true;
      kill(child.pid, SIGKILL);
    }
  }

  std::size_t count_running() const { return children_.size() - ended_.size(); }
  const std::vector<const Child*>& ended() const { return ended_; }  // in the order in which it was seen

 private:
  std::vector<Child> children_;
  std::vector<const Child*> ended_;
  struct sigaction before_ {};
};

bool was_killed(const Child& child) { return WIFSIGNALED(child.status); }
bool has_exited(const Child& child, int status) {
  return WIFEXITED(child.status) && WEXITSTATUS(child.status) == status;
}

std::string last_words(const std::string& run_directory, NodeId id) {
  std::string text = read_file(child_files(run_directory, id).errors);
  if (text.size() > kLastWords) text = text.substr(text.size() - kLastWords);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? text : fmt::format("; its last words: {}", text);
}

std::string killed(const RunPlan& plan, const std::string& run_directory, const Child& child) {
  return fmt::format("{} (process {}) was killed by {}{}", plan.name(child.id), child.pid,
                     signal_name(WTERMSIG(child.status)), last_words(run_directory, child.id));
}

std::string states(const RunPlan& plan, const std::string& run_directory, const Children& children) {
  std::string text;
  for (const Child* child : children.ended()) {
    const std::string state = read_file(child_files(run_directory, child->id).state);
    text += fmt::format("\n  {}: {}", plan.name(child->id), state.empty() ? "did not stop, was killed" : state);
  }
  return text;
}

// Why the run failed, the cause before what it brought about; empty when it did not.
std::string trouble_of(const RunPlan& plan, const EmulateOptions& options, const std::string& run_directory,
                       const Children& children, int signal) {
  if (signal != 0) return interrupted(signal);  // the children may have got it, too
  bool is_done = false;
  bool is_whole = true;
  for (const Child* child : children.ended()) {
    if (was_killed(*child) && !child->put_down) return killed(plan, run_directory, *child);
    is_done = is_done || has_exited(*child, kChildEndedRun);
    is_whole = is_whole && !was_killed(*child);
  }
  for (const Child* child : children.ended()) {
    if (!WIFEXITED(child->status)) continue;
    if (has_exited(*child, kChildReported) || has_exited(*child, kChildEndedRun)) continue;
    const std::string why = read_file(child_files(run_directory, child->id).state);
    if (why.empty() && has_exited(*child, kChildStopped)) continue;
    return fmt::format("{}: {}{}", plan.name(child->id),
                       why.empty() ? fmt::format("ended with status {}", WEXITSTATUS(child->status)) : why,
                       last_words(run_directory, child->id));
  }
  if (!is_done) return late(options) + states(plan, run_directory, children);
  if (!is_whole) return "a node did not stop at the end of the run:" + states(plan, run_directory, children);
  return {};
}

// Waits until all have made their nodes, then lets them go. False: one has ended, or the run was stopped.
bool start_clock(Children& children, const RunPlan& plan, SharedRun& shared, TimeNs limit_ns, Clock& clock) {
  clock.restart();
  while (shared.ready.load() < plan.nodes) {
    children.collect(kStartingLookMs);
    if (!children.ended().empty() || shared.stop.load() || clock.now() > limit_ns) return false;
  }
  clock.restart();
  shared.origin.store(clock.origin());
  shared.go.store(true);
  return true;
}

void end_all(Children& children, SharedRun& shared, const Clock& clock) {
  shared.stop.store(true);
  const TimeNs latest = clock.now() + kGrace;
  while (children.count_running() != 0 && clock.now() < latest) children.collect(kLookMs);
  children.kill_all();
  while (children.count_running() != 0) children.collect(kLookMs);
}

}  // namespace

RunResult run_processes(const RunPlan& plan, const EmulateOptions& options) {
  const SharedMemory memory;
  SharedRun& shared = *memory;
  const InterruptGuard interrupt(shared.stop);
  const RunDirectories directories(options.run_directory, options.storage_directory, options.keep_run_directory);
  Listeners listeners(plan, options);
  Clock clock = Clock::calibrated();
  Children children;
  children.start(plan, options, directories, listeners, clock, shared);
  listeners.close_all();

  if (start_clock(children, plan, shared, options.time_limit_ns, clock)) {
    while (children.ended().empty() && !shared.stop.load() && clock.now() < options.time_limit_ns)
      children.collect(kLookMs);
  }
  RunResult result;
  result.wall_seconds = static_cast<double>(clock.now()) / kSecond;
  end_all(children, shared, clock);
  result.interrupted_by = interrupt.signal();
  result.trouble = trouble_of(plan, options, directories.run(), children, result.interrupted_by);
  result.run_directory = directories.kept();
  if (!result.trouble.empty()) return result;
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    std::fputs(read_file(child_files(directories.run(), NodeId{i}).errors).c_str(), stderr);
    const std::string bytes = read_file(child_files(directories.run(), NodeId{i}).report);
    result.reports.push_back(decode_report(std::as_bytes(std::span(bytes))));
  }
  return result;
}

}  // namespace slipstream::emulate
