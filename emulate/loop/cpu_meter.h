// CPU time per node and role, measured beside the ledger.
//
// What is measured: TSC ticks between the points where a turn changes sides. A turn that has events or a passed
// deadline is charged: poll() and post() of fabric and storage to "fabric" (over tcp these are the system calls, over
// shm also the copying that a NIC would do), step() to the role it is in. A poll that brings nothing is charged to
// nobody: it says nothing about what an operation costs, and a loop polls for all its nodes.
//
// Ticks also pass while the thread is preempted. So the loop notes its thread's CPU time (CLOCK_THREAD_CPUTIME_ID) at a
// window's two marks; what is charged is scaled by the share of its unwaiting time that the loop was really running:
//   share = (thread CPU time - CPU time of waits) / (time between the marks - time in waits), at most 1.
// Waits are yields and sleeps; their own CPU time is sampled (every 16th). The share is a mean over the window:
// preemption is taken to hit turns and idle polls alike. It is not less than that of the whole time: a thread runs
// least in its waits. (Where waits take nearly all of the thread's CPU time, the sample alone may say that all else
// took none.)
//
// Cost: 4 tick reads per turn that is not empty, one more per change of role in it; one per empty poll.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/ledger.h"
#include "core/turn/outbox.h"
#include "emulate/loop/clock.h"

namespace slipstream::emulate {

struct CpuTicks {
  std::array<Ticks, kRoles> role{};
  Ticks fabric = 0;
};

class CpuMeter final : public RoleMeter {
 public:
  void enter(Role role) override {
    charge(ticks());
    role_ = role;
  }
  void start_step(Ticks now) { since_ = now; }
  void end_step(Ticks now) { charge(now); }
  void add_fabric(Ticks spent) { spent_.fabric += spent; }
  const CpuTicks& spent() const { return spent_; }

 private:
  void charge(Ticks now) {
    spent_.role[static_cast<std::size_t>(role_)] += now - since_;
    since_ = now;
  }

  CpuTicks spent_;
  Ticks since_ = 0;
  Role role_ = Role::kClient;  // as an Outbox starts
};

// The CPU time that a loop's waits take themselves, from a sample of them.
class WaitMeter {
 public:
  bool is_sampled() { return count_++ % kEvery == 0; }
  void add_sample(TimeNs cpu_ns) {
    ++samples_;
    sampled_cpu_ns_ += cpu_ns;
  }
  double cpu_ns() const {
    return samples_ == 0
               ? 0.0
               : static_cast<double>(sampled_cpu_ns_) * static_cast<double>(count_) / static_cast<double>(samples_);
  }

 private:
  static constexpr std::uint64_t kEvery = 16;
  std::uint64_t count_ = 0;
  std::uint64_t samples_ = 0;
  TimeNs sampled_cpu_ns_ = 0;
};

// All counters of a node and of its loop's thread at one moment.
struct Snapshot {
  TimeNs now_ns = 0;
  Ledger ledger;
  CpuTicks cpu;
  std::uint64_t network_bytes = 0;
  Ticks loop_at = 0;              // when, for the loop
  Ticks loop_waited = 0;          // ticks in waits so far
  double loop_waited_cpu_ns = 0;  // CPU time of these
  TimeNs loop_cpu_ns = 0;         // CPU time of the thread so far
};

// What a node did between two moments.
struct Usage {
  Ledger ledger;
  std::array<std::uint64_t, kRoles> cpu_ns{};
  std::uint64_t fabric_cpu_ns = 0;
  std::uint64_t network_bytes = 0;
  TimeNs window_ns = 0;
  double running_share = 1;  // of its unwaiting time that the loop was not preempted
};

Usage between(const Snapshot& start, const Snapshot& end, double ns_per_tick);

}  // namespace slipstream::emulate
