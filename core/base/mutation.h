// Planted bugs: named places where the code does the wrong thing when it is told to, so that it can be shown that the
// checkers notice (mutation testing). They exist only in builds made for it (preset `mutants`, SLIPSTREAM_MUTANTS);
// elsewhere mutated() is a constant and the compiler leaves nothing of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace slipstream {

enum class Mutant : std::uint8_t {
  kNone,
  kWalkTakesAnyCertificate,  // log: the walk does not compare the checksum
  kNoCertificates,           // log: the walk follows entry headers as far as they lead
  kHeadersOnly,              // log: certificates cover entry headers only, not contents
  kChainWithoutIdentity,     // log: the chain does not start from the segment's identity
  kDigestWithoutSides,       // log: digests leave out side segments
  kAckBeforeLast,            // replication: acknowledged when one replica has it
  kAckHalfBatch,             // replication: bytes count without the certificate behind them
  kFillBeforeClose,          // replication: the new head is filled before the old one is closed everywhere
  kCloseBeforeOpen,          // replication: the old head is closed before the new one is durably open
  kNoEpochs,                 // replication: a lost replica is not recorded before its segment counts again
  kCopyAsGood,               // replication: a replica being made anew counts at once
  kDeadStayLost,             // replication: closed replicas on a dead server are not restored
  kNoRevoke,                 // backup: a dead master is not shut out
  kScanBeforeRevoked,        // backup: a replica is scanned before nothing can land in it any more
  kOpenForTheDead,           // backup: opens for a life that was declared dead
  kAnyFrameIsWhole,          // backup: a stored frame is taken for whole without its record
  kStaleEpoch,               // recovery: replicas of an earlier epoch count
  kShortestReplica,          // recovery: of open replicas the shortest counts
  kOldVersionWins,           // recovery: the entry replayed last wins
  kDroppedTombstone,         // recovery: tombstones are not replayed
  kForgetsRemoved,           // recovery: an object that comes after its tombstone is taken
  kLostCompletion,           // recovery: completion records are not replayed
  kCommitEarly,              // recovery: taken over before the replayed data is on its own backups
  kNoSafeVersion,            // recovery: versions of removed objects are forgotten
  kTwoPlansInOne,            // recovery: goes on with a new plan where it was with the old one
  kNoExactlyOnce,            // rpc: a repeated mutation is executed again
  kAckedTooFar,              // rpc: a client says that it has one answer more than it has
  kNoLease,                  // coordinator: a server answers although its lease has ended
  kTakeOverEarly,            // coordinator: tablets change hands before the old lease has ended
  kForgottenEarly,           // coordinator: a dead master is forgotten when its first tablet is taken over
  kTellBeforeDurable,        // coordinator: a view is told before it is durable
  kCleanedTombstones,        // cleaner: tombstones are not copied
  kCleanedCompletions,       // cleaner: completion records are not copied
  kSurvivorsEarly,           // cleaner: survivors replace the victims before they are whole on their backups
  kRestsOnNothing,           // cleaner: victims go before what made their entries dead is durable
  kFreedEarly,               // cleaner: victims are freed before the digest without them is durable
  kWoundedStay,              // cleaner: what a wounded segment holds is not moved
  kCount
};
inline constexpr std::size_t kMutants = static_cast<std::size_t>(Mutant::kCount) - 1;  // without kNone

std::string_view name(Mutant mutant);         // "ack-before-last", ...
std::string_view description(Mutant mutant);  // "replication: acknowledged when one replica has it", ...
std::optional<Mutant> mutant_of(std::string_view name);

#ifdef SLIPSTREAM_MUTANTS
inline constexpr bool kHasMutants = true;
extern Mutant planted_mutant;  // of this process
inline bool mutated(Mutant mutant) { return planted_mutant == mutant; }
inline void plant(Mutant mutant) { planted_mutant = mutant; }
#else
inline constexpr bool kHasMutants = false;
constexpr bool mutated(Mutant) { return false; }
inline void plant(Mutant) {}
#endif

}  // namespace slipstream
