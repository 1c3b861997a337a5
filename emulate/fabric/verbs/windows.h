// The grants of one node: memory that a peer may write to and read from, each a type 2B memory window bound to the
// queue pair of one channel.
//
// A window lies over a registration of exactly the range that is granted: SoftRoCE checks a window's queue pair but, of
// its range, only that of the registration below it; other cards check both. A range that was granted once is likely
// to be granted again (replica buffers), so registrations are kept, a bounded number of them.
//
// A window is used by one channel only, and is younger than its queue pair. When a process is killed its kernel
// destroys what it had, the youngest first; SoftRoCE's queue pair waits for the windows bound to it, and would wait for
// an older one until its patience ends: 50 s for each, in which the process does not die.
#pragma once

#include <infiniband/verbs.h>

#include <cstdint>
#include <list>
#include <vector>

#include "core/fabric/fabric.h"
#include "emulate/fabric/verbs/device.h"

namespace slipstream::emulate::verbs {

class Windows {
 public:
  explicit Windows(const Device& device) : device_(device) {}
  Windows(const Windows&) = delete;
  Windows& operator=(const Windows&) = delete;

  struct Range {
    Bytes memory;
    Owned<ibv_mr> registration;
    std::uint32_t windows = 0;  // that lie over it
  };
  struct Window {
    Owned<ibv_mw> window;
    Range* range = nullptr;
    std::uint32_t bound_key = 0;  // 0: free
  };

  // Windows of one channel that are not bound.
  using Free = std::vector<Owned<ibv_mw>>;
  // One of the free ones, or a new one, over the memory. Throws with a remedy when there is none to be had.
  Window open(Bytes memory, Free& free);
  // Of a window whose invalidation has completed; the channel will use it again.
  void give_back(Window window, Free& free);
  // Ends a window whatever its state is: nothing can pass through it any more.
  void destroy(Window window);

 private:
  Range& range_of(Bytes memory);
  void forget_unused();

  const Device& device_;
  std::list<Range> ranges_;  // addresses must stay; the longest unused first
  std::size_t unused_ = 0;
};

// A grant of a channel, as the granter knows it.
struct Grant {
  enum class Stage : std::uint8_t { kOffered, kKnown, kEnding };

  RemoteKey key = 0;
  Ticket ticket = 0;  // of the op that the other end has not answered
  Windows::Window window;
  Stage stage = Stage::kOffered;
};

}  // namespace slipstream::emulate::verbs
