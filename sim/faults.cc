#include "sim/faults.h"

#include <algorithm>

namespace slipstream::sim {

namespace {

constexpr TimePs kLatestCopy = 20'000'000;  // of a message that comes twice, behind the first

bool strikes_a_write(FaultKind kind) { return kind == FaultKind::kTornWrite || kind == FaultKind::kLateWrite; }

// Faults that wait for what they strike.
bool waits(FaultKind kind) {
  switch (kind) {
    case FaultKind::kTornWrite:
    case FaultKind::kLateWrite:
    case FaultKind::kMessageLoss:
    case FaultKind::kMessageTwice:
    case FaultKind::kStorageLost:
    case FaultKind::kStorageShort:
    case FaultKind::kStorageFailed: return true;
    default: return false;
  }
}

}  // namespace

Faults::Faults(World& world, const FaultPlan& plan, std::uint64_t seed) : world_(world), chances_(plan) {
  chances_.faults.clear();
  const std::size_t nodes = world.network().nodes();
  for (std::size_t node = 0; node < nodes; ++node) rngs_.emplace_back(seed, "faults", node);
  for (const Fault& fault : plan.faults) {
    SLIP_CHECK(index(fault.node) < nodes && (fault.peer == kNoNode || index(fault.peer) < nodes),
               "{}: there are {} nodes", describe(fault, "a node", ""), nodes);
    plan_.push_back({fault, State::kPlanned, kAlone});
  }
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    const Fault& fault = plan_[i].fault;
    if (fault.kind == FaultKind::kCrash) {
      const auto write = std::find_if(plan_.begin(), plan_.end(), [&](const Planned& other) {
        return strikes_a_write(other.fault.kind) && other.fault.node == fault.node && other.fault.at_ns == fault.at_ns;
      });
      if (write != plan_.end()) {
        plan_[i].with = static_cast<std::size_t>(write - plan_.begin());
        continue;
      }
    }
    SLIP_CHECK(fault.at_ns < kPsNever / kPsPerNs, "{}: never", describe(fault, "a node", ""));
    world_.at(fault.at_ns * kPsPerNs, [this, i] { begin(i); });
  }
  if (!chances_.empty()) world_.set_interference(this);
}

Faults::~Faults() { world_.set_interference(nullptr); }

std::uint64_t Faults::done() const {
  std::uint64_t all = 0;
  for (const std::uint64_t n : done_) all += n;
  return all;
}

std::uint64_t Faults::waiting() const {
  return static_cast<std::uint64_t>(std::count_if(plan_.begin(), plan_.end(), [](const Planned& planned) {
    return planned.state == State::kPlanned || planned.state == State::kWaiting;
  }));
}

void Faults::begin(std::size_t i) {
  Planned& planned = plan_[i];
  if (stopped_ || planned.state != State::kPlanned) return;
  if (waits(planned.fault.kind)) {
    planned.state = State::kWaiting;
    wait_.push_back(i);
    world_.set_interference(this);
    return;
  }
  planned.state = State::kOver;
  if (!carry_out(planned.fault)) return;
  const FaultKind kind = planned.fault.kind;
  if (kind > FaultKind::kPartitionOut) return;
  planned.state = State::kOngoing;
  if (planned.fault.lasts_ns >= kPsNever / kPsPerNs) return;
  world_.at(world_.now_ps() + planned.fault.lasts_ns * kPsPerNs, [this, i] { end(i); });
}

void Faults::end(std::size_t i) {
  Planned& planned = plan_[i];
  if (planned.state != State::kOngoing) return;
  planned.state = State::kOver;
  const Fault& fault = planned.fault;
  switch (fault.kind) {
    case FaultKind::kCrash: return world_.restart(fault.node);
    case FaultKind::kPause: return world_.resume(fault.node);
    case FaultKind::kSlow: return world_.slow(fault.node, 1);
    default: return partition(fault, false);
  }
}

void Faults::stop() {
  stopped_ = true;
  chances_ = FaultPlan{};
  wait_.clear();
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    Planned& planned = plan_[i];
    if (planned.state == State::kPlanned || planned.state == State::kWaiting) planned.state = State::kOver;
    if (planned.fault.kind != FaultKind::kCrash) end(i);
  }
}

// False: there was nothing to strike.
bool Faults::carry_out(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kCrash:
      if (!world_.alive(fault.node)) return false;
      happened(fault);
      world_.crash(fault.node, {fault.keeps_memory, fault.keeps_storage, fault.salt});
      return true;
    case FaultKind::kPause:
      if (!world_.alive(fault.node)) return false;
      happened(fault);
      world_.pause(fault.node);
      return true;
    case FaultKind::kSlow:
      happened(fault);
      world_.slow(fault.node, fault.factor);
      return true;
    case FaultKind::kPartition:
    case FaultKind::kPartitionOut:
      happened(fault);
      partition(fault, true);
      return true;
    case FaultKind::kChannelLoss:
      if (world_.network().lose_channels(fault.node, fault.peer) == 0) return false;
      happened(fault);
      return true;
    case FaultKind::kBitFlip:
      if (!flip_bit(fault)) return false;
      happened(fault);
      return true;
    default: return false;
  }
}

void Faults::partition(const Fault& fault, bool begins) {
  Network& network = world_.network();
  const auto change = [&](NodeId from, NodeId to) { begins ? network.cut(from, to) : network.heal(from, to); };
  for (std::size_t other = 0; other < network.nodes(); ++other) {
    const NodeId peer{static_cast<std::uint16_t>(other)};
    if (peer == fault.node || (fault.peer != kNoNode && peer != fault.peer)) continue;
    change(fault.node, peer);
    if (fault.kind == FaultKind::kPartition) change(peer, fault.node);
  }
}

// A bit of the first byte behind a drawn place that is not zero: where there are data, mostly.
bool Faults::flip_bit(const Fault& fault) {
  Rng draws(fault.salt, "bit-flip");
  std::vector<Bytes> places;
  if (const Bytes replicas = world_.fabric(fault.node).region("replicas"); !replicas.empty()) {
    places.push_back(replicas);
  }
  std::vector<Bytes> frames;
  for (auto& [id, frame] : world_.medium(fault.node).frames) {
    if (!frame.bytes.empty()) frames.emplace_back(frame.bytes);
  }
  if (!frames.empty()) places.push_back(frames[draws.below(frames.size())]);
  for (std::size_t first = places.empty() ? 0 : draws.below(places.size()), n = 0; n < places.size(); ++n) {
    const Bytes place = places[(first + n) % places.size()];
    const std::size_t start = draws.below(place.size());
    for (std::size_t i = 0; i < place.size(); ++i) {
      std::byte& found = place[(start + i) % place.size()];
      if (found == std::byte{0}) continue;
      found ^= static_cast<std::byte>(1u << draws.below(8));
      return true;
    }
  }
  return false;
}

void Faults::happened(const Fault& fault) {
  ++done_[static_cast<std::size_t>(fault.kind)];
  if (world_.observer() == nullptr) return;
  TraceEvent event;
  event.kind = TraceKind::kFault;
  event.time = event.now = world_.now_ps();
  event.node = fault.node;
  event.peer = fault.peer;
  event.fault = &fault;
  world_.observer()->saw(event);
}

// The first of the plan that waits for this, no longer waiting; kAlone: none does.
std::size_t Faults::take_waiting(NodeId node, NodeId peer, FaultKind first, FaultKind last) {
  const auto found = std::find_if(wait_.begin(), wait_.end(), [&](std::size_t i) {
    const Fault& fault = plan_[i].fault;
    return fault.node == node && (fault.peer == kNoNode || fault.peer == peer) && fault.kind >= first &&
           fault.kind <= last;
  });
  if (found == wait_.end()) return kAlone;
  const std::size_t i = *found;
  wait_.erase(found);
  return i;
}

OpVerdict Faults::on_post(NodeId node, NodeId peer, OpKind kind) {
  OpVerdict verdict;
  verdict.cause = kAlone;
  if (kind == OpKind::kWrite) {
    const std::size_t i = take_waiting(node, peer, FaultKind::kTornWrite, FaultKind::kLateWrite);
    if (i != kAlone) {
      const Fault& fault = plan_[i].fault;
      const bool torn = fault.kind == FaultKind::kTornWrite;
      // One that is late for good never lands.
      const bool lost = !torn && fault.lasts_ns >= kPsNever / kPsPerNs;
      verdict.kind = torn ? OpVerdict::kTorn : lost ? OpVerdict::kChannelLoss : OpVerdict::kLate;
      verdict.tear = fault.tear;
      verdict.salt = fault.salt;
      verdict.lasts = verdict.kind == OpVerdict::kLate ? fault.lasts_ns * kPsPerNs : 0;
      verdict.cause = i;
      if (lost) struck(verdict, node, peer);
      return verdict;
    }
    if (draws(node, chances_.torn_write_ppm)) {
      Rng& rng = rngs_[index(node)];
      verdict.kind = OpVerdict::kTorn;
      verdict.tear = static_cast<Tear>(rng.below(3));
      verdict.salt = rng.next();
      return verdict;
    }
  }
  if (draws(node, chances_.channel_loss_ppm)) {
    verdict.kind = OpVerdict::kChannelLoss;
    Fault fault{.kind = FaultKind::kChannelLoss, .at_ns = world_.now_ps() / kPsPerNs, .node = node, .peer = peer};
    happened(fault);
  }
  return verdict;
}

void Faults::struck(const OpVerdict& verdict, NodeId node, NodeId peer) {
  if (verdict.cause == kAlone) {
    happened({.kind = FaultKind::kTornWrite,
              .at_ns = world_.now_ps() / kPsPerNs,
              .node = node,
              .peer = peer,
              .tear = verdict.tear,
              .salt = verdict.salt});
    return;
  }
  plan_[verdict.cause].state = State::kOver;
  happened(plan_[verdict.cause].fault);
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    if (plan_[i].with == verdict.cause) world_.at(world_.now_ps(), [this, i] { begin(i); });
  }
}

MessageVerdict Faults::on_message(NodeId node, NodeId from) {
  MessageVerdict verdict;
  Fault fault{.at_ns = world_.now_ps() / kPsPerNs, .node = node, .peer = from};
  const std::size_t i = take_waiting(node, from, FaultKind::kMessageLoss, FaultKind::kMessageTwice);
  if (i != kAlone) {
    fault = plan_[i].fault;
    plan_[i].state = State::kOver;
  } else if (draws(node, chances_.message_loss_ppm)) {
    fault.kind = FaultKind::kMessageLoss;
  } else if (draws(node, chances_.message_twice_ppm)) {
    fault.kind = FaultKind::kMessageTwice;
    fault.salt = rngs_[index(node)].next();
  } else {
    return verdict;
  }
  verdict.kind = fault.kind == FaultKind::kMessageLoss ? MessageVerdict::kLost : MessageVerdict::kTwice;
  verdict.later = static_cast<TimePs>(fault.salt % kLatestCopy);
  happened(fault);
  return verdict;
}

AppendVerdict Faults::on_append(NodeId node, std::uint64_t bytes) {
  AppendVerdict verdict;
  const std::size_t i = take_waiting(node, kNoNode, FaultKind::kStorageLost, FaultKind::kStorageFailed);
  if (i == kAlone) return verdict;
  const Fault& fault = plan_[i].fault;
  plan_[i].state = State::kOver;
  happened(fault);
  verdict.kind = fault.kind == FaultKind::kStorageLost    ? AppendVerdict::kLost
                 : fault.kind == FaultKind::kStorageShort ? AppendVerdict::kShort
                                                          : AppendVerdict::kFailed;
  verdict.bytes = bytes == 0 ? 0 : fault.salt % bytes;
  return verdict;
}

}  // namespace slipstream::sim
