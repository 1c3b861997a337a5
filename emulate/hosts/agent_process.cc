#include "emulate/hosts/agent_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "emulate/hosts/build_id.h"
#include "emulate/hosts/shell_words.h"

namespace slipstream::emulate {
namespace {

constexpr std::size_t kMostWords = 64 * kKiB;

struct Pipe {
  FileDescriptor out;
  FileDescriptor in;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
      throw std::runtime_error(
          fmt::format("no pipe to an agent: {}; raise the limit of open files (ulimit -n)", std::strerror(errno)));
    }
    out = FileDescriptor(ends[0]);
    in = FileDescriptor(ends[1]);
  }
};

// In the child, until it is another program: system calls only.
[[noreturn]] void become(char* const* argv, const char* file, const std::array<int, 3>& standard, int told,
                         pid_t driver) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != driver) _exit(1);  // it died before the line above
  bool good = true;
  // Above 2 first: a pipe's end may be where another one must go.
  std::array<int, 3> moved{};
  for (int i = 0; i < 3; ++i) moved[i] = fcntl(standard[i], F_DUPFD_CLOEXEC, 3);
  for (int i = 0; i < 3; ++i) good = good && dup2(moved[i], i) == i;
  syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  for (const int number : {SIGPIPE, SIGCHLD}) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (good) execvp(file, argv);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(told, &error, sizeof error);
  _exit(127);
}

void never_block(const FileDescriptor& fd) { fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

}  // namespace

std::vector<std::string> command_of(const Place& place) {
  std::vector<std::string> argv = place.command;
  argv.push_back(place.program.empty() ? own_program() : place.program);
  argv.emplace_back("agent");
  return argv;
}

AgentProcess::AgentProcess(const Place& place) {
  const std::vector<std::string> argv = command_of(place);
  start(argv, argv.front());
}

void AgentProcess::start(const std::vector<std::string>& argv, const std::string& file) {
  Pipe to;
  Pipe from;
  Pipe errors;
  Pipe told;  // an error of exec; nothing, when it worked
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t driver = getpid();
  // Above 2, that no dup2 of the child's overwrites it.
  FileDescriptor tell(fcntl(told.in.get(), F_DUPFD_CLOEXEC, 3));
  pid_ = fork();
  if (pid_ == 0) {
    become(words.data(), file.c_str(), {to.out.get(), from.in.get(), errors.in.get()}, tell.get(), driver);
  }
  if (pid_ < 0) {
    throw std::runtime_error(fmt::format("cannot start a process: {}; fewer nodes, or a higher limit (ulimit -u)",
                                         std::strerror(errno)));
  }
  running_ = true;
  tell.reset();
  told.in.reset();
  int error = 0;
  ssize_t n = 0;
  do {
    n = read(told.out.get(), &error, sizeof error);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof error) {
    waitpid(pid_, &status_, 0);
    running_ = false;
    throw std::runtime_error(fmt::format("cannot run {}: {}", shell_quoted(file), std::strerror(error)));
  }
  to_ = std::move(to.in);
  from_ = std::move(from.out);
  errors_ = std::move(errors.out);
  for (const FileDescriptor* end : {&to_, &from_, &errors_}) never_block(*end);
  end_ = FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
}

AgentProcess::~AgentProcess() {
  if (!running_) return;
  kill();
  while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
}

void AgentProcess::kill() {
  if (running_) ::kill(-pid_, SIGKILL);
}

void AgentProcess::send(wire::Kind kind, ConstBytes bytes) {
  const std::vector<std::byte> frame = wire::framed(kind, bytes);
  unsent_.insert(unsent_.end(), frame.begin(), frame.end());
  write_some();
}

void AgentProcess::hang_up() {
  hanging_up_ = true;
  write_some();
}

void AgentProcess::watch(std::vector<pollfd>& polled) const {
  if (to_.valid() && !unsent_.empty()) polled.push_back({to_.get(), POLLOUT, 0});
  if (from_.valid()) polled.push_back({from_.get(), POLLIN, 0});
  if (errors_.valid()) polled.push_back({errors_.get(), POLLIN, 0});
  if (running_ && end_.valid()) polled.push_back({end_.get(), POLLIN, 0});
}

void AgentProcess::pump() {
  siginfo_t info{};
  if (running_ && waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    kill();  // what it started and left behind
    waitpid(pid_, &status_, 0);
    running_ = false;
  }
  write_some();
  read_some();
  read_words();
  if (running_) return;
  // What it had to say is read. Others that it started may hold the pipes for longer; they have nothing to say.
  to_.reset();
  from_.reset();
  errors_.reset();
}

void AgentProcess::write_some() {
  while (to_.valid() && !unsent_.empty()) {
    const ssize_t n = write(to_.get(), unsent_.data(), unsent_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {  // it is gone, which is noticed by the others
      to_.reset();
      break;
    }
    unsent_.erase(unsent_.begin(), unsent_.begin() + n);
  }
  if (hanging_up_) to_.reset();
}

void AgentProcess::read_some() {
  std::array<std::byte, 16384> buffer;
  while (from_.valid()) {
    const ssize_t n = read(from_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      from_.reset();
      return;
    }
    frames_.take_in(ConstBytes(buffer).first(static_cast<std::size_t>(n)));
  }
}

void AgentProcess::read_words() {
  std::array<char, 4096> buffer;
  while (errors_.valid()) {
    const ssize_t n = read(errors_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      errors_.reset();
      return;
    }
    words_.append(buffer.data(), static_cast<std::size_t>(n));
    if (words_.size() > kMostWords) words_.erase(0, words_.size() - kMostWords);
  }
}

}  // namespace slipstream::emulate
