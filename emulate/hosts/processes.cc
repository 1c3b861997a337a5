#include "emulate/hosts/processes.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>

#include <fmt/format.h>

#include "emulate/hosts/child.h"
#include "emulate/hosts/children.h"
#include "emulate/hosts/driver.h"
#include "emulate/hosts/faults.h"
#include "emulate/hosts/interrupt.h"
#include "emulate/hosts/node_end.h"
#include "emulate/hosts/run_directory.h"
#include "emulate/loop/clock.h"

namespace slipstream::emulate {
namespace {

constexpr TimeNs kStartingLook = kMillisecond;

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

// Waits until all have made their nodes, then lets them go. False: one has ended, or the run was stopped.
bool start_clock(Driver& driver, Children& children, const RunPlan& plan, SharedRun& shared, TimeNs limit_ns,
                 Clock& clock) {
  clock.restart();
  while (shared.ready.load() < plan.nodes) {
    if (driver.has_ended(children.collect(kStartingLook)) || shared.stop.load() || clock.now() > limit_ns) return false;
  }
  clock.restart();
  shared.origin.store(clock.origin());
  shared.go.store(true);
  return true;
}

// Of its last life. All zero when that one could not tell: the node is away.
NodeReport report_of(const RunPlan& plan, const std::string& run_directory, NodeId node) {
  const std::string bytes = read_file(child_files(run_directory, node).report);
  if (!bytes.empty()) return decode_report(std::as_bytes(std::span(bytes)));
  NodeReport report;
  report.node = node;
  report.kind = plan.kind(node);
  return report;
}

}  // namespace

RunResult run_processes(const RunPlan& plan, const EmulateOptions& options) {
  refuse_faults(plan, options);
  const SharedMemory memory;
  SharedRun& shared = *memory;
  const InterruptGuard interrupt(shared.stop);
  RunDirectories directories(options.run_directory, options.storage_directory, options.keep_run_directory);
  Listeners listeners(plan, options);
  Clock clock = Clock::calibrated();
  Children children(plan, options, directories, listeners, shared);
  for (std::uint16_t i = 0; i < plan.nodes; ++i) children.start(NodeId{i}, clock);
  listeners.close_listening();

  Driver driver(plan, options, directories, children);
  if (start_clock(driver, children, plan, shared, options.time_limit_ns, clock)) driver.run(clock, shared.stop);
  RunResult result;
  const TimeNs end_ns = clock.now();
  result.wall_seconds = static_cast<double>(end_ns) / kSecond;
  driver.end_all(clock, shared.stop);
  result.interrupted_by = interrupt.signal();
  tell_observer(plan, options, directories, driver.marks(), end_ns);
  const std::vector<NodeEnd> ends = driver.ends();
  result.trouble = trouble_of(plan, options, ends, result.interrupted_by);
  const auto in_trouble = [](const NodeEnd& end) { return end.how == NodeEnd::How::kTrouble; };
  if (options.keep_when_in_trouble && result.interrupted_by == 0 && std::any_of(ends.begin(), ends.end(), in_trouble)) {
    directories.keep();
  }
  result.run_directory = directories.kept();
  result.crashes = driver.crashes();
  for (std::uint16_t i = 0; i < plan.nodes; ++i) result.lives.push_back(children[NodeId{i}].life);
  if (!result.trouble.empty()) return result;
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    std::fputs(read_file(child_files(directories.run(), NodeId{i}).errors).c_str(), stderr);
    result.reports.push_back(report_of(plan, directories.run(), NodeId{i}));
    const std::string record = read_file(child_files(directories.run(), NodeId{i}).record);
    const ConstBytes bytes = std::as_bytes(std::span(record));
    result.records.emplace_back(bytes.begin(), bytes.end());
  }
  return result;
}

}  // namespace slipstream::emulate
