// Processes that run seeds: one scenario after the other, each seed in exactly one of them. A process that dies or
// hangs in the middle of a seed is a verdict on that seed, and is replaced.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace slipstream::cli {

// What is known of a seed that was run.
struct SeedResult {
  std::uint64_t seed = 0;
  std::string violation;  // in words; empty: none
  std::uint64_t operations = 0;
  std::uint64_t faults = 0;
  std::uint64_t recoveries = 0;
};

struct WorkersOptions {
  std::uint64_t first = 0;
  std::uint64_t count = 0;  // 0: until `goes_on` says no
  unsigned jobs = 1;
  unsigned hang_s = 60;  // a seed that takes longer has hung
};

// Runs `run` for first, first + 1, ... in processes of their own and calls `take` for each result, in any order. Ends
// when all are done, or `goes_on` (asked after every result, and now and then) says no; nothing is left running.
void run_seeds(const WorkersOptions& options, const std::function<SeedResult(std::uint64_t seed)>& run,
               const std::function<void(const SeedResult&)>& take, const std::function<bool()>& goes_on);

}  // namespace slipstream::cli
