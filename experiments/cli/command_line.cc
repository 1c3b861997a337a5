#include "experiments/cli/command_line.h"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/cli/bench.h"
#include "experiments/cli/commands.h"
#include "experiments/cli/doctor.h"
#include "experiments/cli/experiment.h"
#include "experiments/cli/guest.h"
#include "experiments/cli/inspect.h"
#include "experiments/cli/swarm.h"
#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  slipstream run quickstart                     RPC replication against Tailwind, here and in the simulator\n"
    "  slipstream run quickstart --on sim            the same in the simulator alone\n"
    "  slipstream run quickstart --set cluster.clients=[1,2,4] --out results/clients\n"
    "  slipstream describe quickstart                every option, its value and what it means\n"
    "\n"
    "Exit status: 0 all is well, 1 a run failed, 2 the spec or the command line is wrong, 3 a claim of the spec's\n"
    "`expect` does not hold, 4 a safety violation, 130 interrupted.";

void add_spec_options(CLI::App& command, RunRequest& request, std::vector<std::string>& sets) {
  command.add_option("SPEC", request.spec, "a spec file, or the name of one in experiments/specs")
      ->required()
      ->type_name(" ");
  command
      .add_option("--set", sets,
                  "override an option, such as cluster.servers=8; a list sweeps it: workload.outstanding=[1,16]")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command
      .add_option("--on", request.overrides.on,
                  "where to run: in the simulator, or for real over shared memory, TCP or RDMA")
      ->check(CLI::IsMember({"sim", "shm", "tcp", "verbs"}).description(""))
      ->type_name("sim|shm|tcp|verbs");
  command
      .add_option("--hosts", request.overrides.hosts,
                  "for real: where the nodes live; in this process, in a process each, in a virtual machine, in "
                  "containers, on an emulated network, on the machines of the spec")
      ->check(CLI::IsMember({"packed", "processes", "vm", "containers", "mininet", "ssh"}).description(""))
      ->type_name("packed|processes|vm|containers|mininet|ssh");
  command.add_option("--seed", request.overrides.seed, "of the first repeat")->type_name("N");
  command.add_option("--repeats", request.overrides.repeats, "how often each point is run")->type_name("N");
  command.add_flag("--json", request.json, "machine output only");
}

void add_swarm_options(CLI::App& command, SwarmRequest& request) {
  command.add_option("--seeds", request.seeds, "how many scenarios (default: 1000; of each mutant: at most 2000)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000'000}).description(""))
      ->type_name("N");
  command.add_option("--minutes", request.minutes, "go on for so long")
      ->check(CLI::Range(0.01, 100'000.0).description(""))
      ->type_name("M");
  command.add_option("--first", request.first, "the first seed (default: drawn, and told)")->type_name("S");
  command.add_option("--jobs", request.jobs, "processes (default: one per core)")
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name("N");
  command.add_option("--policy", request.policy, "only this one (default: all safe ones)")->type_name("POLICY");
  command.add_option("--seed", request.seed, "run this one alone and tell all")->type_name("S");
  command.add_flag("--trace", request.trace, "with --seed: who sent what, what landed, who died");
  command.add_option("--history", request.history, "with --seed: write what the clients saw, as JSON lines")
      ->type_name("FILE");
  command.add_flag("--mutants", request.mutants, "plant one bug after the other: how many seeds until it is noticed?");
  command.add_option("--mutant", request.mutant, "only this planted bug")->type_name("NAME");
  command.add_flag("--json", request.json, "machine output only");
}

void add_inspect_options(CLI::App& command, InspectRequest& request) {
  command.add_option("FILE", request.files, "replica memory, stored frames, segments, or folders of these")
      ->required()
      ->type_name(" ");
  command.add_flag("--entries", request.entries, "list every entry, too");
  command.add_flag("--json", request.json, "machine output only");
  command.footer("Exit status: 0 all verifies, 1 something does not (told), 2 a file is none of these.");
}

void add_bench_options(CLI::App& command, BenchRequest& request) {
  command.add_option("only", request.only, "benchmark programs or specs (default: all)")->type_name("NAME...");
  command.add_option("--out", request.out, "where the specs' results go (default: results/bench)")->type_name("FOLDER");
  command.add_flag("--json", request.json, "machine output only");
}

void split_sets(const std::vector<std::string>& sets, RunRequest& request) {
  for (const std::string& set : sets) {
    const auto equals = set.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UserError(kExitUsage, fmt::format("--set {}: expected PATH=VALUE, such as --set cluster.servers=8", set));
    }
    request.overrides.sets.emplace_back(set.substr(0, equals), set.substr(equals + 1));
  }
}

// CLI11's words, with the place to read on; a word that is no command gets the nearest one.
std::string parse_problem(const CLI::App& app, const CLI::ParseError& error, int argc, const char* const* argv) {
  std::vector<std::string> commands;
  const CLI::App* chosen = nullptr;
  for (const CLI::App* command : app.get_subcommands({})) {
    if (!command->get_group().empty()) commands.push_back(command->get_name());
    if (command->parsed() || (argc > 1 && command->get_name() == argv[1])) chosen = command;
  }
  if (chosen != nullptr) return fmt::format("{}; see `slipstream {} --help`", error.what(), chosen->get_name());
  const std::string word = argc > 1 ? argv[1] : "";
  const std::string near = nearest(word, commands);
  return fmt::format("{}{}; commands are {}; see `slipstream --help`",
                     word.empty() ? "no command" : fmt::format("no command \"{}\"", word),
                     near.empty() || word.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near),
                     fmt::join(commands, ", "));
}

int parse_and_run(int argc, const char* const* argv) {
  CLI::App app(
      "Slipstream: a testbed for replication in in-memory stores. One JSON spec, run for real on this machine and "
      "in a simulator by the same code.",
      "slipstream");
  app.require_subcommand(1);
  RunRequest request;
  std::vector<std::string> sets;
  std::string folder;

  CLI::App* run =
      app.add_subcommand("run", "run a spec; a second run into the same folder carries on where the first ended");
  add_spec_options(*run, request, sets);
  run->add_option("--out", request.out, "results folder (default: results/NAME)")->type_name("FOLDER");
  run->add_option("--jobs", request.jobs, "simulated points at a time (default: one per core); real runs go one by one")
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name("N");
  run->add_option("--trace-out", request.trace_out,
                  "write what happens in the first run to this file; it opens in Perfetto")
      ->type_name("FILE");
  run->add_option("--guest-part", request.guest_part)->group("");  // hidden: what a run asks of its guest
  CLI::App* describe =
      app.add_subcommand("describe", "tell what a spec would do, with every option's value and meaning");
  add_spec_options(*describe, request, sets);
  CLI::App* list = app.add_subcommand("list", "list the specs that come with Slipstream");
  list->add_flag("--json", request.json, "machine output only");
  CLI::App* schema = app.add_subcommand("schema", "print the JSON Schema of a spec");
  CLI::App* report = app.add_subcommand("report", "make report.html of a results folder");
  report->add_option("FOLDER", folder, "a results folder")->required()->type_name(" ");
  CLI::App* bench = app.add_subcommand(
      "bench", "measure the building blocks and the experiments that have a goal; takes some minutes");
  BenchRequest bench_request;
  add_bench_options(*bench, bench_request);

  CLI::App* agent = app.add_subcommand("agent", "be a node of a run elsewhere; started by that run")->group("");

  SwarmRequest swarm_request;
  CLI::App* swarm = app.add_subcommand(
      "swarm", "hunt for lost data: clusters, workloads and faults drawn from seeds, run in the simulator and judged");
  add_swarm_options(*swarm, swarm_request);

  InspectRequest inspect_request;
  CLI::App* inspect = app.add_subcommand(
      "inspect", "tell what a replica file, a stored frame or a run's folder holds, and where it stops being valid");
  add_inspect_options(*inspect, inspect_request);

  CLI::App* doctor =
      app.add_subcommand("doctor", "which fabrics and hosts work on this machine, and how to mend others");
  doctor->add_flag("--json", request.json, "machine output only");

  app.footer(kFooter);  // after the commands, which would take it over

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    throw UserError(kExitUsage, parse_problem(app, error, argc, argv));
  }
  split_sets(sets, request);
  if (run->parsed()) return request.guest_part.empty() ? run_command(request) : guest_part_command(request);
  if (describe->parsed()) return describe_command(request);
  if (list->parsed()) return list_command(request.json);
  if (doctor->parsed()) return doctor_command(request.json);
  if (schema->parsed()) return schema_command();
  if (swarm->parsed()) return swarm_command(swarm_request);
  if (inspect->parsed()) return inspect_command(inspect_request);
  if (bench->parsed()) return bench_command(bench_request);
  if (agent->parsed()) return agent_command();
  return report_command(folder);
}

}  // namespace

int command_line(int argc, const char* const* argv) {
  try {
    const int status = parse_and_run(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      throw UserError(kExitRunFailed, "standard output cannot be written: what was to be printed is lost");
    }
    return status;
  } catch (const UserError& problem) {
    fmt::print(stderr, "slipstream: {}\n", problem.what());
    return problem.exit_status();
  } catch (const std::exception& problem) {
    fmt::print(stderr, "slipstream: {}\n", problem.what());
    return kExitRunFailed;
  }
}

}  // namespace slipstream::cli
