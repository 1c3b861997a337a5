#include "core/base/mutation.h"

#include <array>

namespace slipstream {
namespace {

struct Told {
  std::string_view name;
  std::string_view description;
};
constexpr std::array<Told, static_cast<std::size_t>(Mutant::kCount)> kTold = {{
    {"none", "the code as it is"},
    {"walk-takes-any-certificate", "log: the walk does not compare the checksum"},
    {"no-certificates", "log: the walk follows entry headers as far as they lead"},
    {"headers-only", "log: certificates cover entry headers only, not contents"},
    {"chain-without-identity", "log: the chain does not start from the segment's identity"},
    {"digest-without-sides", "log: digests leave out side segments"},
    {"ack-before-last", "replication: acknowledged when one replica has it"},
    {"ack-half-batch", "replication: bytes count without the certificate behind them"},
    {"fill-before-close", "replication: the new head is filled before the old one is closed everywhere"},
    {"close-before-open", "replication: the old head is closed before the new one is durably open"},
    {"no-epochs", "replication: a lost replica is not recorded before its segment counts again"},
    {"copy-as-good", "replication: a replica being made anew counts at once"},
    {"dead-stay-lost", "replication: closed replicas on a dead server are not restored"},
    {"no-revoke", "backup: a dead master is not shut out"},
    {"scan-before-revoked", "backup: a replica is scanned before nothing can land in it any more"},
    {"open-for-the-dead", "backup: opens for a life that was declared dead"},
    {"any-frame-is-whole", "backup: a stored frame is taken for whole without its record"},
    {"stale-epoch", "recovery: replicas of an earlier epoch count"},
    {"shortest-replica", "recovery: of open replicas the shortest counts"},
    {"old-version-wins", "recovery: the entry replayed last wins"},
    {"dropped-tombstone", "recovery: tombstones are not replayed"},
    {"forgets-removed", "recovery: an object that comes after its tombstone is taken"},
    {"lost-completion", "recovery: completion records are not replayed"},
    {"commit-early", "recovery: taken over before the replayed data is on its own backups"},
    {"no-safe-version", "recovery: versions of removed objects are forgotten"},
    {"two-plans-in-one", "recovery: goes on with a new plan where it was with the old one"},
    {"no-exactly-once", "rpc: a repeated mutation is executed again"},
    {"acked-too-far", "rpc: a client says that it has one answer more than it has"},
    {"no-lease", "coordinator: a server answers although its lease has ended"},
    {"take-over-early", "coordinator: tablets change hands before the old lease has ended"},
    {"forgotten-early", "coordinator: a dead master is forgotten when its first tablet is taken over"},
    {"tell-before-durable", "coordinator: a view is told before it is durable"},
    {"cleaned-tombstones", "cleaner: tombstones are not copied"},
    {"cleaned-completions", "cleaner: completion records are not copied"},
    {"survivors-early", "cleaner: survivors replace the victims before they are whole on their backups"},
    {"rests-on-nothing", "cleaner: victims go before what made their entries dead is durable"},
    {"freed-early", "cleaner: victims are freed before the digest without them is durable"},
    {"wounded-stay", "cleaner: what a wounded segment holds is not moved"},
}};

}  // namespace

#ifdef SLIPSTREAM_MUTANTS
Mutant planted_mutant = Mutant::kNone;
#endif

std::string_view name(Mutant mutant) { return kTold[static_cast<std::size_t>(mutant)].name; }
std::string_view description(Mutant mutant) { return kTold[static_cast<std::size_t>(mutant)].description; }

std::optional<Mutant> mutant_of(std::string_view text) {
  for (std::size_t i = 0; i < kTold.size(); ++i) {
    if (kTold[i].name == text) return static_cast<Mutant>(i);
  }
  return std::nullopt;
}

}  // namespace slipstream
