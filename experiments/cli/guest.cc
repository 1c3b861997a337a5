#include "experiments/cli/guest.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "emulate/fabric/verbs/verbs.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/signals.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;
using emulate::FabricKind;
using emulate::HostKind;

// Set by emulate/hosts/vm/vm.py for what runs in its guest: "emulated" or "hardware".
constexpr const char* kGuestVariable = "SLIPSTREAM_IN_VM";
// Exit statuses of vm.py, beside those of the program in the guest.
constexpr int kTimeIsOver = 124;
constexpr int kMachineFailed = 125;

constexpr int kLookMs = 100;
constexpr std::size_t kMostAddresses = 254;

bool in_guest() { return std::getenv(kGuestVariable) != nullptr; }

bool is_local(HostKind hosts) {
  return hosts == HostKind::kPacked || hosts == HostKind::kProcesses || hosts == HostKind::kVm;
}

std::string hosts_text(const std::vector<HostKind>& hosts) {
  std::vector<std::string_view> names;
  for (const HostKind kind : hosts) names.push_back(emulate::name(kind));
  return fmt::format("{}", fmt::join(names, ","));
}

// How much of it the folder has.
std::size_t finished_runs(const std::vector<Point>& points, std::uint32_t repeats, const ResultsFolder& folder) {
  std::size_t finished = 0;
  for (const Point& point : points) {
    for (std::uint32_t repeat = 0; repeat < repeats; ++repeat) finished += folder.has(point.id, repeat) ? 1 : 0;
  }
  return finished;
}

// An address for each node; all the time that the runs may take; a kernel that has RDMA devices on Mininet's hosts.
std::vector<std::string> machine_options(const std::vector<Point>& points, std::uint32_t repeats) {
  std::size_t nodes = 1;
  double seconds = 60;
  std::string kernel = "stable";
  for (const Point& point : points) {
    const Experiment& experiment = point.experiment;
    nodes = std::max<std::size_t>(nodes, node_count(experiment.cluster));
    seconds += static_cast<double>(experiment.emulate.time_limit_ns) / 1e9 * repeats;
    const bool each_has_a_device =
        experiment.emulate.fabric == FabricKind::kVerbs && experiment.emulate.hosts == HostKind::kMininet;
    if (each_has_a_device) kernel = "backports";
  }
  return {"--addresses", std::to_string(std::min(nodes, kMostAddresses)),
          "--limit",     fmt::format("{:.0f}", seconds),
          "--kernel",    kernel};
}

// The guest may write to the results only.
fs::path trace_in(const fs::path& out) { return out / "trace.json"; }

std::vector<std::string> guest_command(const GuestPlan& plan, const Spec& spec, const std::vector<Point>& points,
                                       const fs::path& out, bool show_progress) {
  const fs::path root = fs::canonical(repository_root());
  std::vector<std::string> command = {"/usr/bin/python3", (root / "emulate/hosts/vm/vm.py").string(), "run"};
  for (std::string& option : machine_options(points, spec.base.repeats)) command.push_back(std::move(option));
  for (const std::string& word :
       {std::string("--readable"), root.string(), std::string("--writable"), out.string(), std::string("--"),
        fs::read_symlink("/proc/self/exe").string(), std::string("run"), (out / "spec.json").string(),
        std::string("--out"), out.string(), std::string("--guest-part"), hosts_text(plan.hosts)}) {
    command.push_back(word);
  }
  if (!show_progress) command.emplace_back("--json");
  if (!points.front().experiment.trace_out.empty()) {
    command.emplace_back("--trace-out");
    command.push_back(trace_in(out).string());
  }
  return command;
}

// vm.py has a process group of its own: Ctrl-C at the terminal reaches it through this process only, once.
pid_t start(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw UserError(kExitRunFailed, fmt::format("cannot start {}: {}", command[0], std::strerror(errno)));
  if (pid > 0) return pid;
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kMachineFailed);
  std::signal(SIGTTOU, SIG_IGN);  // it may write to the terminal
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  ::execv(argv[0], argv.data());
  fmt::print(stderr, "slipstream: {} cannot be run ({}); install python3\n", command[0], std::strerror(errno));
  ::_exit(kMachineFailed);
}

// Its wait status. Each Ctrl-C is passed on; the guest ends in good order at the first and at once at the second.
int wait_for(pid_t pid) {
  int status = 0;
  int passed_on = 0;
  while (true) {
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended == pid || (ended < 0 && errno != EINTR)) return status;
    for (; passed_on < signals_caught(); ++passed_on) ::kill(pid, SIGINT);
    ::poll(nullptr, 0, kLookMs);
  }
}

// What the user has not been told yet; empty: nothing.
std::string failure_of(int wait_status, std::size_t missing) {
  if (WIFSIGNALED(wait_status)) return fmt::format("vm.py was ended by signal {}", WTERMSIG(wait_status));
  switch (WEXITSTATUS(wait_status)) {
    case kExitOk: return missing == 0 ? "" : "the virtual machine ended without all results";
    case kExitRunFailed: return {};
    case kTimeIsOver: return "all runs in the virtual machine together took longer than /emulate/time_limit for each";
    case kMachineFailed: return "the virtual machine failed, see above";
    default: return fmt::format("the program in the virtual machine ended with status {}", WEXITSTATUS(wait_status));
  }
}

}  // namespace

std::string guest_text() {
  const char* kind = std::getenv(kGuestVariable);
  if (kind == nullptr) return {};
  utsname system{};
  ::uname(&system);
  return fmt::format("{} {}, {}", system.sysname, system.release,
                     std::string_view(kind) == "hardware" ? "hardware virtualisation" : "processor emulated");
}

bool has_rdma_device() { return !emulate::verbs_ports().empty(); }

bool GuestPlan::takes(const Point& point) const {
  return point.world == World::kEmulate &&
         std::find(hosts.begin(), hosts.end(), point.experiment.emulate.hosts) != hosts.end();
}

GuestPlan plan_guest(const std::vector<Point>& points, bool has_device) {
  GuestPlan plan;
  if (in_guest()) return plan;
  std::set<HostKind> there;
  for (const Point& point : points) {
    if (point.world != World::kEmulate || point.experiment.emulate.hosts == HostKind::kSsh) continue;
    there.insert(point.experiment.emulate.hosts);
    const bool asks = point.experiment.emulate.hosts == HostKind::kVm;
    if (point.experiment.emulate.fabric == FabricKind::kVerbs && !asks && !has_device) plan.for_device = true;
  }
  // Points over other fabrics go along, so that what is compared was made on the same machine.
  for (const HostKind kind : there) {
    if (kind == HostKind::kVm || plan.for_device) plan.hosts.push_back(kind);
  }
  return plan;
}

Spec read_spec_for_here(const fs::path& file, Overrides overrides, bool has_device,
                        const std::function<void(const std::string&)>& say) {
  Spec spec = read_spec(file, overrides);
  const GuestPlan plan = plan_guest(points_of(spec), has_device);
  if (!plan.for_device) return spec;
  say("slipstream: this machine has no RDMA device, so what is not simulated runs in a virtual machine with SoftRoCE "
      "(--hosts vm)");
  if (!std::all_of(plan.hosts.begin(), plan.hosts.end(), is_local)) return spec;
  overrides.hosts = emulate::name(HostKind::kVm);
  return read_spec(file, overrides);
}

RunSummary run_in_guest(const GuestPlan& plan, const Spec& spec, const std::vector<Point>& points,
                        ResultsFolder& folder, bool show_progress, const std::function<void(const std::string&)>& say) {
  RunSummary summary;
  summary.runs = points.size() * spec.base.repeats;
  summary.skipped = finished_runs(points, spec.base.repeats, folder);
  if (summary.skipped == summary.runs) {
    say(fmt::format("{} of {} runs are in {} already and are not made again", summary.skipped, summary.runs,
                    folder.path().string()));
    return summary;
  }
  SignalWatch watch;
  if (!show_progress) say("slipstream: booting a virtual machine, which takes 5 to 60 s");
  const int status = wait_for(start(guest_command(plan, spec, points, fs::canonical(folder.path()), show_progress)));
  folder.reload(say);
  if (const std::string& trace = points.front().experiment.trace_out; !trace.empty()) {
    const fs::path made = trace_in(folder.path());
    std::error_code failed;
    if (!fs::equivalent(made, trace, failed)) {
      fs::copy_file(made, trace, fs::copy_options::overwrite_existing, failed);
      if (failed) {
        say(fmt::format("slipstream: the trace is in {}; it cannot be copied to {} ({})", made.string(), trace,
                        failed.message()));
      } else {
        fs::remove(made, failed);
      }
    }
  }
  const std::size_t now = finished_runs(points, spec.base.repeats, folder);
  summary.finished = now - summary.skipped;
  summary.interrupted = signals_caught() > 0 || (WIFEXITED(status) && WEXITSTATUS(status) == kExitInterrupted);
  if (summary.interrupted) return summary;
  summary.failed = summary.runs - now;
  if (std::string failure = failure_of(status, summary.failed); !failure.empty()) {
    summary.failures.push_back(std::move(failure));
  }
  return summary;
}

int guest_part_command(const RunRequest& request) {
  if (!in_guest()) throw UserError(kExitUsage, "--guest-part: is for the guest of another run; leave it out");
  const Spec spec = read_spec(request.spec, request.overrides);
  GuestPlan plan;
  std::string_view rest = request.guest_part;
  while (!rest.empty()) {
    const auto comma = std::min(rest.find(','), rest.size());
    if (const auto kind = emulate::host_kind_of(rest.substr(0, comma))) plan.hosts.push_back(*kind);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  std::vector<Point> points = points_of(spec);
  std::erase_if(points, [&](const Point& point) { return !plan.takes(point); });
  if (!points.empty()) points.front().experiment.trace_out = request.trace_out;
  const auto say = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
  // The run outside has told of the machine; the guest is added.
  const fs::path told = fs::path(request.out) / "environment.json";
  Json environment = parse_json(told.string(), read_text(told));
  environment["guest"] = guest_text();
  ResultsFolder folder(request.out, spec.document, environment, say);
  folder.write_file("environment.json", environment.dump(2) + "\n");
  const RunSummary summary = run_points(spec, points, folder, 1, !request.json);
  if (summary.interrupted) return kExitInterrupted;
  for (const std::string& failure : summary.failures) fmt::print(stderr, "slipstream: a run failed: {}\n", failure);
  return summary.failed == 0 ? kExitOk : kExitRunFailed;
}

std::string guest_note(const std::vector<Json>& lines) {
  std::set<std::string> guests;
  for (const Json& line : lines) {
    if (line.contains("guest")) guests.insert(line.at("guest").get<std::string>());
  }
  std::string text;
  for (const std::string& guest : guests) {
    text += fmt::format(
        "vm: in a virtual machine ({}){}\n", guest,
        guest.ends_with("emulated") ? "; its times are those of an emulator, counts and bytes are as anywhere" : "");
  }
  return text;
}

}  // namespace slipstream::cli
