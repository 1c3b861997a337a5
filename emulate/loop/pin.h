// Binding a thread to a core, and which cores there are for us.
#pragma once

#include <sched.h>

#include <cstdint>

namespace slipstream::emulate {

// Cores that this process may run on (its affinity), at least 1.
std::uint32_t usable_cores();

// A core by the number that the kernel gives it.
struct Cpu {
  std::uint32_t number = 0;
};

// While it lives, the calling thread runs only on the `which`-th of the cores it could use before, round-robin, or on a
// core that is named. A kernel that refuses leaves the thread where it is.
class Pin {
 public:
  explicit Pin(std::uint32_t which);
  explicit Pin(Cpu cpu);
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

  bool holds() const { return pinned_; }

 private:
  void pin_to(int cpu);

  cpu_set_t before_{};
  bool pinned_ = false;
};

// While it lives, the calling thread, and each that it starts, stays off the first `count` of its cores, which are for
// pinned loops. Does nothing where there are no others.
class KeepOff {
 public:
  explicit KeepOff(std::uint32_t count);
  ~KeepOff();
  KeepOff(const KeepOff&) = delete;
  KeepOff& operator=(const KeepOff&) = delete;

 private:
  cpu_set_t before_{};
  bool moved_ = false;
};

}  // namespace slipstream::emulate
