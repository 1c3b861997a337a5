// A client whose every operation is recorded, so that the run can be judged (core/check): reads, writes, conditional
// writes, removes, increments and multi-operations over a small set of keys, until the measured window ends; then, when
// all are answered, a read of every key; then it is finished. Keys from `records` * 3/4 up are counters: they are only
// ever read and incremented.
//
// Invariant: an operation is recorded before its request is posted and after its answer was polled; one that was open
// when the client's lease ended is recorded as unknown.
#pragma once

#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/cluster/member.h"
#include "core/kv/kv_client.h"
#include "core/node/cluster.h"
#include "core/node/report.h"
#include "core/turn/node.h"
#include "core/workload/history.h"

namespace slipstream {

class CheckedClient final : public Node {
 public:
  // `life`: how often it crashed before, below kMostCheckedLives.
  CheckedClient(const ClusterOptions& options, NodeId self, std::uint32_t life);

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override;
  TimeNs deadline() const override;
  bool done() const override { return phase_ == Phase::kDone; }
  std::string describe() const override;
  std::uint64_t state_hash() const override { return fnv1a(describe()); }

  const History& history() const { return history_; }
  // The final read of each key, by its number; kOpen: not yet.
  struct Final {
    std::uint64_t key = 0;
    Outcome outcome = Outcome::kOpen;
    std::uint64_t version = 0;
    HistoryValue value;
    TimeNs invoked_ns = 0;
  };
  std::span<const Final> finals() const { return finals_; }
  const ClientStats& stats() const { return stats_; }
  std::size_t open_operations() const { return slots_.size() - free_slots_.size(); }

 private:
  enum class Phase : std::uint8_t { kEnlisting, kWaiting, kRunning, kDraining, kReading, kFinishing, kDone };
  static constexpr std::size_t kMostItems = 4;
  struct Item {
    Action action = Action::kRead;
    std::uint64_t key = 0;
    std::uint64_t argument = 0;
    std::uint64_t stamp = 0;
    std::uint32_t operation = 0;  // in the history
  };
  struct Slot {
    std::vector<Item> items;
    std::size_t final = kNoFinal;  // which final read it is
  };
  static constexpr std::size_t kNoFinal = ~std::size_t{0};

  bool is_counter(std::uint64_t key) const { return key >= records_ - records_ / 4; }
  void on_message(TimeNs now, const Event& event, Outbox& out);
  void on_completed(TimeNs now);
  void take(const Item& item, const KvResult& result, TimeNs now);
  void count(const Item& item, TimeNs now);
  void begin_anew(TimeNs now);
  void advance(TimeNs now, Outbox& out);
  Item draw();
  void issue(TimeNs now, Outbox& out);
  void read_final(std::size_t i, TimeNs now, Outbox& out);
  void submit(std::uint32_t slot, TimeNs now, Outbox& out);

  ClusterOptions options_;
  std::uint64_t records_;
  std::uint32_t number_;  // among the clients, each life of which is one
  CoordinatorLink coordinator_;
  bool is_known_ = false;
  KvClient kv_;
  Rng rng_;
  bool is_busy_;  // pauses are short, mostly
  Phase phase_ = Phase::kEnlisting;
  TimeNs start_ns_ = 0;
  TimeNs end_ns_ = kNever;
  TimeNs next_issue_ns_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::uint64_t> seen_versions_;  // by key: for conditions that have a chance
  std::uint64_t stamps_ = 0;
  std::uint32_t multis_ = 0;
  History history_;
  std::vector<Final> finals_;
  std::size_t next_final_ = 0;
  std::vector<std::byte> scratch_;
  ClientStats stats_;
};

}  // namespace slipstream
