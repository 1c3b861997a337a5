// A client: loads its share of the records, waits for the others, warms up, offers load through the measured window,
// waits for what is open, and reports. Sources of operations and arrivals are core/workload's.
//
// What is measured: throughput counts operations completed inside the window; latency counts those whose start (open
// loop: intended arrival) lies inside it, whenever they complete, so no late one is left out.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/base/rng.h"
#include "core/cluster/member.h"
#include "core/kv/kv_client.h"
#include "core/node/cluster.h"
#include "core/node/report.h"
#include "core/turn/node.h"

namespace slipstream {

class ClientNode final : public Node {
 public:
  ClientNode(const ClusterOptions& options, NodeId self);

  void step(TimeNs now, std::span<const Event> events, Outbox& out) override;
  TimeNs deadline() const override;
  bool done() const override { return phase_ == Phase::kDone; }
  std::string trouble() const override { return trouble_; }
  std::string describe() const override;
  std::uint64_t state_hash() const override { return fnv1a(describe()); }

  const ClientStats& stats() const { return stats_; }

 private:
  enum class Phase : std::uint8_t { kEnlisting, kLoading, kWaiting, kWarmup, kWindow, kDraining, kFinishing, kDone };
  struct Slot {
    Operation operation;
    TimeNs start_ns = 0;
    bool modifying = false;  // the second half of a read-modify-write
  };

  void on_message(TimeNs now, const Event& event, Outbox& out);
  void on_coordinator_answer(TimeNs now, const RpcMessage& message, Outbox& out);
  void on_completed(TimeNs now);
  void begin_anew(TimeNs now);
  void check(const Operation& operation, const KvResult& result);
  void advance(TimeNs now, Outbox& out);
  void load(TimeNs now, Outbox& out);
  void offer(TimeNs now, Outbox& out);
  void issue(std::uint32_t slot, TimeNs now, Outbox& out);

  ClusterOptions options_;
  NodeId self_;
  std::uint32_t number_;  // among the clients
  CoordinatorLink coordinator_;
  bool is_known_ = false;  // to the coordinator, with a lease
  KvClient kv_;
  OperationSource operations_;
  ArrivalSource arrivals_;
  Phase phase_ = Phase::kEnlisting;
  std::uint64_t next_load_;
  TimeNs window_start_ns_ = kNever;
  TimeNs window_end_ns_ = kNever;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::uint32_t> parked_;  // read, and waiting to be modified
  std::uint64_t versions_ = 0;         // of the values that we write
  std::vector<std::byte> scratch_;
  ClientStats stats_;
  std::uint64_t retries_before_ = 0;
  std::string trouble_;
};

}  // namespace slipstream
