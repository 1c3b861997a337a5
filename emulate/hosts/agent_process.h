// The driver's end of one agent: the command that was started for it (a child of this process) and its three pipes.
// Nothing here waits, save the constructor for the child's exec; pump() does what goes, when poll() says that something
// does.
//
// The child is in a process group of its own, so that a terminal's Ctrl-C reaches the driver alone. When this process
// dies, the kernel sends it SIGTERM, which agent, ssh and podman take as their end, and its standard input ends. Not
// SIGKILL: an agent that is itself the child must still remove its run directory.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "emulate/fabric/file_descriptor.h"
#include "emulate/hosts/agent_wire.h"
#include "emulate/hosts/agents.h"

namespace slipstream::emulate {

class AgentProcess {
 public:
  // Throws std::runtime_error when the command cannot be run.
  explicit AgentProcess(const Place& place);
  ~AgentProcess();  // kills it when it still runs
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;

  void send(wire::Kind kind, ConstBytes bytes);
  void hang_up();  // its standard input ends, once all is sent
  void kill();

  void watch(std::vector<pollfd>& polled) const;
  void pump();
  std::optional<wire::Frame> next() { return frames_.next(); }
  bool has_said_something() const { return frames_.has_next(); }
  std::string gibberish() const { return frames_.gibberish(); }

  pid_t pid() const { return pid_; }
  bool is_running() const { return running_; }
  bool has_hung_up() const { return !from_.valid(); }  // it will say nothing more
  int status() const { return status_; }               // as of waitpid(), when it does not run
  const std::string& words() const { return words_; }  // the end of what it wrote to standard error

 private:
  void start(const std::vector<std::string>& argv, const std::string& file);
  void write_some();
  void read_some();
  void read_words();

  pid_t pid_ = -1;
  bool running_ = false;
  int status_ = 0;
  FileDescriptor to_;
  FileDescriptor from_;
  FileDescriptor errors_;
  FileDescriptor end_;  // readable when it has ended
  std::vector<std::byte> unsent_;
  bool hanging_up_ = false;
  wire::Frames frames_{true};
  std::string words_;
};

// The whole command line of a place, as it is run.
std::vector<std::string> command_of(const Place& place);

}  // namespace slipstream::emulate
