#include "emulate/hosts/children.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "core/base/check.h"

namespace slipstream::emulate {

Children::Children(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories,
                   Listeners& listeners, SharedRun& shared)
    : plan_(plan),
      options_(options),
      directories_(directories),
      listeners_(listeners),
      shared_(shared),
      children_(plan.nodes),
      children_are_told_of_(SIGCHLD, SIG_DFL) {
  for (std::uint16_t i = 0; i < plan.nodes; ++i) children_[i].id = NodeId{i};
}

Children::~Children() {
  put_down_all();
  while (count_running() != 0) collect(kSecond);
}

void Children::start(NodeId node, const Clock& clock) {
  Child& child = children_.at(index(node));
  SLIP_CHECK(!child.running, "node {} lives", index(node));
  const ChildFiles files = child_files(directories_.run(), node);
  for (const std::string& old : {files.report, files.record, files.state}) ::unlink(old.c_str());
  const pid_t driver = getpid();
  const std::uint32_t life = child.life + 1;
  std::fflush(nullptr);  // what is buffered now would be written by the child, too
  const pid_t pid = fork();
  if (pid == 0) run_child({plan_, options_, directories_, node, life}, listeners_, clock, shared_, driver);
  if (pid < 0)
    throw std::runtime_error(
        fmt::format("cannot start a process: {}; fewer nodes, or a higher limit (ulimit -u)", std::strerror(errno)));
  child = {};
  child.id = node;
  child.life = life;
  child.pid = pid;
  child.pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  child.running = true;
  const std::string line = fmt::format("{}\n", pid);
  write_file(files.pid, std::as_bytes(std::span(line)));
}

const std::vector<Child*>& Children::collect(TimeNs timeout_ns) {
  ended_.clear();
  std::vector<pollfd> polled;
  for (const Child& child : children_) {
    if (child.running) polled.push_back({child.pidfd, POLLIN, 0});  // a descriptor below 0 is skipped
  }
  timeout_ns = std::max<TimeNs>(timeout_ns, 0);
  const timespec limit{timeout_ns / kSecond, timeout_ns % kSecond};
  ppoll(polled.data(), polled.size(), &limit, nullptr);
  for (Child& child : children_) {
    if (!child.running || waitpid(child.pid, &child.status, WNOHANG) != child.pid) continue;
    child.running = false;
    close(child.pidfd);
    ended_.push_back(&child);
  }
  return ended_;
}

void Children::signal(NodeId node, int number) {
  if (const Child& child = children_.at(index(node)); child.running) kill(child.pid, number);
}

void Children::put_down_all() {
  for (Child& child : children_) {
    if (!child.running) continue;
    child.put_down = true;
    kill(child.pid, SIGKILL);
  }
}

std::size_t Children::count_running() const {
  return static_cast<std::size_t>(
      std::count_if(children_.begin(), children_.end(), [](const Child& c) { return c.running; }));
}

}  // namespace slipstream::emulate
