#include "experiments/cli/swarm.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include <unistd.h>

#include <fmt/format.h>

#include "core/base/mutation.h"
#include "experiments/cli/experiment.h"
#include "experiments/cli/hardware.h"
#include "experiments/cli/json.h"
#include "experiments/cli/signals.h"
#include "experiments/cli/swarm_workers.h"
#include "sim/scenario.h"
#include "core/node/trace.h"
#include "sim/world.h"

namespace slipstream::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kSeeds = 1000;
constexpr std::uint64_t kSeedsPerMutant = 2000;
constexpr std::uint64_t kTwiceEach = 16;  // one seed in so many is run twice and compared
constexpr const char* kHardware = "connectx3-fdr-r320";

std::optional<Policy> policy_of_request(const SwarmRequest& request) {
  if (request.policy.empty()) return std::nullopt;
  const std::optional<Policy> policy = policy_of(request.policy);
  if (!policy || *policy == Policy::kNone) {
    throw UserError(kExitUsage,
                    fmt::format("--policy {}: there are rpc, tailwind and onesided-unsafe", request.policy));
  }
  return policy;
}

Mutant mutant_of_request(const SwarmRequest& request) {
  const std::optional<Mutant> mutant = mutant_of(request.mutant);
  if (!mutant)
    throw UserError(kExitUsage, fmt::format("no mutant is called \"{}\"; see swarm --mutants", request.mutant));
  return *mutant;
}

void require_mutants() {
  if (kHasMutants) return;
  throw UserError(kExitUsage,
                  "this build has no planted bugs; run `./slipstream swarm --mutants`, which makes one that has");
}

SeedResult judge(std::uint64_t seed, std::optional<Policy> policy, const sim::HardwareProfile& hardware,
                 bool may_twice) {
  const sim::Scenario scenario = sim::draw_scenario(seed, {policy, std::nullopt});
  const sim::Verdict verdict = sim::run_scenario(scenario, hardware);
  SeedResult result{seed, {}, verdict.operations, verdict.faults, verdict.recoveries};
  if (!verdict.findings.empty()) result.violation = describe(verdict.findings);
  if (result.violation.empty() && may_twice && seed % kTwiceEach == 0) {
    if (sim::run_scenario(scenario, hardware).state_hash != verdict.state_hash) {
      result.violation = "the same seed gave another run";
    }
  }
  return result;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string replay_line(const SwarmRequest& request, std::uint64_t seed) {
  return fmt::format("./slipstream swarm --seed {}{}{}", seed,
                     request.policy.empty() ? "" : fmt::format(" --policy {}", request.policy),
                     request.mutant.empty() ? "" : fmt::format(" --mutant {}", request.mutant));
}

unsigned jobs_of(const SwarmRequest& request) {
  return request.jobs != 0 ? request.jobs : std::max(1u, std::thread::hardware_concurrency());
}

// ---- One seed.

void write_history(const sim::Verdict& verdict, const std::string& path) {
  std::string lines;
  std::size_t at = 0;
  for (const HistoryEvent& event : events_of(verdict.history)) {
    append_json_line(lines, at++, verdict.history[event.operation], event.ends);
  }
  std::ofstream file(path, std::ios::binary);
  file << lines;
  file.flush();
  if (!file) throw UserError(kExitRunFailed, fmt::format("--history {}: {}", path, std::strerror(errno)));
}

int replay(const SwarmRequest& request) {
  if (!request.mutant.empty()) {
    require_mutants();
    plant(mutant_of_request(request));
  }
  const sim::HardwareProfile hardware = read_hardware(hardware_file(kHardware));
  const sim::Scenario scenario = sim::draw_scenario(*request.seed, {policy_of_request(request), std::nullopt});
  fmt::print("{}", sim::describe(scenario));
  std::fflush(stdout);
  StoryOptions story_options;
  for (std::uint16_t i = 0; i < node_count(scenario.cluster); ++i) {
    story_options.names.push_back(node_name(scenario.cluster, NodeId{i}));
  }
  TextStory story(story_options, [](std::string_view line) { fmt::print("{}\n", line); });
  const sim::Verdict verdict = sim::run_scenario(scenario, hardware, [&](sim::World& world) {
    if (request.trace) world.observe(&story);
  });
  story.finish();
  if (!request.history.empty()) write_history(verdict, request.history);
  fmt::print("{} operations, {} of them of unknown outcome; {} faults struck, {} deaths; {:.3f} ms; state {:016x}\n",
             verdict.operations, verdict.unknown, verdict.faults, verdict.recoveries,
             static_cast<double>(verdict.virtual_ns) / kMillisecond, verdict.state_hash);
  if (verdict.findings.empty()) {
    fmt::print("no violation\n");
    return kExitOk;
  }
  fmt::print("{}\n", describe(verdict.findings));
  return kExitUnsafe;
}

// ---- Many.

struct Tally {
  std::uint64_t seeds = 0;
  std::uint64_t operations = 0;
  std::uint64_t faults = 0;
  std::uint64_t recoveries = 0;
  std::vector<SeedResult> failures;

  void add(const SeedResult& result) {
    ++seeds;
    operations += result.operations;
    faults += result.faults;
    recoveries += result.recoveries;
    if (!result.violation.empty()) failures.push_back(result);
  }
};

int sweep(const SwarmRequest& request) {
  const std::optional<Policy> policy = policy_of_request(request);
  const sim::HardwareProfile hardware = read_hardware(hardware_file(kHardware));
  WorkersOptions options;
  options.first = request.first ? *request.first : std::random_device{}() & 0x7fffffff;
  options.count = request.seeds ? *request.seeds : request.minutes ? 0 : kSeeds;
  options.jobs = jobs_of(request);
  const bool is_terminal = ::isatty(STDERR_FILENO) != 0 && !request.json;
  const auto start = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  Tally tally;
  SignalWatch watch;
  if (!request.json) {
    fmt::print("seeds from {}, {} at a time, policy {}\n", options.first, options.jobs,
               request.policy.empty() ? "rpc or tailwind" : request.policy);
    std::fflush(stdout);
  }
  run_seeds(
      options, [&](std::uint64_t seed) { return judge(seed, policy, hardware, true); },
      [&](const SeedResult& result) {
        tally.add(result);
        if (is_terminal) fmt::print(stderr, "\r\033[K{} seeds, {} failed", tally.seeds, tally.failures.size());
        if (result.violation.empty() || request.json) return;
        fmt::print("{}seed {}: {} | {}\n", is_terminal ? "\r\033[K" : "", result.seed, first_line(result.violation),
                   replay_line(request, result.seed));
        std::fflush(stdout);
      },
      [&] { return signals_caught() == 0 && (!request.minutes || seconds() < *request.minutes * 60); });
  if (is_terminal) fmt::print(stderr, "\r\033[K");
  const double took = seconds();
  if (request.json) {
    Json json = {{"first", options.first},   {"seeds", tally.seeds},           {"operations", tally.operations},
                 {"faults", tally.faults},   {"recoveries", tally.recoveries}, {"wall_s", took},
                 {"failures", Json::array()}};
    for (const SeedResult& failure : tally.failures) {
      json["failures"].push_back(
          {{"seed", failure.seed}, {"violation", failure.violation}, {"replay", replay_line(request, failure.seed)}});
    }
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{} seeds, {} failed; {} operations, {} faults, {} deaths; {:.1f} s, {:.0f} seeds/min\n", tally.seeds,
               tally.failures.size(), tally.operations, tally.faults, tally.recoveries, took,
               static_cast<double>(tally.seeds) / took * 60);
  }
  if (!tally.failures.empty()) return kExitUnsafe;
  return signals_caught() != 0 ? kExitInterrupted : kExitOk;
}

// ---- Planted bugs.

struct MutantResult {
  Mutant mutant{};
  std::uint64_t seeds = 0;  // run until it was noticed, or all
  std::optional<SeedResult> caught;
};

MutantResult hunt(Mutant mutant, const SwarmRequest& request, std::uint64_t first,
                  const sim::HardwareProfile& hardware) {
  MutantResult result{mutant, 0, std::nullopt};
  const std::optional<Policy> policy = policy_of_request(request);
  WorkersOptions options;
  options.first = first;
  options.count = request.seeds.value_or(kSeedsPerMutant);
  options.jobs = jobs_of(request);
  run_seeds(
      options,
      [&](std::uint64_t seed) {
        plant(mutant);
        return judge(seed, policy, hardware, false);
      },
      [&](const SeedResult& seed) {
        ++result.seeds;
        if (!seed.violation.empty() && !result.caught) result.caught = seed;
      },
      [&] { return !result.caught && signals_caught() == 0; });
  return result;
}

int mutants_command(const SwarmRequest& request) {
  require_mutants();
  const sim::HardwareProfile hardware = read_hardware(hardware_file(kHardware));
  const std::uint64_t first = request.first.value_or(1);
  SignalWatch watch;
  std::size_t missed = 0;
  Json json = Json::array();
  for (std::size_t i = 0; i <= kMutants && signals_caught() == 0; ++i) {
    const auto mutant = static_cast<Mutant>(i);
    // First of all the code as it is: what is found there is no mutant's doing.
    if (!request.mutant.empty() && name(mutant) != request.mutant) continue;
    SwarmRequest own = request;
    own.mutant = name(mutant);
    if (mutant == Mutant::kNone && !own.seeds) own.seeds = 200;
    const MutantResult result = hunt(mutant, own, first, hardware);
    const bool as_wished = result.caught.has_value() == (mutant != Mutant::kNone);
    missed += as_wished ? 0 : 1;
    const std::string what = result.caught ? first_line(result.caught->violation) : "";
    if (request.json) {
      json.push_back(
          {{"mutant", name(mutant)}, {"seeds", result.seeds}, {"caught", result.caught.has_value()}, {"how", what}});
      continue;
    }
    fmt::print("{:<26} {:<11} {:>5} seeds  {}{}\n", name(mutant),
               result.caught ? (mutant == Mutant::kNone ? "VIOLATED" : "caught")
                             : (mutant == Mutant::kNone ? "clean" : "NOT CAUGHT"),
               result.seeds, description(mutant),
               what.empty() ? ""
                            : fmt::format("\n{:>28}{}\n{:>28}{}", "", what.substr(0, 150), "",
                                          replay_line(own, result.caught->seed)));
    std::fflush(stdout);
  }
  if (request.json) fmt::print("{}\n", json.dump(2));
  if (signals_caught() != 0) return kExitInterrupted;
  return missed == 0 ? kExitOk : kExitUnsafe;
}

}  // namespace

int swarm_command(const SwarmRequest& request) {
  if (request.seed) return replay(request);
  if (request.trace || !request.history.empty()) {
    throw UserError(kExitUsage, "--trace and --history tell of one scenario: say which with --seed");
  }
  if (request.mutants || !request.mutant.empty()) return mutants_command(request);
  return sweep(request);
}

}  // namespace slipstream::cli
