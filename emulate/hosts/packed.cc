#include "emulate/hosts/packed.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>

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
  for (std::uint16_t i = 0; i < plan.nodes; ++i) text += describe_line(plan, NodeId{i}, *nodes[i].node);
  return text;
}

}  // namespace

RunResult run_packed(const RunPlan& plan, const EmulateOptions& options) {
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
  std::vector<std::unique_ptr<Loop>> loops;
  for (std::uint32_t i = 0; i < count; ++i) {
    loops.push_back(std::make_unique<Loop>(clock, idle_for(count, cores), plan.seed, stop));
  }
  for (std::uint16_t i = 0; i < plan.nodes; ++i) loops[i % count]->seat(nodes[i].seat(plan, NodeId{i}));

  std::vector<LoopEnd> ends(count);
  run_loops(loops, ends, options);

  RunResult result;
  result.wall_seconds = static_cast<double>(clock.now()) / kSecond;
  result.interrupted_by = interrupt.signal();
  result.trouble = trouble_of(plan, options, ends, nodes, result.interrupted_by);
  result.run_directory = directories.kept();
  if (!result.trouble.empty()) return result;
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    result.reports.push_back(report_of(plan, NodeId{i}, *nodes[i].node, loops[i % count]->usage(i / count)));
  }
  return result;
}

}  // namespace slipstream::emulate
