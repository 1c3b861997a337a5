#include "sim/world.h"

#include <stdexcept>

#include <fmt/format.h>

#include "core/base/rng.h"

namespace slipstream::sim {

namespace {

constexpr std::uint32_t kMostWorkers = 64;
constexpr std::uint32_t kMostBatch = 1024;
// Asking all nodes for trouble or doneness takes time: now and then is often enough.
constexpr std::uint64_t kEventsBetweenQuestions = 4096;

std::string problem_with(const SimOptions& options) {
  if (options.workers < 1 || options.workers > kMostWorkers) {
    return fmt::format("workers: {} is not between 1 and {}", options.workers, kMostWorkers);
  }
  if (options.batch < 1 || options.batch > kMostBatch) {
    return fmt::format("batch: {} is not between 1 and {}", options.batch, kMostBatch);
  }
  return {};
}

template <typename T>
const T& checked(const T& input) {
  const std::string problem = problem_with(input);
  if (!problem.empty()) throw std::runtime_error(problem);
  return input;
}

// While a world runs, failed checks tell about its current turn.
class ContextScope {
 public:
  explicit ContextScope(const CheckContext& context) : before_(CheckContext::current) {
    CheckContext::current = &context;
  }
  ~ContextScope() { CheckContext::current = before_; }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  const CheckContext* before_;
};

}  // namespace

std::string_view name(Ending ending) {
  static constexpr std::string_view kNames[] = {"done", "stopped", "trouble", "limit", "silence"};
  return kNames[static_cast<std::size_t>(ending)];
}

World::World(const HardwareProfile& hardware, const SimOptions& options, std::uint64_t seed)
    : hardware_(checked(hardware)),
      options_(checked(options)),
      prices_(hardware_.costs()),
      network_(queue_, hardware_) {
  network_.set_write_order(options.write_order, options.write_settle_ns * kPsPerNs, seed);
  context_.seed = seed;
  context_.describe = [](const void* node) {
    return node == nullptr ? std::string("none") : static_cast<const Node*>(node)->describe();
  };
}

Fabric& World::add(NodeKind kind) {
  SLIP_CHECK(!started_);
  const bool threaded = kind == NodeKind::kServer && options_.threading == Threading::kDispatchWorkers;
  kinds_.push_back(kind);
  Machine& made = machines_.emplace_back(network_, queue_, hardware_, kind,
                                         threaded ? DispatchWorkers::compute_costs(hardware_) : prices_,
                                         options_.keep_stored_bytes);
  if (options_.rare_one_in > 0) made.host.draw_rare_choices(context_.seed, options_.rare_one_in);
  make_cores(made, threaded);
  return made.host.fabric();
}

void World::place(NodeId id, std::unique_ptr<Node> node) { machine(id).host.place(std::move(node)); }

void World::place(NodeId id, MakeNode make) {
  Machine& at = machine(id);
  at.make = std::move(make);
  at.host.place(at.make(id, at.host.fabric(), at.host.storage()));
}

void World::make_cores(Machine& machine, bool threaded) {
  if (threaded) {
    machine.workers.emplace(machine.host, context_, hardware(machine), options_, kinds_);
  } else {
    machine.loop.emplace(machine.host, context_, hardware(machine), options_.batch);
  }
}

void World::start() {
  started_ = true;
  for (Machine& each : machines_) {
    if (!each.still) each.loop ? each.loop->turn() : each.workers->start();
  }
}

Ending World::run(const std::function<bool()>& stop) {
  const ContextScope scope(context_);
  if (!started_) start();
  const TimePs limit = options_.limit_ns >= kPsNever / kPsPerNs ? kPsNever : options_.limit_ns * kPsPerNs;
  while (!queue_.empty()) {
    if (queue_.next_time() > limit) return in_trouble() ? Ending::kTrouble : Ending::kLimit;
    Machine* const changed = carry_out(queue_.pop());
    if (stop && stop()) return Ending::kStopped;
    const bool coordinator = changed != nullptr && changed->host.kind() == NodeKind::kCoordinator;
    const bool now_and_then = queue_.popped() % kEventsBetweenQuestions == 0;
    if (now_and_then && in_trouble()) return Ending::kTrouble;
    if ((coordinator || now_and_then) && all_done()) return Ending::kDone;
  }
  return in_trouble() ? Ending::kTrouble : all_done() ? Ending::kDone : Ending::kSilence;
}

// Gives the machine whose node may have taken a turn, or nullptr.
World::Machine* World::carry_out(const QueuedEvent event) {
  const auto kind = static_cast<Happening>(event.kind);
  switch (kind) {
    case Happening::kDataAtSwitch:
    case Happening::kAckAtSwitch:
    case Happening::kDelivery:
    case Happening::kNicDone: {
      const NodeId told = network_.handle(kind, event.what);
      if (told == kNoNode) return nullptr;
      machine(told).arrived();
      return &machine(told);
    }
    case Happening::kOpsReady: {
      Machine& at = machine(network_.sender(event.what));
      at.workers->ops_ready(event.what);
      return nullptr;
    }
    case Happening::kAlarm:
    case Happening::kTurn:
    case Happening::kServed:
    case Happening::kWorkers: break;
    default: return carry_out_rare(event);
  }
  Machine& at = machines_[event.what];
  switch (kind) {
    case Happening::kAlarm: at.alarm(); break;
    case Happening::kTurn: at.loop->turn(); break;
    case Happening::kServed: at.workers->served(); break;
    default: at.workers->workers_wake();
  }
  return &at;
}

bool World::all_done() const {
  bool coordinated = false;
  bool all = true;
  for (const Machine& each : machines_) {
    if (each.host.kind() != NodeKind::kCoordinator) continue;
    coordinated = true;
    all &= each.host.alive() && each.host.node().done();
  }
  if (coordinated) return all;
  for (const Machine& each : machines_) all &= !each.host.alive() || each.host.node().done();
  return all;
}

bool World::in_trouble() {
  for (const Machine& each : machines_) {
    std::string trouble = each.host.alive() ? each.host.node().trouble() : std::string();
    if (trouble.empty()) continue;
    trouble_ = fmt::format("node {}: {}", index(each.host.id()), trouble);
    return true;
  }
  return false;
}

std::uint64_t World::taken(Rare rare) const {
  std::uint64_t sum = 0;
  for (const Machine& each : machines_) sum += each.host.taken(rare);
  return sum;
}

NodeReport World::report(NodeId id) const { return machine(id).host.report(prices_); }

CoreReport World::core_report(NodeId id) const {
  const Machine& at = machine(id);
  const CoreUse use = at.host.window_use();
  CoreReport report;
  report.node = id;
  report.workers = at.workers ? options_.workers : 0;
  report.window_ns = at.host.window_ns();
  report.dispatch_busy_ns = static_cast<std::uint64_t>(use.dispatch / kPsPerNs);
  report.workers_busy_ns = static_cast<std::uint64_t>(use.workers / kPsPerNs);
  report.workers_waiting_ns = static_cast<std::uint64_t>(use.waiting / kPsPerNs);
  report.turns = use.turns;
  report.requests_queued = use.queued;
  return report;
}

std::uint64_t World::state_hash() const {
  std::uint64_t hash = mix64(static_cast<std::uint64_t>(queue_.now())) ^ mix64(queue_.popped() + 1);
  const auto add = [&hash](std::uint64_t value) { hash = mix64(hash ^ value); };
  for (const Machine& each : machines_) {
    add(each.host.alive() ? each.host.node().state_hash() : 0);
    add(network_.bytes_sent(each.host.id()));
    add(each.host.use.turns);
    add(static_cast<std::uint64_t>(each.host.use.dispatch));
    add(static_cast<std::uint64_t>(each.host.use.workers));
    add(static_cast<std::uint64_t>(each.host.use.waiting));
  }
  return hash;
}

}  // namespace slipstream::sim
