// The processes of a run: one for each node's life, forked without exec. A node may have several lives, one after the
// other; what a life leaves behind (memory, storage, files) is the next one's.
#pragma once

#include <sys/types.h>

#include <vector>

#include "core/node/faults.h"
#include "emulate/hosts/child.h"
#include "emulate/hosts/interrupt.h"
#include "emulate/hosts/plan.h"
#include "emulate/loop/clock.h"

namespace slipstream::emulate {

// The latest life of a node.
struct Child {
  NodeId id = kNoNode;
  std::uint32_t life = 0;  // counted from 1; 0: not started yet
  pid_t pid = 0;
  int pidfd = -1;  // readable when it has ended
  bool running = false;
  bool put_down = false;             // by us, after the grace time
  const Fault* killed_by = nullptr;  // the planned crash
  int status = 0;                    // as of waitpid()
};

// None of the processes outlives this object.
class Children {
 public:
  // All must outlive it.
  Children(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories, Listeners& listeners,
           SharedRun& shared);
  ~Children();
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // The next life of the node; its life before has ended. In a child it does not return. Throws std::runtime_error.
  void start(NodeId node, const Clock& clock);

  // Waits at most `timeout_ns` for an end of one that runs; returns all that have ended since the last call, in the
  // order in which it was seen. What it returns is good until the next call.
  const std::vector<Child*>& collect(TimeNs timeout_ns);

  Child& operator[](NodeId node) { return children_.at(index(node)); }
  // To the node's process; nothing when there is none.
  void signal(NodeId node, int number);
  void put_down_all();
  std::size_t count_running() const;

 private:
  const RunPlan& plan_;
  const EmulateOptions& options_;
  const RunDirectories& directories_;
  Listeners& listeners_;
  SharedRun& shared_;
  std::vector<Child> children_;
  std::vector<Child*> ended_;
  // Where SIGCHLD is ignored (it may be inherited so), nobody learns how a child ended.
  const SignalSetting children_are_told_of_;
};

}  // namespace slipstream::emulate
