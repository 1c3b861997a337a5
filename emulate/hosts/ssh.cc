#include "emulate/hosts/ssh.h"

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "emulate/hosts/build_id.h"
#include "emulate/hosts/command.h"
#include "emulate/hosts/shell_words.h"

namespace slipstream::emulate {
namespace {

constexpr const char* kVariable = "SLIPSTREAM_SSH";
constexpr int kSshFailed = 255;
constexpr int kNotExecutable = 126;
constexpr int kNotThere = 127;

// Of what is given twice ssh takes the first, so the user's own words go before these.
const std::vector<std::string> kOptions = {
    "-T",                   // no terminal: what passes is bytes
    "-a", "-x",             // nothing of this machine is lent to that one
    "-o", "BatchMode=yes",  // ask nobody
    "-o", "ConnectTimeout=5",
    "-o", "ServerAliveInterval=10",   // a machine that is lost is noticed after 30 s
    "-o", "ControlPath=none",         // a connection for each node: a shared one carries ten sessions at most
    "-o", "ClearAllForwardings=yes",  // of two nodes on a machine the second would find its port taken
    "-o", "LogLevel=ERROR",           // no banners
};

// What a user needs to know of a machine to mend its setup.
struct Entry {
  std::string path;     // "/emulate/machines/1"
  std::string target;   // "ada@node7", or "-p 2222 ada@node7"
  std::string attempt;  // a command that logs in there
  std::string program;
};

bool says(const std::string& words, std::string_view what) { return words.find(what) != std::string::npos; }

std::string remedy_for_login(const Entry& entry, const std::string& words) {
  if (says(words, "Permission denied") || says(words, "Too many authentication failures")) {
    return fmt::format(
        "it takes none of your keys, and nobody is asked for a password; put a key there (ssh-copy-id {}) "
        "or load one into ssh-agent, until this works: {}",
        entry.target, entry.attempt);
  }
  if (says(words, "Host key verification failed")) {
    return fmt::format("its host key is not known here, or not the one that is; log in by hand and compare it: {}",
                       entry.attempt);
  }
  if (says(words, "Could not resolve")) {
    return fmt::format("correct {}/ssh, or tell ssh of that name in ~/.ssh/config", entry.path);
  }
  if (says(words, "Connection refused")) {
    return fmt::format("it is reached, but no ssh server listens there; start one, or say in {}/port where it listens",
                       entry.path);
  }
  return fmt::format("it is not reached; see that it is up and that {} is right, until this works: {}", entry.path,
                     entry.attempt);
}

std::string remedy_for(const Entry& entry, int status, const std::string& words) {
  switch (status) {
    case kSshFailed: return remedy_for_login(entry, words);
    case kNotThere:
      if (says(words, "shared librar")) {
        return "that library is missing there; `./slipstream --no-install` there tells the packages that it comes with";
      }
      return fmt::format("there is no {} there; copy {} to it, or say in {}/program where it is", entry.program,
                         own_program(), entry.path);
    case kNotExecutable:
      return fmt::format(
          "{} cannot be executed there; give the right to (chmod +x), and see that the machine has a "
          "processor like this one's",
          entry.program);
    default: return {};
  }
}

// In the order in which machines are given out.
std::vector<NodeId> in_order(const RunPlan& plan) {
  std::vector<NodeId> nodes;
  for (const NodeKind kind : {NodeKind::kServer, NodeKind::kClient, NodeKind::kCoordinator}) {
    for (std::uint16_t i = 0; i < plan.nodes; ++i) {
      if (plan.kind(NodeId{i}) == kind) nodes.push_back(NodeId{i});
    }
  }
  return nodes;
}

const std::string& target_of(const Machine& machine) { return machine.ssh.empty() ? machine.address : machine.ssh; }

Place place_on(const Machine& machine, std::string path, const std::vector<std::string>& ssh) {
  std::vector<std::string> where;
  if (machine.port != 0) where = {"-p", std::to_string(machine.port)};
  where.push_back(target_of(machine));
  std::vector<std::string> attempt = ssh;
  attempt.insert(attempt.end(), where.begin(), where.end());
  attempt.emplace_back("true");

  Place place;
  place.name = machine.ssh.empty() ? machine.address : fmt::format("{} ({})", machine.address, machine.ssh);
  place.command = ssh;
  place.command.insert(place.command.end(), kOptions.begin(), kOptions.end());
  place.command.insert(place.command.end(), where.begin(), where.end());
  place.program = shell_quoted(machine.program.empty() ? own_program() : machine.program);  // a shell there reads it
  place.address = machine.address;
  place.device = machine.device;
  place.cores = machine.cores;
  place.remedy = [entry = Entry{std::move(path), shell_line(where), shell_line(attempt), place.program}](
                     int status, const std::string& words) { return remedy_for(entry, status, words); };
  return place;
}

std::vector<std::string> ssh_command() {
  const char* const said = std::getenv(kVariable);
  if (said == nullptr || *said == '\0') return {"ssh"};
  std::vector<std::string> words;
  try {
    words = shell_split(said);
  } catch (const std::runtime_error& problem) {
    throw std::runtime_error(fmt::format("{} in the environment is no command: {}", kVariable, problem.what()));
  }
  if (words.empty()) return {"ssh"};
  return words;
}

void require(const std::vector<std::string>& ssh) {
  const CommandOutcome outcome = run_command({ssh.front(), "-V"});
  if (outcome.status == kNotThere) {
    throw std::runtime_error(
        fmt::format("cannot run {}: {}; on Debian: apt-get install openssh-client, or say in {} "
                    "which command to use",
                    ssh.front(), outcome.errors, kVariable));
  }
}

}  // namespace

std::vector<Place> ssh_places(const RunPlan& plan, const EmulateOptions& options, const std::vector<std::string>& ssh) {
  if (options.machines.empty()) throw std::runtime_error("hosts are ssh, but no machines are named");
  std::vector<Place> places(plan.nodes);
  const std::vector<NodeId> nodes = in_order(plan);
  // One that is in the inventory by two addresses is one machine with one set of cores.
  std::map<std::pair<std::string, std::uint16_t>, std::vector<Place*>> together;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const std::size_t which = i % options.machines.size();
    const Machine& machine = options.machines[which];
    Place& place = places[index(nodes[i])];
    place = place_on(machine, fmt::format("/emulate/machines/{}", which), ssh);
    together[{target_of(machine), machine.port}].push_back(&place);
  }
  for (const auto& [machine, residents] : together) {
    for (std::size_t turn = 0; turn < residents.size(); ++turn) {
      residents[turn]->sharing = static_cast<std::uint16_t>(residents.size());
      residents[turn]->turn = static_cast<std::uint16_t>(turn);
    }
  }
  return places;
}

RunResult run_ssh(const RunPlan& plan, const EmulateOptions& options) {
  const std::vector<std::string> ssh = ssh_command();
  require(ssh);
  return run_agents(plan, options, ssh_places(plan, options, ssh));
}

}  // namespace slipstream::emulate
