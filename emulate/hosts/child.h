// The part of run_processes() that runs in a child: one node, one loop, one report.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "emulate/hosts/plan.h"
#include "emulate/loop/clock.h"

namespace slipstream::emulate {

// In memory that the driver and its children share.
struct SharedRun {
  std::atomic<bool> stop{false};  // ends every loop
  std::atomic<bool> go{false};    // all are ready: `origin` is time 0
  std::atomic<Ticks> origin{0};
  std::atomic<std::uint32_t> ready{0};  // children that have made their node
};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<Ticks>::is_always_lock_free);

// How a child ends when it is not killed.
enum ChildStatus : int {
  kChildReported = 0,
  kChildTrouble = 10,   // why is in its state file
  kChildEndedRun = 11,  // reported, too
  kChildStopped = 12,   // before it began
  kChildRetired = 13,   // its node takes no more part; reported, too
};

// One life of a node, and what it stands on.
struct LifeOptions {
  const RunPlan& plan;
  const EmulateOptions& options;
  const RunDirectories& directories;
  NodeId node = kNoNode;
  std::uint32_t life = 1;
};

struct ChildFiles {
  std::string report;
  std::string record;
  std::string state;
  std::string errors;
  std::string pid;
};
ChildFiles child_files(const std::string& run_directory, NodeId node);

// Whole or not there: written beside, then renamed. Throws std::runtime_error.
void write_file(const std::string& path, ConstBytes bytes);
// Empty when it is not there.
std::string read_file(const std::string& path);

// The files of the node's regions, whatever a later life would find in them.
void remove_regions(const std::string& run_directory, NodeId node);

// Never returns. `driver` is the parent's process id.
[[noreturn]] void run_child(const LifeOptions& life, Listeners& listeners, Clock clock, SharedRun& shared, int driver);

}  // namespace slipstream::emulate
