// The work ledger: core says what it did wherever the cost depends on hardware; a world turns that into time (sim) or
// prints it beside the measured CPU time (emulate). Counting is an add; nothing here knows a cost.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace slipstream {

// On whose behalf work is done. A server node is a primary and a backup at once.
enum class Role : std::uint8_t { kClient, kPrimary, kBackup, kCoordinator, kCount };

enum class Work : std::uint8_t {
  // Transport: done by the core that drives the NIC.
  kMessageIn,         // a message taken from the fabric
  kMessageOut,        // a message handed to the fabric
  kControlMessageIn,  // the same for open, close and membership, counted apart
  kControlMessageOut,
  kPostWrite,   // a one-sided write or read posted
  kCompletion,  // an acknowledgement taken from the fabric
  // Computation.
  kTurn,           // a turn in which the role handled at least one event (backup: one that is not control)
  kControlTurn,    // backup: a turn in which it handled control events only
  kRequest,        // a request decoded, routed, answered: a client's, or a primary's write at a backup
  kHashProbe,      // a look-up in the hash index, with the entry it leads to
  kLogAppend,      // room taken in the log and filled (its bytes are in kCopyBytes); once per mutation
  kExactlyOnce,    // a mutation checked against, and recorded in, the completion table
  kCopyBytes,      // bytes moved by this CPU
  kCrcBytes,       // bytes checksummed by this CPU
  kReplicaUpdate,  // a replication request applied at a backup (bookkeeping, without the copy)
  kIssue,          // an operation drawn and built by a client
  kMutation,       // facts for the denominators, free of cost: a mutation executed,
  kRead,           // a read executed,
  kCleanedBytes,   // bytes copied to make room in the log; they are in kCopyBytes, too
  kCount
};
inline constexpr std::size_t kWorkKinds = static_cast<std::size_t>(Work::kCount);
inline constexpr std::size_t kRoles = static_cast<std::size_t>(Role::kCount);

// Transport work occupies the core that drives the NIC; all else the core that executes the request.
constexpr bool is_transport(Work work) { return work <= Work::kCompletion; }

std::string_view name(Work work);
std::string_view name(Role role);

struct Ledger {
  std::array<std::array<std::uint64_t, kWorkKinds>, kRoles> counts{};

  void add(Role role, Work work, std::uint64_t n) {
    counts[static_cast<std::size_t>(role)][static_cast<std::size_t>(work)] += n;
  }
  std::uint64_t get(Role role, Work work) const {
    return counts[static_cast<std::size_t>(role)][static_cast<std::size_t>(work)];
  }
  Ledger& operator+=(const Ledger& other);
  Ledger& operator-=(const Ledger& other);
  bool operator==(const Ledger&) const = default;
};

}  // namespace slipstream
