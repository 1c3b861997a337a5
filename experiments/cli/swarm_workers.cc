#include "experiments/cli/swarm_workers.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "experiments/cli/experiment.h"
#include "experiments/cli/json.h"

namespace slipstream::cli {
namespace {

constexpr int kLookMs = 200;

// One process; it runs first, first + step, ... below `end`.
struct Worker {
  pid_t pid = -1;
  int results = -1;  // read end
  int errors = -1;   // what it says before it dies
  std::uint64_t current = 0;
  bool is_at_work = false;
  std::uint64_t next = 0;
  std::string text;
};

std::string last_words(int errors) {
  std::string words;
  char buffer[4096];
  ::lseek(errors, 0, SEEK_SET);
  for (ssize_t n = 0; (n = ::read(errors, buffer, sizeof buffer)) > 0;)
    words.append(buffer, static_cast<std::size_t>(n));
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return words;
}

void say(int to, const std::string& line) {
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = ::write(to, rest.data(), rest.size());
    if (n <= 0) ::_exit(1);
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

[[noreturn]] void work(const WorkersOptions& options, std::uint64_t from, int results, int errors,
                       const std::function<SeedResult(std::uint64_t)>& run) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);  // the parent's business
  ::dup2(errors, STDERR_FILENO);
  for (std::uint64_t seed = from; options.count == 0 || seed < options.first + options.count; seed += options.jobs) {
    say(results, fmt::format("{}\n", seed));
    ::alarm(options.hang_s);
    const SeedResult result = run(seed);
    ::alarm(0);
    const Json json = {{"seed", result.seed},
                       {"violation", result.violation},
                       {"operations", result.operations},
                       {"faults", result.faults},
                       {"recoveries", result.recoveries}};
    say(results, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  ::_exit(0);
}

class Workers {
 public:
  Workers(const WorkersOptions& options, const std::function<SeedResult(std::uint64_t)>& run,
          const std::function<void(const SeedResult&)>& take)
      : options_(options), run_(run), take_(take), workers_(options.jobs) {}
  ~Workers() {
    for (Worker& worker : workers_) end(worker);
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void run(const std::function<bool()>& goes_on) {
    for (unsigned i = 0; i < options_.jobs; ++i) {
      workers_[i].next = options_.first + i;
      start(workers_[i]);
    }
    while (goes_on()) {
      std::vector<pollfd> polled;
      for (const Worker& worker : workers_) polled.push_back({worker.results, POLLIN, 0});  // below 0: skipped
      if (std::none_of(polled.begin(), polled.end(), [](const pollfd& p) { return p.fd >= 0; })) return;
      if (::poll(polled.data(), polled.size(), kLookMs) <= 0) continue;
      for (std::size_t i = 0; i < polled.size(); ++i) {
        if (polled[i].revents != 0) hear(workers_[i]);
      }
    }
  }

 private:
  bool is_over(const Worker& worker) const {
    return options_.count != 0 && worker.next >= options_.first + options_.count;
  }

  void start(Worker& worker) {
    if (is_over(worker)) return;
    int ends[2];
    if (::pipe(ends) != 0)
      throw UserError(kExitRunFailed, fmt::format("cannot start a process: {}", std::strerror(errno)));
    worker.errors = ::memfd_create("swarm", 0);
    std::fflush(nullptr);
    worker.pid = ::fork();
    if (worker.pid < 0)
      throw UserError(kExitRunFailed, fmt::format("cannot start a process: {}", std::strerror(errno)));
    if (worker.pid == 0) {
      ::close(ends[0]);
      work(options_, worker.next, ends[1], worker.errors, run_);
    }
    ::close(ends[1]);
    worker.results = ends[0];
  }

  void end(Worker& worker) {
    if (worker.pid > 0) {
      ::kill(worker.pid, SIGKILL);
      while (::waitpid(worker.pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    if (worker.results >= 0) ::close(worker.results);
    if (worker.errors >= 0) ::close(worker.errors);
    worker.pid = worker.results = worker.errors = -1;
  }

  void hear(Worker& worker) {
    char buffer[65536];
    const ssize_t n = ::read(worker.results, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) return over(worker);
    worker.text.append(buffer, static_cast<std::size_t>(n));
    for (std::size_t end = 0; (end = worker.text.find('\n')) != std::string::npos;) {
      const std::string line = worker.text.substr(0, end);
      worker.text.erase(0, end + 1);
      if (line[0] != '{') {
        worker.current = std::stoull(line);
        worker.is_at_work = true;
        continue;
      }
      const Json json = Json::parse(line);
      worker.is_at_work = false;
      worker.next = worker.current + options_.jobs;
      take_({json.at("seed"), json.at("violation"), json.at("operations"), json.at("faults"), json.at("recoveries")});
    }
  }

  // Done, or dead in the middle of a seed.
  void over(Worker& worker) {
    int status = 0;
    while (::waitpid(worker.pid, &status, 0) < 0 && errno == EINTR) {
    }
    worker.pid = -1;
    const std::string words = last_words(worker.errors);
    end(worker);
    if (!worker.is_at_work) return;
    worker.is_at_work = false;
    worker.text.clear();
    worker.next = worker.current + options_.jobs;
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const std::string what = signal == SIGALRM ? fmt::format("hung: not over after {} s", options_.hang_s)
                             : !words.empty()  ? words
                                               : fmt::format("its process was ended by signal {}", signal);
    take_({worker.current, what, 0, 0, 0});
    start(worker);
  }

  const WorkersOptions options_;
  const std::function<SeedResult(std::uint64_t)>& run_;
  const std::function<void(const SeedResult&)>& take_;
  std::vector<Worker> workers_;
};

}  // namespace

void run_seeds(const WorkersOptions& options, const std::function<SeedResult(std::uint64_t seed)>& run,
               const std::function<void(const SeedResult&)>& take, const std::function<bool()>& goes_on) {
  Workers(options, run, take).run(goes_on);
}

}  // namespace slipstream::cli
