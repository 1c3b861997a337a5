#include "emulate/hosts/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "emulate/fabric/file_descriptor.h"
#include "emulate/fabric/real_clock.h"

extern char** environ;

namespace slipstream::emulate {
namespace {

constexpr int kKilledForTime = 124;
constexpr int kNoSuchProgram = 127;

struct Pipe {
  FileDescriptor read;
  FileDescriptor write;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw std::runtime_error(
        fmt::format("no pipe: {}; raise the limit of open files (ulimit -n)", std::strerror(errno)));
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// 0, or why the program could not be started.
int start(const std::vector<std::string>& words, const Pipe& output, const Pipe& errors, pid_t& pid) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, output.write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, errors.write.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  const int error = posix_spawnp(&pid, arguments[0], &files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

// What can be read now; closes the descriptor at its end.
void take(FileDescriptor& from, std::string& text) {
  char buffer[4096];
  const ssize_t n = read(from.get(), buffer, sizeof buffer);
  if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
  if (n == 0 || (n < 0 && errno != EINTR)) from.reset();
}

// Until both pipes have ended or the time is over; false: it is over. A program that leaves another behind with its
// pipes is waited for, too: engines do not.
bool read_all(FileDescriptor& output, FileDescriptor& errors, TimeNs limit_ns, CommandOutcome& outcome) {
  const TimeNs latest = monotonic_ns() + limit_ns;
  while (output.valid() || errors.valid()) {
    const TimeNs left = latest - monotonic_ns();
    if (left <= 0) return false;
    std::array<pollfd, 2> polled = {pollfd{output.get(), POLLIN, 0}, pollfd{errors.get(), POLLIN, 0}};
    poll(polled.data(), polled.size(), static_cast<int>(left / kMillisecond) + 1);
    if (polled[0].revents != 0) take(output, outcome.output);
    if (polled[1].revents != 0) take(errors, outcome.errors);
  }
  return true;
}

void drop_newlines(std::string& text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
}

}  // namespace

CommandOutcome run_command(const std::vector<std::string>& words, TimeNs limit_ns) {
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  CommandOutcome outcome;
  pid_t pid = 0;
  if (const int error = start(words, output, errors, pid); error != 0) {
    if (error == EAGAIN || error == ENOMEM)
      throw std::runtime_error(fmt::format("cannot start {}: {}", words[0], std::strerror(error)));
    return {kNoSuchProgram, {}, fmt::format("{}: {}", words[0], std::strerror(error))};
  }
  output.write.reset();
  errors.write.reset();
  const bool in_time = read_all(output.read, errors.read, limit_ns, outcome);
  if (!in_time) kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  drop_newlines(outcome.output);
  drop_newlines(outcome.errors);
  if (!in_time) {
    outcome.status = kKilledForTime;
    outcome.errors = fmt::format("{} did not end within {} s", words[0], limit_ns / kSecond);
  }
  return outcome;
}

}  // namespace slipstream::emulate
