#include "emulate/hosts/faulty_node.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace slipstream::emulate {
namespace {

FabricFault tear_of(Tear tear) {
  switch (tear) {
    case Tear::kWhole: return FabricFault::kTornByte;
    case Tear::kBlocks: return FabricFault::kTornBlocks128;
    case Tear::kNone: return FabricFault::kTornAnywhere;
  }
  return FabricFault::kTornByte;
}

// Half of the flips are of memory, half of what is stored.
bool is_of_memory(const Fault& fault) { return fault.salt % 2 == 0; }

std::optional<FabricFault> fabric_fault(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kChannelLoss: return FabricFault::kChannelLoss;
    case FaultKind::kTornWrite: return tear_of(fault.tear);
    case FaultKind::kLateWrite: return FabricFault::kLateWrite;
    case FaultKind::kMessageLoss: return FabricFault::kMessageLoss;
    case FaultKind::kMessageTwice: return FabricFault::kMessageTwice;
    case FaultKind::kBitFlip: return is_of_memory(fault) ? std::optional(FabricFault::kBitFlip) : std::nullopt;
    default: return std::nullopt;
  }
}

std::optional<StorageFault> storage_fault(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kStorageLost: return StorageFault::kLost;
    case FaultKind::kStorageShort: return StorageFault::kShort;
    case FaultKind::kStorageFailed: return StorageFault::kFailed;
    case FaultKind::kBitFlip: return is_of_memory(fault) ? std::nullopt : std::optional(StorageFault::kBitFlip);
    default: return std::nullopt;
  }
}

bool concerns(const Fault& fault, NodeId node, const Life& life) {
  return fault.node == node && fault.at_ns > life.begins_ns;
}

std::uint64_t seed_of(std::uint64_t seed, const Life& life) { return mix64(seed + life.number); }

// Sleeps must not outlast what is due.
TimeNs until(TimeNs due, const std::optional<Clock>& clock) {
  return due == kNever || !clock ? kNever : std::max<TimeNs>(due - clock->now(), 0);
}

// What passes between the two ends of a partition, at this end: nothing out, nothing in, or neither.
void add_cuts(const Fault& fault, NodeId node, const Life& life, std::vector<FaultyOptions::Timed>& timed) {
  const bool is_from = fault.node == node;
  if (!is_from && fault.peer != node && fault.peer != kNoNode) return;
  if (fault.lasts_ns < kNever - fault.at_ns && fault.at_ns + fault.lasts_ns <= life.begins_ns) return;
  const NodeId peer = is_from ? fault.peer : fault.node;
  const bool both = fault.kind == FaultKind::kPartition;
  if (both || is_from) timed.push_back({fault.at_ns, FabricFault::kCutOut, peer, fault.lasts_ns, fault.salt});
  if (both || !is_from) timed.push_back({fault.at_ns, FabricFault::kCutIn, peer, fault.lasts_ns, fault.salt});
}

class FaultyRealFabric final : public RealFabric, public OnRunClock {
 public:
  FaultyRealFabric(std::unique_ptr<RealFabric> inner, const FaultyOptions& options, NodeId node)
      : inner_(std::move(inner)), faulty_(*inner_, options, node) {}

  void start(const Clock& clock) override { clock_ = clock; }

  Region create_region(std::string_view name, std::size_t bytes, Access access) override {
    return faulty_.create_region(name, bytes, access);
  }
  void post(std::span<const Op> ops) override { faulty_.post(ops); }
  WriteOrder write_order() const override { return faulty_.write_order(); }
  std::size_t poll(std::span<Event> events) override {
    if (clock_) faulty_.advance(clock_->now());
    return faulty_.poll(events);
  }

  int wake_descriptor() const override { return inner_->wake_descriptor(); }
  bool arm() override { return !faulty_.holds_events() && inner_->arm(); }
  void disarm() override { inner_->disarm(); }
  TimeNs longest_sleep_ns() const override {
    return std::min(inner_->longest_sleep_ns(), until(faulty_.next_due(), clock_));
  }
  std::uint64_t network_bytes() const override { return inner_->network_bytes(); }

 private:
  std::unique_ptr<RealFabric> inner_;
  FaultyFabric faulty_;
  std::optional<Clock> clock_;
};

class FaultyRealStorage final : public RealStorage, public OnRunClock {
 public:
  FaultyRealStorage(std::unique_ptr<RealStorage> inner, const FaultyStorageOptions& options, NodeId node)
      : inner_(std::move(inner)), faulty_(*inner_, options, node) {}

  void start(const Clock& clock) override { clock_ = clock; }

  void post(std::span<const StorageOp> ops) override { faulty_.post(ops); }
  std::size_t poll(std::span<Event> events) override {
    if (clock_) faulty_.advance(clock_->now());
    return faulty_.poll(events);
  }
  std::vector<StoredFrame> frames() const override { return faulty_.frames(); }
  std::vector<StorageProblem> problems() const override { return inner_->problems(); }

  int wake_descriptor() const override { return inner_->wake_descriptor(); }
  bool arm() override { return !faulty_.holds_events() && inner_->arm(); }
  void disarm() override { inner_->disarm(); }
  TimeNs longest_sleep_ns() const override {
    return std::min(inner_->longest_sleep_ns(), until(faulty_.next_due(), clock_));
  }
  std::uint64_t bytes_stored() const override { return inner_->bytes_stored(); }

 private:
  std::unique_ptr<RealStorage> inner_;
  FaultyStorage faulty_;
  std::optional<Clock> clock_;
};

}  // namespace

std::vector<Slowness> slow_times(const FaultPlan& plan, NodeId node) {
  std::vector<Slowness> slow;
  for (const Fault& fault : plan.faults) {
    if (fault.kind != FaultKind::kSlow || fault.node != node) continue;
    const bool ends = fault.lasts_ns < kNever - fault.at_ns;
    slow.push_back({fault.at_ns, ends ? fault.at_ns + fault.lasts_ns : kNever, fault.factor});
  }
  return slow;
}

FaultyOptions fabric_faults(const FaultPlan& plan, std::uint64_t seed, NodeId node, const Life& life) {
  FaultyOptions options;
  options.seed = seed_of(seed, life);
  for (const Fault& fault : plan.faults) {
    if (fault.kind == FaultKind::kPartition || fault.kind == FaultKind::kPartitionOut) {
      add_cuts(fault, node, life, options.timed);
    }
    const std::optional<FabricFault> kind = fabric_fault(fault);
    if (!kind || !concerns(fault, node, life)) continue;
    options.timed.push_back({fault.at_ns, *kind, fault.peer, fault.lasts_ns, fault.salt});
  }
  options.channel_loss_ppm = plan.channel_loss_ppm;
  options.torn_write_ppm = plan.torn_write_ppm;
  options.message_loss_ppm = plan.message_loss_ppm;
  options.message_twice_ppm = plan.message_twice_ppm;
  return options;
}

FaultyStorageOptions storage_faults(const FaultPlan& plan, std::uint64_t seed, NodeId node, const Life& life) {
  FaultyStorageOptions options;
  options.seed = seed_of(seed, life);
  for (const Fault& fault : plan.faults) {
    const std::optional<StorageFault> kind = storage_fault(fault);
    if (kind && concerns(fault, node, life)) options.timed.push_back({fault.at_ns, *kind, fault.salt});
  }
  return options;
}

std::unique_ptr<RealFabric> with_faults(std::unique_ptr<RealFabric> fabric, const FaultyOptions& options, NodeId node,
                                        std::vector<OnRunClock*>& clocked) {
  const std::uint32_t by_chance =
      options.channel_loss_ppm + options.torn_write_ppm + options.message_loss_ppm + options.message_twice_ppm;
  if (options.timed.empty() && by_chance == 0) return fabric;
  auto faulty = std::make_unique<FaultyRealFabric>(std::move(fabric), options, node);
  clocked.push_back(faulty.get());
  return faulty;
}

std::unique_ptr<RealStorage> with_faults(std::unique_ptr<RealStorage> storage, const FaultyStorageOptions& options,
                                         NodeId node, std::vector<OnRunClock*>& clocked) {
  if (options.timed.empty()) return storage;
  auto faulty = std::make_unique<FaultyRealStorage>(std::move(storage), options, node);
  clocked.push_back(faulty.get());
  return faulty;
}

}  // namespace slipstream::emulate
