// `slipstream swarm`: scenarios by the thousand (sim/scenario.h), each drawn from its seed, in search of one that
// loses, tears, duplicates or never finishes something. Each that does ends in one line that reproduces it. With
// mutants: how many seeds it takes until each planted bug (core/base/mutation.h) is noticed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace slipstream::cli {

struct SwarmRequest {
  std::optional<std::uint64_t> seeds;  // how many; neither this nor minutes: 1000
  std::optional<double> minutes;       // for so long
  std::optional<std::uint64_t> first;  // the first seed; absent: drawn, and told
  std::optional<std::uint64_t> seed;   // this one alone, told in full
  unsigned jobs = 0;                   // processes; 0: one for each core
  std::string policy;                  // empty: any of the safe ones
  bool trace = false;                  // with seed: its story
  std::string history;                 // with seed: its history goes to this file, as JSON lines
  bool mutants = false;
  std::string mutant;  // with mutants: this one alone; with seed: planted
  bool json = false;
};

// Exit status 4 when anything was violated (mutants: when one was not caught).
int swarm_command(const SwarmRequest& request);

}  // namespace slipstream::cli
