#include "sim/scenario.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/base/rng.h"
#include "core/check/judge.h"
#include "core/check/replicas.h"
#include "core/node/coordinator_node.h"
#include "core/node/server_node.h"
#include "sim/faults.h"
#include "sim/world.h"

namespace slipstream::sim {
namespace {

// ---- Drawing.

template <typename T>
T one_of(Rng& rng, std::initializer_list<T> choices) {
  return *(choices.begin() + rng.below(choices.size()));
}

TimeNs between(Rng& rng, TimeNs least, TimeNs most) {
  return least + static_cast<TimeNs>(rng.below(static_cast<std::uint64_t>(most - least + 1)));
}

// What a scenario is about, besides what chance makes of it.
enum class Theme : std::uint8_t {
  kAny,
  kCleaning,  // the log is cleaned all the time
  kZombie,    // a server that was declared dead goes on answering a client that has not heard of it
};

void keep_cleaning(ClusterOptions& o, Rng& rng) {
  o.log.segment_bytes = 8 * kKiB;
  o.workload.records = one_of<std::uint64_t>(rng, {12, 40, 100});
  o.workload.value_bytes = 1000;
  o.workload.reads = 200;
  o.workload.outstanding = 8;
  o.clients = 3;
}

// Reads go on where writes wait for ever: a zombie that takes them only is seen.
void keep_reading(ClusterOptions& o, Rng& rng) {
  o.clients = static_cast<std::uint16_t>(2 + rng.below(2));
  o.workload.reads = 950;
  o.workload.outstanding = 8;
  o.membership.client_lease_ns = 50 * kMillisecond;
  o.duration_ns = 40 * kMillisecond;
}

ClusterOptions draw_cluster(Rng& rng, std::uint64_t seed, std::optional<Policy> policy, Theme theme) {
  ClusterOptions o;
  o.seed = seed;
  o.checked = true;
  o.replication.policy = policy ? *policy : one_of(rng, {Policy::kRpc, Policy::kTailwind});
  o.replication.factor = one_of<std::uint16_t>(rng, {2, 2, 3});
  // One may stay away for good, and the others must still hold a primary and its replicas.
  o.servers = static_cast<std::uint16_t>(o.replication.factor + 2 + rng.below(3));
  o.clients = static_cast<std::uint16_t>(1 + rng.below(3));
  o.replication.window = one_of<std::uint32_t>(rng, {1, 1, 2, 4});
  o.replication.max_write_bytes = one_of<std::size_t>(rng, {1 * kMiB, 4 * kKiB, 700});
  o.replication.buffers = one_of<std::uint32_t>(rng, {16, 24, 32});
  o.replication.answer_timeout_ns = 5 * kMillisecond;
  o.log.segment_bytes = one_of<std::size_t>(rng, {8 * kKiB, 16 * kKiB, 64 * kKiB});
  const auto segments = one_of<std::size_t>(rng, {20, 40, 128});  // small logs are cleaned
  o.workload.records = one_of<std::uint64_t>(rng, {4, 12, 40, 200});
  o.workload.key_bytes = 20;
  o.workload.value_bytes = one_of<std::uint32_t>(rng, {16, 100, 300, 1000});
  o.workload.reads = one_of<std::uint32_t>(rng, {100, 300, 600, 950});
  o.workload.outstanding = one_of<std::uint32_t>(rng, {1, 2, 4, 8});
  if (theme == Theme::kCleaning) keep_cleaning(o, rng);
  // One server may come to hold all, and twice, while it recovers.
  const std::size_t all = o.workload.records * (o.workload.key_bytes + o.workload.value_bytes + 128);
  o.log.memory_bytes =
      std::max(theme == Theme::kCleaning ? 20 : segments, 3 * all / o.log.segment_bytes + 16) * o.log.segment_bytes;
  o.log.disk_expansion = static_cast<std::uint32_t>(100 + seed % 3 * 50);
  o.warmup_ns = 0;
  o.duration_ns = between(rng, 10 * kMillisecond, 40 * kMillisecond);
  o.rpc_timeout_ns = one_of<TimeNs>(rng, {2 * kMillisecond, 8 * kMillisecond});
  MembershipOptions& m = o.membership;
  m.recoverable = true;
  m.probe_interval_ns = one_of<TimeNs>(rng, {1 * kMillisecond, 3 * kMillisecond});
  m.probe_timeout_ns = one_of<TimeNs>(rng, {500 * kMicrosecond, 2 * kMillisecond});
  m.lease_ns = one_of<TimeNs>(rng, {2 * kMillisecond, 4 * kMillisecond, 16 * kMillisecond});
  m.client_lease_ns = one_of<TimeNs>(rng, {10 * kMillisecond, 50 * kMillisecond});
  m.recovery_patience_ns = 300 * kMillisecond;
  m.partition_bytes = one_of<std::size_t>(rng, {16 * kKiB, 128 * kKiB, 4 * kMiB});
  m.recovery_requests = one_of<std::uint32_t>(rng, {1, 4, 8});
  if (theme == Theme::kZombie) keep_reading(o, rng);
  return o;
}

// Servers mostly, now and then the coordinator, seldom a client.
NodeId draw_node(Rng& rng, const ClusterOptions& o, bool only_servers) {
  const std::uint64_t what = rng.below(10);
  if (!only_servers && what == 0) return NodeId{0};
  if (!only_servers && what == 1) {
    return NodeId{static_cast<std::uint16_t>(1 + o.servers + rng.below(o.clients))};
  }
  return NodeId{static_cast<std::uint16_t>(1 + rng.below(o.servers))};
}

// Destroys replicas of the node, or may.
bool destroys(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kCrash: return fault.lasts_ns == kNever || !fault.keeps_memory || !fault.keeps_storage;
    case FaultKind::kBitFlip:
    case FaultKind::kStorageLost:
    case FaultKind::kStorageShort: return true;
    default: return false;
  }
}

// Harms a replica without a word.
bool rots(FaultKind kind) {
  return kind == FaultKind::kBitFlip || kind == FaultKind::kStorageLost || kind == FaultKind::kStorageShort;
}

// A server is away for a while, or so it seems to others.
bool keeps_away(FaultKind kind) {
  return kind == FaultKind::kCrash || kind == FaultKind::kPause || kind == FaultKind::kSlow ||
         kind == FaultKind::kPartition || kind == FaultKind::kPartitionOut || kind == FaultKind::kChannelLoss ||
         kind == FaultKind::kTornWrite || kind == FaultKind::kLateWrite;
}

// All replicas of a server where one rotted count as lost, and one that is away while a recovery looks for it is as
// good as lost: together with the primary, no more than factor may fail. Of what is too much, the last are left out.
void keep_the_promise(FaultPlan& plan, std::uint32_t factor) {
  std::set<NodeId> rotting;
  for (const Fault& f : plan.faults) {
    if (rots(f.kind)) rotting.insert(f.node);
  }
  const auto rotten = static_cast<std::uint32_t>(rotting.size());
  if (rotten == 0) return;
  std::uint32_t may_be_away = factor - std::min(rotten, factor - 1);
  std::erase_if(plan.faults, [&](const Fault& f) {
    if (!keeps_away(f.kind)) return false;
    if (may_be_away == 0) return true;
    --may_be_away;
    return false;
  });
}

Fault draw_fault(Rng& rng, const ClusterOptions& o, FaultKind kind, TimeNs last) {
  Fault f;
  f.kind = kind;
  f.at_ns = between(rng, 2 * kMillisecond, last);
  f.salt = rng.next();
  f.tear = one_of(rng, {Tear::kWhole, Tear::kBlocks, Tear::kNone});
  const bool about_servers = kind == FaultKind::kCrash ? rng.chance(2, 3) : rng.chance(9, 10);
  f.node = draw_node(rng, o, about_servers);
  switch (kind) {
    case FaultKind::kCrash:
      f.lasts_ns = between(rng, 0, 8 * kMillisecond);
      if (kind_of(o, f.node) != NodeKind::kServer) return f;
      f.keeps_memory = !rng.chance(1, 4);
      f.keeps_storage = !rng.chance(1, 6);
      if (rng.chance(1, 6)) f.lasts_ns = kNever;
      return f;
    case FaultKind::kSlow:
      f.factor = static_cast<std::uint32_t>(2 + rng.below(20));
      f.lasts_ns = between(rng, 100 * kMicrosecond, 8 * kMillisecond);
      return f;
    case FaultKind::kPartition:
    case FaultKind::kPartitionOut:
      if (rng.chance(3, 4)) f.peer = draw_node(rng, o, false);
      if (f.peer == f.node) f.peer = kNoNode;
      f.lasts_ns = between(rng, 10 * kMicrosecond, 10 * kMillisecond);
      return f;
    case FaultKind::kPause:
    case FaultKind::kLateWrite: f.lasts_ns = between(rng, 10 * kMicrosecond, 8 * kMillisecond); return f;
    case FaultKind::kChannelLoss:
      f.peer = draw_node(rng, o, false);
      if (f.peer == f.node) f.peer = NodeId{0};
      return f;
    default: return f;
  }
}

// A fault, and what makes it worse. `is_alone`: its kind is the only one that is drawn.
void add_with_company(FaultPlan& plan, Rng& rng, const ClusterOptions& o, Fault fault, TimeNs last, bool is_alone) {
  // One that is cut off from who would tell it of its death, but not from all whom it serves: a zombie.
  if (fault.kind == FaultKind::kPartition && !is_alone && kind_of(o, fault.node) == NodeKind::kServer &&
      rng.chance(1, 2)) {
    fault.lasts_ns = between(rng, 4 * kMillisecond, 30 * kMillisecond);
    const auto quarters = one_of<std::uint64_t>(rng, {1, 3, 4});
    for (std::uint16_t i = 1; i <= o.servers; ++i) {
      fault.peer = NodeId{i};
      if (fault.peer != fault.node && rng.chance(quarters, 4)) plan.faults.push_back(fault);
    }
    fault.peer = NodeId{0};
    if (rng.chance(1, 2)) {  // and a client that hears of nothing either
      Fault deaf = fault;
      deaf.node = NodeId{static_cast<std::uint16_t>(1 + o.servers + rng.below(o.clients))};
      plan.faults.push_back(deaf);
    }
  }
  // Torn on its way to all replicas, not only to the first.
  if (fault.kind == FaultKind::kTornWrite && rng.chance(1, 2)) {
    for (std::uint16_t i = 1; i < o.replication.factor; ++i) {
      plan.faults.push_back(fault);
      plan.faults.back().salt = rng.next();
    }
  }
  // A writer that dies in the middle of its write.
  if (fault.kind == FaultKind::kTornWrite && (is_alone || rng.chance(1, 3)) &&
      kind_of(o, fault.node) == NodeKind::kServer) {
    Fault crash;
    crash.at_ns = fault.at_ns;
    crash.node = fault.node;
    crash.lasts_ns = between(rng, 0, 8 * kMillisecond);
    crash.salt = fault.salt;
    plan.faults.push_back(crash);
  }
  plan.faults.push_back(fault);
  // One seldom comes alone: while the first death is found out and mended, there is a second one.
  if (!is_alone && fault.kind == FaultKind::kCrash && rng.chance(1, 3)) {
    Fault second = draw_fault(rng, o, FaultKind::kCrash, last);
    second.keeps_memory = second.keeps_storage = true;
    if (rng.chance(1, 4)) second.node = NodeId{0};  // who records what is to be done about it
    second.at_ns = fault.at_ns + between(rng, 0, 5 * kMillisecond);
    second.lasts_ns = between(rng, 0, 8 * kMillisecond);
    plan.faults.push_back(second);
  }
}

// Cut off from all but the clients, of which one hears of nothing either.
void add_zombie(FaultPlan& plan, Rng& rng, const ClusterOptions& o) {
  Fault fault;
  fault.kind = FaultKind::kPartition;
  fault.at_ns = between(rng, 3 * kMillisecond, 10 * kMillisecond);
  fault.lasts_ns = between(rng, 10 * kMillisecond, 30 * kMillisecond);
  fault.node = draw_node(rng, o, true);
  for (std::uint16_t i = 0; i <= o.servers; ++i) {
    fault.peer = NodeId{i};
    if (fault.peer != fault.node) plan.faults.push_back(fault);
  }
  fault.node = NodeId{static_cast<std::uint16_t>(1 + o.servers + rng.below(o.clients))};
  fault.peer = NodeId{0};
  plan.faults.push_back(fault);
}

FaultPlan draw_faults(Rng& rng, const ClusterOptions& o, TimeNs last, std::optional<FaultKind> only, Theme theme) {
  constexpr FaultKind kKinds[] = {FaultKind::kCrash,     FaultKind::kCrash,        FaultKind::kCrash,
                                  FaultKind::kPause,     FaultKind::kSlow,         FaultKind::kPartition,
                                  FaultKind::kPartition, FaultKind::kPartitionOut, FaultKind::kChannelLoss,
                                  FaultKind::kTornWrite, FaultKind::kTornWrite,    FaultKind::kLateWrite,
                                  FaultKind::kBitFlip,   FaultKind::kStorageLost,  FaultKind::kStorageShort};
  // Not all kinds in all runs: what one kind does is not to be drowned by the others.
  const std::uint64_t allowed = rng.next() | (std::uint64_t{1} << rng.below(std::size(kKinds)));
  FaultPlan plan;
  std::uint32_t may_destroy = o.replication.factor - 1u;
  bool one_is_away = false;
  if (theme == Theme::kZombie) add_zombie(plan, rng, o);
  if (theme == Theme::kCleaning) {  // what its cleaner did comes to light
    Fault crash;
    crash.at_ns = between(rng, last / 2, last);
    crash.node = draw_node(rng, o, true);
    crash.lasts_ns = between(rng, 0, 8 * kMillisecond);
    crash.salt = rng.next();
    plan.faults.push_back(crash);
  }
  if (theme == Theme::kCleaning && rng.chance(1, 2)) {  // with the replicas of what others have in no memory any more
    --may_destroy;
    plan.faults.push_back(draw_fault(rng, o, FaultKind::kCrash, last));
    Fault& loss = plan.faults.back();
    loss.node = draw_node(rng, o, true);
    loss.at_ns = between(rng, last / 2, last);
    loss.lasts_ns = between(rng, 0, 8 * kMillisecond);
    loss.keeps_memory = loss.keeps_storage = false;
  }
  NodeId rotting = kNoNode;  // what rots more than once does so on one server
  const std::uint64_t count = !only         ? plan.faults.size() + rng.below(theme == Theme::kZombie ? 4 : 9)
                              : rots(*only) ? 64 + rng.below(257)
                                            : 4 + rng.below(9);
  while (plan.faults.size() < count) {
    const std::size_t k = rng.below(std::size(kKinds));
    if (!only && (allowed >> k & 1) == 0) continue;
    Fault fault = draw_fault(rng, o, only.value_or(kKinds[k]), last);
    if (rots(fault.kind) && kind_of(o, fault.node) != NodeKind::kServer) fault.node = draw_node(rng, o, true);
    if (rots(fault.kind) && rotting != kNoNode && (only || rng.chance(1, 2))) fault.node = rotting;
    if (destroys(fault) && !(rots(fault.kind) && fault.node == rotting)) {
      const bool stays_away = fault.kind == FaultKind::kCrash && fault.lasts_ns == kNever;
      if (may_destroy == 0 || (stays_away && one_is_away)) {
        if (only && fault.kind != FaultKind::kCrash) break;
        if (fault.kind != FaultKind::kCrash) fault.kind = FaultKind::kTornWrite;
        fault.keeps_memory = fault.keeps_storage = true;
        if (fault.kind == FaultKind::kCrash) fault.lasts_ns = between(rng, 0, 8 * kMillisecond);
      } else {
        --may_destroy;
        if (rots(fault.kind)) rotting = fault.node;
        one_is_away = one_is_away || stays_away;
      }
    }
    add_with_company(plan, rng, o, fault, last, only.has_value());
    // What it did is to come to light. Of what rots, one crash may be all that is promised to be survived.
    if (only &&
        (rots(*only) ? plan.faults.size() == count : *only != FaultKind::kCrash && *only != FaultKind::kTornWrite)) {
      Fault crash = draw_fault(rng, o, FaultKind::kCrash, last);
      crash.node = draw_node(rng, o, true);
      crash.keeps_memory = crash.keeps_storage = true;
      crash.at_ns = std::max(crash.at_ns, rots(*only) ? last / 2 : fault.at_ns);
      crash.lasts_ns = between(rng, 0, 8 * kMillisecond);
      plan.faults.push_back(crash);
    }
  }
  std::stable_sort(plan.faults.begin(), plan.faults.end(),
                   [](const Fault& a, const Fault& b) { return a.at_ns < b.at_ns; });
  keep_the_promise(plan, o.replication.factor);
  return plan;
}

// Harm that nobody notices before the replica is read.
bool rots_silently(const FaultPlan& plan) {
  return std::any_of(plan.faults.begin(), plan.faults.end(),
                     [](const Fault& f) { return f.kind != FaultKind::kCrash && destroys(f); });
}

// ---- Judging.

const ServerNode* server_at(World& world, NodeId id) {
  return world.alive(id) ? dynamic_cast<const ServerNode*>(&world.node(id)) : nullptr;
}

std::string not_yet(World& world, const ClusterOptions& o) {
  std::string text;
  for (std::uint16_t i = 0; i < node_count(o); ++i) {
    if (world.alive(NodeId{i}))
      text += fmt::format("\n  {}: {}", node_name(o, NodeId{i}), world.node(NodeId{i}).describe());
  }
  return text;
}

bool is_converged(World& world, const Scenario& s) {
  const ClusterOptions& o = s.cluster;
  if (world.now_ps() < s.heal_ns * kPsPerNs || !world.alive(NodeId{0})) return false;
  const auto& coordinator = dynamic_cast<const CoordinatorNode&>(world.node(NodeId{0})).coordinator();
  if (!coordinator.done() || !coordinator.view().dead.empty()) return false;
  for (const MemberState& state : coordinator.view().servers) {
    if (state.is_up && !world.alive(state.server.node)) return false;  // a dead one that is not yet missed
  }
  for (std::uint16_t i = 1; i <= o.servers; ++i) {
    const ServerNode* const server = server_at(world, NodeId{i});
    if (server == nullptr) continue;
    const Master& master = server->master();
    if (!coordinator.view().is_alive(server->id())) return false;  // it does not know yet, or is not back yet
    if (server->recovery().is_busy() || !master.replicas().idle() || master.replicas().has_wounded() ||
        server->view().epoch != coordinator.view().epoch)  // it does not know yet of whom it must miss
      return false;
    for (const std::uint32_t slot : master.log().segments()) {
      if (slot != master.log().head_slot() && !master.replicas().is_closed_everywhere(slot)) return false;
    }
  }
  return true;
}

// Every byte of every living log, on as many backups as there must be.
Findings judge_replicas(World& world, const ClusterOptions& o) {
  std::vector<PrimarySegment> primaries;
  std::vector<FoundCopy> copies;
  for (std::uint16_t i = 1; i <= o.servers; ++i) {
    const ServerNode* const server = server_at(world, NodeId{i});
    if (server == nullptr) continue;
    const Log& log = server->master().log();
    for (const std::uint32_t slot : log.segments()) {
      const Segment& segment = log.slot(slot);
      primaries.push_back({segment.identity, segment.memory, segment.sealed, segment.closed, {}});
    }
    for (const FoundReplica& found : server->backup().replicas()) {
      copies.push_back({NodeId{i}, NodeId{found.record.master}, SegmentId{found.record.segment}, found.buffer,
                        found.record.state == ReplicaState::kClosed, false, found.record.closed_bytes});
    }
    for (const auto& [id, frame] : world.medium(NodeId{i}).frames) {
      if (frame.bytes.size() < sizeof(ReplicaRecord)) continue;
      const ConstBytes bytes = ConstBytes(frame.bytes).first(frame.bytes.size() - sizeof(ReplicaRecord));
      copies.push_back({NodeId{i}, NodeId{master_of_frame(id)}, SegmentId{segment_of_frame(id)}, bytes, true, true,
                        static_cast<std::uint32_t>(bytes.size())});
    }
  }
  return check_replicas(primaries, copies, o.replication.factor);
}

// `records`: of lives that are over.
void judge_history(World& world, const ClusterOptions& o, std::vector<NodeRecord> records, Verdict& verdict) {
  for (std::uint16_t i = 0; i < node_count(o); ++i) {
    if (world.alive(NodeId{i})) records.push_back(record_of(world.node(NodeId{i})));
  }
  Judgement judgement = judge(records);
  verdict.findings = std::move(judgement.findings);
  verdict.history = std::move(judgement.history);
  verdict.operations = verdict.history.size();
  verdict.unknown = judgement.unknown;
  verdict.recoveries = judgement.deaths;
}

}  // namespace

Scenario draw_scenario(std::uint64_t seed, const Fixed& fixed) {
  Rng rng(seed, "scenario");
  Scenario s;
  s.seed = seed;
  constexpr Theme kThemes[] = {Theme::kAny,      Theme::kAny,      Theme::kAny,   Theme::kAny,
                               Theme::kCleaning, Theme::kCleaning, Theme::kZombie};
  const Theme theme = fixed.kind ? Theme::kAny : kThemes[rng.below(std::size(kThemes))];
  s.cluster = draw_cluster(rng, seed, fixed.policy, theme);
  s.sim.keep_stored_bytes = true;
  s.sim.threading = rng.chance(1, 2) ? Threading::kRunToCompletion : Threading::kDispatchWorkers;
  s.sim.workers = static_cast<std::uint32_t>(1 + rng.below(4));
  s.sim.waiting = rng.chance(1, 2) ? Waiting::kSpin : Waiting::kYield;
  s.sim.batch = one_of<std::uint32_t>(rng, {1, 8, 64});
  s.sim.write_order = one_of(rng, {WriteOrder::kWhole, WriteOrder::kBlocks, WriteOrder::kNone});
  s.sim.restart_retired_ns = kMillisecond;
  s.sim.rare_one_in = one_of<std::uint32_t>(rng, {0, 1000, 100, 10});
  s.storage_slowness = one_of<std::uint32_t>(rng, {1, 1, 10, 100});
  s.heal_ns = s.cluster.duration_ns + 5 * kMillisecond;
  s.bound_ns = kSecond;
  s.sim.limit_ns = s.heal_ns + s.bound_ns;
  s.faults = draw_faults(rng, s.cluster, s.cluster.duration_ns, fixed.kind, theme);
  return s;
}

std::string describe(const Scenario& s) {
  const ClusterOptions& o = s.cluster;
  std::string text = fmt::format(
      "seed {}: {} servers, {} clients, {} factor {} window {} writes of {} B; segments of {} KiB, {} of them; {} "
      "keys, "
      "values of {} B, {} outstanding, {} ms\n  {}, {} workers, batch {}, order in a write: {}, storage {} times as "
      "slow, rare choices: {}; "
      "probes every {} us, time-out {} us, lease {} us\n",
      s.seed, o.servers, o.clients, name(o.replication.policy), o.replication.factor, o.replication.window,
      o.replication.max_write_bytes, o.log.segment_bytes / kKiB, o.log.memory_bytes / o.log.segment_bytes,
      o.workload.records, o.workload.value_bytes, o.workload.outstanding,
      static_cast<double>(o.duration_ns) / kMillisecond, name(s.sim.threading), s.sim.workers, s.sim.batch,
      name(s.sim.write_order), s.storage_slowness,
      s.sim.rare_one_in == 0 ? "none" : fmt::format("one in {}", s.sim.rare_one_in),
      o.membership.probe_interval_ns / kMicrosecond, o.membership.probe_timeout_ns / kMicrosecond,
      o.membership.lease_ns / kMicrosecond);
  for (const Fault& fault : s.faults.faults) {
    text +=
        "  " + describe(fault, node_name(o, fault.node), fault.peer == kNoNode ? "" : node_name(o, fault.peer)) + "\n";
  }
  return text;
}

Verdict run_scenario(const Scenario& s, const HardwareProfile& hardware, const std::function<void(World&)>& watch) {
  const ClusterOptions& o = s.cluster;
  HardwareProfile slowed = hardware;
  slowed.storage_latency *= s.storage_slowness;
  World world(slowed, s.sim, s.seed);
  std::vector<std::uint32_t> lives(node_count(o));
  for (std::uint16_t i = 0; i < node_count(o); ++i) {
    world.add(kind_of(o, NodeId{i}));
    world.place(NodeId{i}, World::MakeNode([&](NodeId id, Fabric& fabric, const Storage& storage) {
                  return make_node(o, id, fabric, storage, lives[index(id)]);
                }));
  }
  // What a client did counts, though it is no more: what it had open may have happened or not.
  std::vector<NodeRecord> records;
  world.on_death([&](NodeId id, const Node& node) {
    ++lives[index(id)];
    if (kind_of(o, id) == NodeKind::kClient) records.push_back(record_of(node));
  });
  Faults faults(world, s.faults, s.seed);
  if (watch) watch(world);
  world.at(s.heal_ns * kPsPerNs, [&] { faults.stop(); });
  Verdict verdict;
  Ending ending = world.run();
  // The run is over when the clients are; what is being restored goes on.
  while (ending == Ending::kDone && !is_converged(world, s)) ending = world.run([] { return true; });
  while (ending == Ending::kStopped && !is_converged(world, s)) {
    if (world.now_ps() > s.sim.limit_ns * kPsPerNs) {
      ending = Ending::kLimit;
      break;
    }
    std::uint64_t steps = 0;
    ending = world.run([&steps] { return ++steps == 256; });
    if (ending == Ending::kDone) ending = Ending::kStopped;
  }
  verdict.faults = faults.done();
  verdict.virtual_ns = world.now_ps() / kPsPerNs;
  verdict.state_hash = world.state_hash();
  for (std::size_t i = 0; i < kRares; ++i) verdict.rare[i] = world.taken(static_cast<Rare>(i));
  judge_history(world, o, std::move(records), verdict);
  if (ending == Ending::kTrouble) {
    verdict.findings.push_back({FindingKind::kLost, world.trouble()});
  } else if (ending != Ending::kStopped && ending != Ending::kDone) {
    verdict.findings.push_back(
        {FindingKind::kNotConverged,
         fmt::format("{} ms after the heal:{}", static_cast<double>(verdict.virtual_ns - s.heal_ns) / kMillisecond,
                     not_yet(world, o))});
  } else if (!rots_silently(s.faults)) {
    const Findings found = judge_replicas(world, o);
    verdict.findings.insert(verdict.findings.end(), found.begin(), found.end());
  }
  return verdict;
}

}  // namespace slipstream::sim
