// What one turn of a node wishes for: ops for the fabric and the storage, and the ledger of the work it did. A world
// makes one Outbox per node, hands it to step(), carries the wishes out, and clears it.
//
// Costs: the world gives a table of picoseconds for each kind of work (all zero where time is real). Each op carries
// the sum of the work entered before it, so "an op leaves the core when the work before it is done" needs no second
// pass.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/ledger.h"
#include "core/fabric/fabric.h"
#include "core/storage/storage.h"
#include "core/turn/rare.h"

namespace slipstream {

// Picoseconds for one unit of each kind of work.
using CostTable = std::array<std::int64_t, kWorkKinds>;

// A node tells when its measured window begins and ends; the world notes ledger and CPU time at that turn.
enum class Mark : std::uint8_t { kWindowStart, kWindowEnd };

// Where time is real, a world that measures CPU time per role is told when a turn changes sides.
class RoleMeter {
 public:
  virtual ~RoleMeter() = default;
  virtual void enter(Role role) = 0;
};

class Outbox {
 public:
  explicit Outbox(const CostTable& costs = CostTable{}, RoleMeter* meter = nullptr, RareChoices* rare = nullptr)
      : costs_(costs), meter_(meter), rare_(rare) {}
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // Whose work follows. A turn starts with the role it ended with last.
  void enter(Role role) {
    if (role == role_) return;
    role_ = role;
    if (meter_ != nullptr) meter_->enter(role);
  }
  Role role() const { return role_; }

  // Whether to do the unusual thing (core/turn/rare.h); never, unless the world asks for it.
  bool rare(Rare what) {
    if (rare_ == nullptr) [[likely]]
      return false;
    return rare_->takes(what);
  }
  // After rare(): uniform in [0, bound).
  std::uint64_t rare_below(std::uint64_t bound) { return rare_->below(bound); }

  void work(Work kind, std::uint64_t n = 1) {
    ledger_.add(role_, kind, n);
    const std::int64_t cost = costs_[static_cast<std::size_t>(kind)] * static_cast<std::int64_t>(n);
    (is_transport(kind) ? transport_ps_ : compute_ps_) += cost;
  }

  // Room for a message's head of `head_bytes`, to be filled before the turn ends; `body` follows it on the wire.
  // Counts `kind` (kMessageOut or kControlMessageOut). The returned memory lives until clear().
  std::byte* send(Channel channel, std::size_t head_bytes, std::uint64_t answers = 0, Work kind = Work::kMessageOut,
                  std::span<const Slice> body = {}, Ticket ticket = 0);
  void write(Channel channel, Slice from, RemoteKey key, std::uint64_t offset, Ticket ticket);
  void read(Channel channel, Bytes into, RemoteKey key, std::uint64_t offset, Ticket ticket);
  void connect(Channel channel, NodeId peer);
  void revoke(Channel channel);
  void grant(Channel channel, Bytes memory, Ticket ticket);
  void withdraw(Channel channel, RemoteKey key, Ticket ticket);
  // The request that came with this tag gets no answer, now or later: whoever in the world waits for it need not.
  void dismiss(std::uint64_t tag) { dismissed_.push_back(tag); }
  void store(const StorageOp& op) { storage_ops_.push_back(op); }
  void mark(Mark mark) { marks_.push_back(mark); }

  // For the world.
  std::span<const Op> ops() const { return ops_; }
  std::span<const StorageOp> storage_ops() const { return storage_ops_; }
  std::span<const Mark> marks() const { return marks_; }
  std::span<const std::uint64_t> dismissed() const { return dismissed_; }
  std::int64_t transport_ps() const { return transport_ps_; }
  std::int64_t compute_ps() const { return compute_ps_; }
  const Ledger& ledger() const { return ledger_; }  // since the Outbox was made
  void clear();                                     // ops, marks and costs; the ledger stays

 private:
  static constexpr std::size_t kChunkBytes = 256 * kKiB;
  struct Chunk {
    std::unique_ptr<std::byte[]> memory;
    std::size_t size = 0;
  };

  std::byte* room(std::size_t bytes);
  Op& add(OpKind kind, Channel channel);

  CostTable costs_;
  RoleMeter* meter_;
  RareChoices* rare_;
  Role role_ = Role::kClient;
  Ledger ledger_;
  std::int64_t transport_ps_ = 0;
  std::int64_t compute_ps_ = 0;
  std::vector<Op> ops_;
  std::vector<StorageOp> storage_ops_;
  std::vector<Mark> marks_;
  std::vector<std::uint64_t> dismissed_;
  std::vector<Chunk> chunks_;  // messages' heads and slice lists
  std::size_t chunk_ = 0;
  std::size_t used_ = 0;
};

}  // namespace slipstream
