// Choices between two things that are both right, of which the usual one is taken nearly always, so that the other is
// hardly ever seen: a write smaller than it could be, a refusal without need. A world that hunts for faults takes the
// unusual one now and then (sim: SimOptions::rare_one_in); every other world never does.
// Source: FoundationDB's "buggification" (Zhou et al., SIGMOD'21, section 4.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/rng.h"

namespace slipstream {

enum class Rare : std::uint8_t {
  kSmallWrite,          // a replication write takes only some of the bytes that could go
  kRefusedOpen,         // a backup refuses a segment though it has a buffer
  kEarlyRoll,           // a head is left before it is full
  kSmallAnswer,         // recovery data comes entry by entry
  kSmallCache,          // a backup forgets a segment that it read for a recovery
  kFalseSuspicion,      // a server is suspected that had no time to answer
  kNeedlessCompaction,  // a slot is compacted though memory is free
  kNeedlessCleaning,    // segments are cleaned though memory is free
  kManyPieces,          // the tablets of a dead master are split into more pieces than its size asks for
  kImpatience,          // a client asks again long before its time-out
};
inline constexpr std::size_t kRares = static_cast<std::size_t>(Rare::kImpatience) + 1;
std::string_view name(Rare rare);  // "small-write", ...

// Draws the choices of one node. Invariant: the same seed, node and questions give the same answers.
class RareChoices {
 public:
  RareChoices(std::uint64_t seed, std::uint64_t node, std::uint32_t one_in)
      : rng_(seed, "rare", node), one_in_(one_in) {}

  bool takes(Rare rare) {
    if (rng_.below(one_in_) != 0) return false;
    ++taken_[static_cast<std::size_t>(rare)];
    return true;
  }
  // Uniform in [0, bound), for how a choice is carried out.
  std::uint64_t below(std::uint64_t bound) { return rng_.below(bound); }
  std::uint64_t taken(Rare rare) const { return taken_[static_cast<std::size_t>(rare)]; }

 private:
  Rng rng_;
  std::uint32_t one_in_;  // 1 or more
  std::array<std::uint64_t, kRares> taken_{};
};

}  // namespace slipstream
