#include "emulate/hosts/agents.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include <fmt/format.h>

#include "emulate/fabric/run_secret.h"
#include "emulate/hosts/agent_process.h"
#include "emulate/hosts/build_id.h"
#include "emulate/hosts/interrupt.h"
#include "emulate/hosts/node_end.h"
#include "emulate/hosts/run_directory.h"
#include "emulate/hosts/shell_words.h"
#include "emulate/loop/clock.h"

namespace slipstream::emulate {
namespace {

constexpr TimeNs kGrace = 3 * kSecond;  // for agents to do what they are told at the end
constexpr int kLookMs = 100;            // how often signals and limits are looked at
// Agents that were started and have said nothing yet: an sshd refuses more than 10 who have not logged in yet.
constexpr std::size_t kStartingAtOnce = 8;

struct Agent {
  // In order; the driver waits until all have come to the next.
  enum class Stage : std::uint8_t { kNotStarted, kStarted, kGreeted, kListening, kReady, kOver };

  NodeId id = kNoNode;
  const Place* place = nullptr;
  std::unique_ptr<AgentProcess> process;
  Stage stage = Stage::kNotStarted;
  TimeNs answers_by = 0;
  std::string who;
  std::string address;
  bool put_down = false;
  NodeEnd end;  // kOver
  std::vector<std::byte> report;
};

class Driver {
 public:
  Driver(const RunPlan& plan, const EmulateOptions& options, std::span<const Place> places, std::atomic<bool>& stop);

  // Throws when an agent cannot be started; then, too, end_all() must follow.
  void run();
  void end_all();
  std::vector<NodeEnd> ends() const;
  std::vector<NodeReport> reports() const;
  double seconds() const { return wall_seconds_; }
  void tell_words() const;

 private:
  using Stage = Agent::Stage;

  bool all_reach(Stage stage);
  void start_some();
  void pump(int timeout_ms);
  void look_at(Agent& agent);
  void take(Agent& agent, const wire::Frame& frame);
  void greet(Agent& agent, const wire::Frame& frame);
  void require_an_answer(const Agent& agent) const;
  void over(Agent& agent, NodeEnd::How how, std::string text);
  void tell_all(wire::Kind kind, ConstBytes bytes);
  template <typename Condition>
  void wait(TimeNs at_most, Condition&& is_done);
  std::size_t count(Stage stage) const;
  bool is_over() const { return !over_.empty(); }
  bool must_end() const { return is_over() || stop_.load() || clock_.now() > options_.time_limit_ns; }

  const RunPlan& plan_;
  const EmulateOptions& options_;
  std::atomic<bool>& stop_;
  const RunSecret secret_ = make_run_secret();
  const std::string build_ = build_id();
  Clock clock_ = Clock::calibrated();
  std::vector<Agent> agents_;       // by node id
  std::vector<const Agent*> over_;  // in the order in which it was seen
  bool gone_ = false;               // the nodes were let go
  bool ending_ = false;             // the agents were told to go
  double wall_seconds_ = 0;
};

std::string where(const Place& place) { return place.name.empty() ? "" : " at " + place.name; }

// What became of a process that should not have ended, or of the line to it.
std::string fate(const Agent& agent) {
  const AgentProcess& process = *agent.process;
  if (process.is_running() || agent.put_down) return "closed its line";
  const int status = process.status();
  if (WIFSIGNALED(status)) return fmt::format("was killed by {}", signal_name(WTERMSIG(status)));
  const int code = WEXITSTATUS(status);
  // So a shell, podman and sudo hand on that what they ran was killed.
  constexpr int kBySignal = 128;
  const std::string cause = code > kBySignal && code < kBySignal + 65
                                ? fmt::format(", as of one killed by {}", signal_name(code - kBySignal))
                                : std::string();
  return agent.place->command.empty()
             ? fmt::format("ended with status {}{}", code, cause)
             : fmt::format("was lost: {} ended with status {}{}", agent.place->command.front(), code, cause);
}

Driver::Driver(const RunPlan& plan, const EmulateOptions& options, std::span<const Place> places,
               std::atomic<bool>& stop)
    : plan_(plan), options_(options), stop_(stop), agents_(plan.nodes) {
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    agents_[i].id = NodeId{i};
    agents_[i].place = &places[i];
    agents_[i].who = plan.name(NodeId{i}) + where(places[i]);
  }
}

void Driver::run() {
  clock_.restart();
  if (!all_reach(Stage::kGreeted) || !all_reach(Stage::kListening)) return;
  std::vector<std::string> addresses;
  for (const Agent& agent : agents_) addresses.push_back(agent.address);
  tell_all(wire::Kind::kPeers, wire::encode(addresses));
  if (!all_reach(Stage::kReady)) return;
  clock_.restart();
  gone_ = true;
  tell_all(wire::Kind::kGo, {});
  while (!must_end()) pump(kLookMs);
  wall_seconds_ = static_cast<double>(clock_.now()) / kSecond;
}

// False: the run must end before.
bool Driver::all_reach(Stage stage) {
  const auto is_there = [stage](const Agent& agent) { return agent.stage >= stage; };
  while (!must_end()) {
    if (std::all_of(agents_.begin(), agents_.end(), is_there)) return true;
    start_some();
    pump(kLookMs);
  }
  return false;
}

void Driver::start_some() {
  for (Agent& agent : agents_) {
    if (agent.stage != Stage::kNotStarted) continue;
    if (count(Stage::kStarted) >= kStartingAtOnce) return;
    try {
      agent.process = std::make_unique<AgentProcess>(*agent.place);
    } catch (const std::runtime_error& problem) {
      throw std::runtime_error(fmt::format("cannot start {}: {}", agent.who, problem.what()));
    }
    agent.stage = Stage::kStarted;
    agent.answers_by = clock_.now() + options_.answer_limit_ns;
  }
}

std::size_t Driver::count(Stage stage) const {
  return static_cast<std::size_t>(
      std::count_if(agents_.begin(), agents_.end(), [stage](const Agent& agent) { return agent.stage == stage; }));
}

// Waits at most so long for anything to happen, and does what is to be done about it.
void Driver::pump(int timeout_ms) {
  std::vector<pollfd> polled;
  for (const Agent& agent : agents_) {
    if (agent.process) agent.process->watch(polled);
  }
  poll(polled.data(), polled.size(), timeout_ms);
  for (Agent& agent : agents_) {
    if (agent.process) look_at(agent);
  }
}

void Driver::look_at(Agent& agent) {
  AgentProcess& process = *agent.process;
  process.pump();
  if (ending_) return;
  if (agent.stage == Stage::kStarted) require_an_answer(agent);
  try {
    while (auto frame = process.next()) {
      if (agent.stage != Stage::kOver) take(agent, *frame);
    }
  } catch (const wire::Misunderstanding& problem) {
    over(agent, NodeEnd::How::kTrouble, problem.what());
  }
  if (agent.stage == Stage::kStarted || agent.stage == Stage::kOver) return;
  if (process.has_hung_up()) over(agent, NodeEnd::How::kLost, {});
}

void Driver::require_an_answer(const Agent& agent) const {
  const AgentProcess& process = *agent.process;
  const std::string command = shell_line(command_of(*agent.place));
  if (const std::string said = process.gibberish(); !said.empty()) {
    throw std::runtime_error(
        fmt::format("cannot start {}: instead of an agent's greeting came \"{}\"; see that nothing else is printed "
                    "there, by a login script say, and that {} starts slipstream",
                    agent.who, said, command));
  }
  if (process.has_said_something()) return;
  if (!process.is_running()) {
    const int status = WIFEXITED(process.status()) ? WEXITSTATUS(process.status()) : -1;
    std::string remedy = agent.place->remedy ? agent.place->remedy(status, process.words()) : std::string();
    if (remedy.empty()) remedy = fmt::format("see what `{}` says there", command);
    throw std::runtime_error(fmt::format("cannot start {}: it {}{}; {}", agent.who, fate(agent),
                                         last_words(process.words()), remedy));
  }
  if (clock_.now() > agent.answers_by) {
    throw std::runtime_error(fmt::format("{} does not answer: not a word in {:g} s from `{}`{}", agent.who,
                                         static_cast<double>(options_.answer_limit_ns) / kSecond, command,
                                         last_words(process.words())));
  }
}

void Driver::take(Agent& agent, const wire::Frame& frame) {
  switch (frame.kind) {
    case wire::Kind::kHello: return greet(agent, frame);
    case wire::Kind::kListening:
      agent.address = wire::decode_text(frame.bytes);
      agent.stage = Stage::kListening;
      return;
    case wire::Kind::kReady: agent.stage = Stage::kReady; return;
    case wire::Kind::kTrouble: return over(agent, NodeEnd::How::kTrouble, wire::decode_text(frame.bytes));
    case wire::Kind::kReport: {
      wire::Report report = wire::decode_report(frame.bytes);
      agent.report = std::move(report.report);
      over(agent, report.ends_run ? NodeEnd::How::kEndedRun : NodeEnd::How::kReported, std::move(report.state));
      return;
    }
    default: throw wire::Misunderstanding();
  }
}

void Driver::greet(Agent& agent, const wire::Frame& frame) {
  const wire::Hello hello = wire::decode_hello(frame.bytes);
  if (hello.build != build_) {
    const std::string& update = agent.place->update;
    throw std::runtime_error(fmt::format(
        "{} is another build of slipstream (there {:.12}, here {:.12}); {}", agent.who, hello.build, build_,
        update.empty() ? fmt::format("copy {} there, as {}", own_program(), command_of(*agent.place).end()[-2])
                       : update));
  }
  agent.stage = Stage::kGreeted;
  agent.who = fmt::format("{} (process {}{})", plan_.name(agent.id), hello.process, where(*agent.place));
  wire::Start start;
  start.secret = secret_;
  start.node = agent.id;
  start.nodes = plan_.nodes;
  const bool all_share = agent.place->sharing == 0;
  start.sharing = all_share ? plan_.nodes : agent.place->sharing;
  start.turn = all_share ? index(agent.id) : agent.place->turn;
  start.address = agent.place->address;
  start.rdma_address = agent.place->rdma_address;
  start.device = agent.place->device;
  start.cores = agent.place->cores;
  start.job = options_.job;
  agent.process->send(wire::Kind::kStart, wire::encode(start));
}

void Driver::over(Agent& agent, NodeEnd::How how, std::string text) {
  agent.stage = Stage::kOver;
  agent.end.id = agent.id;
  agent.end.how = how;
  agent.end.text = std::move(text);
  over_.push_back(&agent);
}

void Driver::tell_all(wire::Kind kind, ConstBytes bytes) {
  for (Agent& agent : agents_) {
    if (agent.process) agent.process->send(kind, bytes);
  }
}

template <typename Condition>
void Driver::wait(TimeNs at_most, Condition&& is_done) {
  const TimeNs latest = clock_.now() + at_most;
  while (!std::all_of(agents_.begin(), agents_.end(), is_done) && clock_.now() < latest) pump(kLookMs);
}

// First all answer, with their nodes still there; then all go.
void Driver::end_all() {
  const auto is_gone = [](const Agent& agent) { return !agent.process || !agent.process->is_running(); };
  if (gone_) {
    tell_all(wire::Kind::kStop, {});
    wait(kGrace, [](const Agent& agent) { return agent.stage == Stage::kOver; });
  }
  ending_ = true;
  for (Agent& agent : agents_) {
    if (agent.process) agent.process->hang_up();
  }
  wait(kGrace, is_gone);
  for (Agent& agent : agents_) {
    if (is_gone(agent)) continue;
    agent.put_down = true;
    agent.process->kill();
  }
  while (!std::all_of(agents_.begin(), agents_.end(), is_gone)) pump(kLookMs);
}

std::vector<NodeEnd> Driver::ends() const {
  std::vector<const Agent*> agents = over_;
  for (const Agent& agent : agents_) {
    if (agent.stage != Stage::kOver) agents.push_back(&agent);
  }
  std::vector<NodeEnd> ends;
  for (const Agent* const agent : agents) {
    NodeEnd& end = ends.emplace_back(agent->end);
    end.id = agent->id;
    end.who = agent->who;
    if (agent->process) end.words = agent->process->words();
    if (end.how == NodeEnd::How::kLost) end.text = fate(*agent);
    if (agent->stage == Stage::kOver) continue;
    const bool in_time = !gone_ && (!agent->process || (!agent->put_down && agent->process->status() == 0));
    end.how = in_time ? NodeEnd::How::kStopped : NodeEnd::How::kPutDown;
  }
  return ends;
}

std::vector<NodeReport> Driver::reports() const {
  std::vector<NodeReport> reports;
  for (const Agent& agent : agents_) reports.push_back(decode_report(agent.report));
  return reports;
}

void Driver::tell_words() const {
  for (const Agent& agent : agents_) std::fputs(agent.process->words().c_str(), stderr);
}

}  // namespace

RunResult run_agents(const RunPlan& plan, const EmulateOptions& options, std::span<const Place> places) {
  if (options.fabric == FabricKind::kShm) {
    throw std::runtime_error("nodes on different hosts share no memory; choose the fabric tcp or verbs");
  }
  if (places.size() != plan.nodes) throw std::runtime_error("not as many places as nodes");
  std::atomic<bool> stop{false};
  const InterruptGuard interrupt(stop);
  const SignalSetting children_are_told_of{SIGCHLD, SIG_DFL};
  const SignalSetting lost_agents_are_no_end{SIGPIPE, SIG_IGN};
  Driver driver(plan, options, places, stop);
  try {
    driver.run();
    driver.end_all();
  } catch (...) {
    driver.end_all();
    throw;
  }
  RunResult result;
  result.wall_seconds = driver.seconds();
  result.interrupted_by = interrupt.signal();
  const std::vector<NodeEnd> ends = driver.ends();
  result.trouble = trouble_of(plan, options, ends, result.interrupted_by);
  if (!result.trouble.empty()) {
    remove_abandoned();  // of agents that were killed on this machine
    return result;
  }
  driver.tell_words();
  result.reports = driver.reports();
  return result;
}

}  // namespace slipstream::emulate
