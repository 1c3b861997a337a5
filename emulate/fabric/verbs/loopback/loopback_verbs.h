// A stand-in for libibverbs within one process, for tests and benchmarks alone: one RoCE v2 device, "loopback0", with
// the addresses 127.0.0.1 to 127.0.0.8. A program that calls use() and links this module before libibverbs gets the
// functions of <infiniband/verbs.h> from here; there is no other way in.
//
// What is kept is what the InfiniBand Architecture Specification 1.3 promises to a program and no more (10.6.7 memory
// windows, 10.8.3 order of requests, 9.7.5.1 and 9.9 errors). With a seed the stand-in is as unkind as it may be: of
// what is posted little happens at a time, queue pairs take turns at random, the bytes of a write land in pieces in any
// order before its completion, and what a queue pair had sent before its end may land after it. Without a seed all is
// carried out as it is posted. One thread at a time, but any number of contexts.
//
// What a card would do to its user's memory, or would leave undefined, stops the program: a completion queue that
// overflows, objects that are closed before what lies on them.
#pragma once

#include <cstddef>
#include <cstdint>

#include <infiniband/verbs.h>

namespace slipstream::emulate::loopback_verbs {

struct Options {
  std::uint64_t seed = 0;              // 0: at once
  std::uint32_t most_inline = 220;     // bytes of a request; a pair that asks for more is refused
  std::uint32_t most_message = kMost;  // bytes of a request
  static constexpr std::uint32_t kMost = 1U << 30;
};

// From here on, and counted from here. No device may be open.
void use(const Options& options);

// Carries out some of what is under way; false: nothing is. Every look at a completion queue does so, too.
bool advance();

// A queue pair, drawn, goes to its error state at that moment (Counters::moments); 0: none does.
void break_at(std::uint64_t moment);

// All open contexts hear of it, as of the loss of the port.
void raise(ibv_event_type event);

struct Counters {
  std::uint64_t moments = 0;  // calls and steps at which something could go wrong
  std::uint64_t sends = 0;    // carried out
  std::uint64_t writes = 0;
  std::uint64_t reads = 0;
  std::uint64_t binds = 0;
  std::uint64_t rejected = 0;   // posts that failed: no room, or not allowed
  std::uint64_t refused = 0;    // by the other end: a key that is not its own, or beyond its range
  std::uint64_t not_ready = 0;  // SENDs that met no posted receive
  std::uint64_t late = 0;       // pieces that landed after the end of their pair
  std::uint64_t broken = 0;     // pairs that went to their error state
};
const Counters& counters();

}  // namespace slipstream::emulate::loopback_verbs
