#include "emulate/hosts/packed.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "emulate/hosts/faults.h"
#include "emulate/hosts/interrupt.h"
#include "emulate/hosts/run_directory.h"
#include "emulate/loop/loop.h"
#include "emulate/loop/pin.h"

namespace slipstream::emulate {
namespace {

void run_loops(std::vector<std::unique_ptr<Loop>>& loops, std::vector<LoopEnd>& ends, const EmulateOptions& options) {
  const auto drive = [&](std::size_t i) {
    std::optional<Pin> pin;
    if (options.pin) pin.emplace(static_cast<std::uint32_t>(i));
    ends[i] = loops[i]->run(options.time_limit_ns);
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < loops.size(); ++i) threads.emplace_back(drive, i);
  drive(0);
  for (std::thread& thread : threads) thread.join();
}

// Nodes that crash for good. What they stood on is taken down by a thread of its own: where memory is large that takes
// long, and the loop has other nodes.
class Graves {
 public:
  Graves(const FaultPlan& plan, std::uint16_t nodes, std::uint32_t loops) : dies_ns_(nodes, kNever) {
    for (const Fault& fault : plan.faults) {
      if (fault.kind != FaultKind::kCrash) continue;
      TimeNs& dies = dies_ns_[index(fault.node)];
      dies = std::min(dies, fault.at_ns);
      is_needed_ = true;
    }
    const KeepOff loops_cores(loops);
    if (is_needed_) digger_ = std::thread([this] { dig(); });
  }
  ~Graves() { close(); }
  Graves(const Graves&) = delete;
  Graves& operator=(const Graves&) = delete;

  TimeNs dies_ns(NodeId node) const { return dies_ns_[index(node)]; }
  void take(NodeId node, Assembly made) {
    const std::lock_guard lock(mutex_);
    dead_.push_back(std::move(made));
    marks_.push_back(trace_mark(TraceKind::kDied, node, dies_ns(node)));
    ++count_;
    changed_.notify_one();
  }
  // All that was taken is down.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
      changed_.notify_one();
    }
    if (digger_.joinable()) digger_.join();
  }
  std::uint64_t count() const { return count_; }
  const std::vector<TraceRecord>& marks() const { return marks_; }

 private:
  void dig() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return is_over_ || !dead_.empty(); });
      if (dead_.empty()) return;
      Assembly made = std::move(dead_.front());
      dead_.pop_front();
      lock.unlock();
      made.node.reset();
      made.fabric.reset();  // first of all its peers learn of its death
      made.storage.reset();
      lock.lock();
    }
  }

  std::vector<TimeNs> dies_ns_;
  bool is_needed_ = false;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<Assembly> dead_;
  std::vector<TraceRecord> marks_;
  bool is_over_ = false;
  std::uint64_t count_ = 0;
  std::thread digger_;
};

NodeReport empty_report(const RunPlan& plan, NodeId id) {
  NodeReport report;
  report.node = id;
  report.kind = plan.kind(id);
  return report;
}

std::string trouble_of(const RunPlan& plan, const EmulateOptions& options, const std::vector<LoopEnd>& ends,
                       const std::vector<Assembly>& nodes, int signal) {
  const auto ended_by = [&](LoopEnd::Why why) {
    return std::find_if(ends.begin(), ends.end(), [why](const LoopEnd& end) { return end.why == why; });
  };
  if (const auto end = ended_by(LoopEnd::Why::kTrouble); end != ends.end()) {
    return end->node == kNoNode ? end->trouble : fmt::format("{}: {}", plan.name(end->node), end->trouble);
  }
  if (ended_by(LoopEnd::Why::kDone) != ends.end()) return {};
  if (signal != 0) return interrupted(signal);
  std::string text = late(options);
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    if (nodes[i].node != nullptr) text += describe_line(plan, NodeId{i}, *nodes[i].node);
  }
  return text;
}

}  // namespace

RunResult run_packed(const RunPlan& plan, const EmulateOptions& options) {
  refuse_faults(plan, options);
  std::atomic<bool> stop{false};
  const InterruptGuard interrupt(stop);
  RunDirectories directories(options.run_directory, options.storage_directory, options.keep_run_directory);
  Listeners listeners(plan, options);
  const std::uint32_t cores = usable_cores();
  const std::uint32_t count = std::min<std::uint32_t>(options.loops == 0 ? cores : options.loops, plan.nodes);
  std::vector<Assembly> nodes;
  {
    // The storages' threads begin here. A disk would not take its work from a loop's core, either.
    const KeepOff loops_cores(options.pin ? count : 0);
    for (std::uint16_t i = 0; i < plan.nodes; ++i) {
      nodes.push_back(assemble(plan, options, directories, NodeId{i}, listeners));
    }
  }
  const Clock clock = Clock::calibrated();
  for (const Assembly& node : nodes) node.start(clock);
  std::vector<std::unique_ptr<Loop>> loops;
  for (std::uint32_t i = 0; i < count; ++i) {
    loops.push_back(std::make_unique<Loop>(clock, idle_for(count, cores), plan.seed, stop));
  }
  Graves graves(options.faults, plan.nodes, options.pin ? count : 0);
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    Seat seat = nodes[i].seat(plan, NodeId{i});
    seat.dies_ns = graves.dies_ns(NodeId{i});
    seat.on_death = [&graves, &made = nodes[i], i] { graves.take(NodeId{i}, std::move(made)); };
    loops[i % count]->seat(seat);
  }

  std::vector<LoopEnd> ends(count);
  run_loops(loops, ends, options);
  const TimeNs end_ns = clock.now();
  graves.close();

  RunResult result;
  result.wall_seconds = static_cast<double>(clock.now()) / kSecond;
  tell_observer(plan, options, directories, graves.marks(), end_ns);
  result.interrupted_by = interrupt.signal();
  result.trouble = trouble_of(plan, options, ends, nodes, result.interrupted_by);
  result.run_directory = directories.kept();
  result.crashes = graves.count();
  if (!result.trouble.empty()) return result;
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    if (nodes[i].node == nullptr) {
      result.reports.push_back(empty_report(plan, NodeId{i}));
      result.records.emplace_back();
      continue;
    }
    result.reports.push_back(report_of(plan, NodeId{i}, nodes[i], loops[i % count]->usage(i / count)));
    result.records.push_back(plan.record ? plan.record(*nodes[i].node) : std::vector<std::byte>());
  }
  return result;
}

}  // namespace slipstream::emulate
