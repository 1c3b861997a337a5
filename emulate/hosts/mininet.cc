#include "emulate/hosts/mininet.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "emulate/hosts/agents.h"
#include "emulate/hosts/interrupt.h"
#include "emulate/loop/clock.h"

namespace slipstream::emulate {
namespace {

constexpr const char* kPython = "/usr/bin/python3";  // the one that sees Debian's Mininet
constexpr const char* kScript = "emulate/hosts/mininet/network.py";
constexpr int kLookMs = 100;                // how often signals and limits are looked at
constexpr TimeNs kGrace = 20 * kSecond;     // for the network to be taken down
constexpr const char* kHostCommand = "mnexec";

std::vector<std::string> command_of(const RunPlan& plan, const EmulateOptions& options) {
  const NetworkOptions& network = options.network;
  std::vector<std::string> command = {kPython,
                                      (std::filesystem::path(options.source) / kScript).string(),
                                      fmt::format("--nodes={}", plan.nodes),
                                      fmt::format("--topology={}", name(network.topology)),
                                      fmt::format("--racks={}", network.racks),
                                      fmt::format("--oversubscription={}", network.oversubscription),
                                      fmt::format("--bandwidth={}", network.bandwidth_bits_per_s),
                                      fmt::format("--delay={}", network.delay_ns)};
  if (options.fabric == FabricKind::kVerbs) command.emplace_back("--rdma");
  return command;
}

// The process that holds the network up: as long as its standard input is open, and it lives.
class NetworkProcess {
 public:
  explicit NetworkProcess(const std::vector<std::string>& command) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
      throw std::runtime_error(fmt::format("cannot start the emulated network: {}", std::strerror(errno)));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);  // a Ctrl-C is for the driver, which then ends this
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    const int error = posix_spawn(&pid_, words[0], &actions, &attributes, words.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    in_ = in[1];
    out_ = out[0];
    if (error != 0) {
      pid_ = 0;
      throw std::runtime_error(fmt::format("cannot start {}: {}; run apt-get install python3 mininet", command[0],
                                           std::strerror(error)));
    }
  }
  ~NetworkProcess() { end(); }
  NetworkProcess(const NetworkProcess&) = delete;
  NetworkProcess& operator=(const NetworkProcess&) = delete;

  int output() const { return out_; }

  // Waits at most `timeout_ms` for a whole line. False: there is none yet, or (`ended`) there will be none any more.
  bool read_line(std::string& line, int timeout_ms, bool& ended) {
    ended = false;
    for (std::size_t end_of_line = text_.find('\n'); end_of_line == std::string::npos; end_of_line = text_.find('\n')) {
      pollfd polled{out_, POLLIN, 0};
      if (poll(&polled, 1, timeout_ms) <= 0) return false;
      char buffer[4096];
      const ssize_t n = read(out_, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) return false;
      ended = n <= 0;
      if (ended) return false;
      text_.append(buffer, static_cast<std::size_t>(n));
    }
    line = text_.substr(0, text_.find('\n'));
    text_.erase(0, line.size() + 1);
    return true;
  }

  // Ends it, in good order when it can be had; how it ended, in words for the user.
  std::string end() {
    if (in_ >= 0) close(in_);
    in_ = -1;
    const Clock clock = Clock::calibrated();
    int status = 0;
    bool put_down = false;
    while (pid_ > 0 && waitpid(pid_, &status, WNOHANG) == 0) {
      if (!put_down && clock.now() > kGrace) put_down = kill(pid_, SIGKILL) == 0;
      poll(nullptr, 0, 10);
    }
    if (pid_ > 0) {
      how_ = WIFSIGNALED(status) ? fmt::format("its process {} was killed by {}", pid_, signal_name(WTERMSIG(status)))
                                 : fmt::format("its process {} ended with status {}", pid_, WEXITSTATUS(status));
    }
    pid_ = 0;
    if (out_ >= 0) close(out_);
    out_ = -1;
    return how_;
  }

 private:
  pid_t pid_ = 0;
  int in_ = -1;
  int out_ = -1;
  std::string text_;  // read, no whole line yet
  std::string how_;
};

struct BuiltNetwork {
  std::vector<Place> places;
  std::vector<std::string> namespaces;  // of the hosts, as /proc/PID/ns/net names them
  std::map<std::string, double> figures;
};

std::string network_namespace(const std::string& pid) {
  std::error_code ignored;
  return std::filesystem::read_symlink(fmt::format("/proc/{}/ns/net", pid), ignored).string();
}

// False: the line says that the network stands.
bool take_line(const std::string& line, BuiltNetwork& network) {
  std::istringstream words(line);
  std::string kind;
  words >> kind;
  if (kind == "host") {
    std::string node, pid;
    Place place;
    words >> node >> pid >> place.address >> place.device;
    place.name = fmt::format("Mininet host h{} ({})", node, place.address);
    place.command = {kHostCommand, "-a", pid};
    network.namespaces.push_back(network_namespace(pid));
    network.places.push_back(std::move(place));
  } else if (kind == "network") {
    std::string figure;
    double value = 0;
    words >> figure >> value;
    network.figures[figure] = value;
  } else if (kind == "problem") {
    throw std::runtime_error(line.substr(kind.size() + 1));
  }
  return kind != "ready";
}

// Waits until the network stands. False: a signal came.
bool await_network(NetworkProcess& process, const EmulateOptions& options, const std::atomic<bool>& stop,
                   BuiltNetwork& network) {
  const Clock clock = Clock::calibrated();
  std::string line;
  bool ended = false;
  while (!stop.load()) {
    if (process.read_line(line, kLookMs, ended)) {
      if (!take_line(line, network)) return true;
    } else if (ended) {
      throw std::runtime_error(fmt::format("the emulated network was not built: {}", process.end()));
    } else if (clock.now() > options.time_limit_ns) {
      throw std::runtime_error(late(options) + "; the emulated network was still being built");
    }
  }
  return false;
}

// Looks whether the network's process lives while the nodes run. When it ends, there is no network any more, and the
// nodes would wait for each other: it ends whatever lives on the hosts.
class NetworkWatch {
 public:
  NetworkWatch(int output, const std::vector<std::string>& namespaces)
      : output_(output), namespaces_(namespaces), wake_(eventfd(0, EFD_CLOEXEC)), thread_([this] { watch(); }) {}
  ~NetworkWatch() { stop(); }
  NetworkWatch(const NetworkWatch&) = delete;
  NetworkWatch& operator=(const NetworkWatch&) = delete;

  // True: the network was lost.
  bool stop() {
    if (!thread_.joinable()) return lost_.load();
    eventfd_write(wake_, 1);
    thread_.join();
    close(wake_);
    return lost_.load();
  }

 private:
  void watch() {
    pollfd polled[] = {{output_, POLLIN, 0}, {wake_, POLLIN, 0}};
    while (poll(polled, 2, -1) < 0 && errno == EINTR) {
    }
    lost_.store(polled[0].revents != 0);
    while (lost_.load() && (polled[1].revents & POLLIN) == 0) {  // again: some may only be arriving
      kill_guests();
      poll(&polled[1], 1, kLookMs);
    }
  }

  void kill_guests() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
      const std::string word = entry.path().filename();
      pid_t pid = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), pid);
      if (error != std::errc{} || end != word.data() + word.size()) continue;
      const std::string home = network_namespace(word);
      for (const std::string& lost : namespaces_) {
        if (!home.empty() && home == lost) kill(pid, SIGKILL);
      }
    }
  }

  int output_;
  const std::vector<std::string>& namespaces_;
  int wake_;
  std::atomic<bool> lost_{false};
  std::thread thread_;
};

}  // namespace

RunResult run_mininet(const RunPlan& plan, const EmulateOptions& options) {
  RunResult result;
  NetworkProcess process(command_of(plan, options));
  BuiltNetwork network;
  {
    std::atomic<bool> stop{false};
    const InterruptGuard interrupt(stop);
    if (!await_network(process, options, stop, network)) {
      result.interrupted_by = interrupt.signal();
      result.trouble = interrupted(result.interrupted_by);
      return result;
    }
  }
  NetworkWatch watch(process.output(), network.namespaces);
  result = run_agents(plan, options, network.places);
  if (watch.stop()) {
    result.trouble = fmt::format("the emulated network was lost during the run: {}", process.end());
    result.reports.clear();
  }
  result.network = std::move(network.figures);
  return result;
}

}  // namespace slipstream::emulate
