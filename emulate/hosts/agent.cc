// The agent's side of a run: one node, told what to be over standard input.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "emulate/fabric/file_descriptor.h"
#include "emulate/hosts/agent_wire.h"
#include "emulate/hosts/agents.h"
#include "emulate/hosts/build_id.h"
#include "emulate/loop/pin.h"

namespace slipstream::emulate {
namespace {

using namespace std::chrono_literals;

constexpr auto kGrace = 2s;  // for this process to end by itself when its driver is gone
constexpr int kEndedByForce = 13;

// The line to the driver. A thread of its own watches it, and signals, so that its end is this process's end, whatever
// the node does meanwhile: when this object still lives after the grace time, the thread removes the run's directories
// and ends the process. A signal stops the node; the line then ends when the driver has heard of it and hung up, or
// after the grace time. A line over which no run can be any more ends, too: that of a driver whose machine was cut off
// may never do so by itself.
//
// Made before any other thread, so that all have the signals blocked.
class Line {
 public:
  Line() {
    sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, number);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    signal(SIGPIPE, SIG_IGN);
    // What is printed by mistake must not get among the frames.
    out_ = FileDescriptor(dup(STDOUT_FILENO));
    dup2(STDERR_FILENO, STDOUT_FILENO);
    signaled_ = FileDescriptor(signalfd(-1, &signals_, SFD_CLOEXEC));
    finish_ = FileDescriptor(eventfd(0, EFD_CLOEXEC));
    too_late_ = FileDescriptor(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    watcher_ = std::thread([this] { watch(); });
  }
  ~Line() {
    {
      const std::lock_guard lock(mutex_);
      finished_ = true;
    }
    changed_.notify_all();
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(finish_.get(), &one, sizeof one);
    watcher_.join();
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  std::atomic<bool>& stop() { return stop_; }
  // The signal that ended it, 0 when none did.
  int signal_received() const { return signal_.load(); }

  // A driver that is gone is noticed by the thread.
  void send(wire::Kind kind, ConstBytes bytes) {
    const std::vector<std::byte> frame = wire::framed(kind, bytes);
    ConstBytes rest(frame);
    while (!rest.empty()) {
      const ssize_t n = write(out_.get(), rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;
      rest = rest.subspan(static_cast<std::size_t>(n));
    }
  }

  // The next frame, which must be of this kind; nullopt: the run is over.
  std::optional<std::vector<std::byte>> wait_for(wire::Kind kind) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_ || stop_.load() || !frames_.empty(); });
    if (over_ || frames_.empty()) return std::nullopt;
    wire::Frame frame = std::move(frames_.front());
    frames_.pop_front();
    if (frame.kind != kind) throw wire::Misunderstanding();
    return std::move(frame.bytes);
  }

  // Until the driver has hung up, or a signal came.
  void wait_for_end() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_; });
  }

  // It ends then at the latest.
  void end_after(TimeNs time) {
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(time / kSecond);
    when.it_value.tv_nsec = static_cast<decltype(when.it_value.tv_nsec)>(time % kSecond);
    timerfd_settime(too_late_.get(), 0, &when, nullptr);
  }

  // To be removed by force.
  void remember(const RunDirectories& directories) {
    const std::lock_guard lock(mutex_);
    directories_ = {directories.run(), directories.storage()};
  }

 private:
  void watch();
  void take_signal();
  bool take_in(wire::Frames& frames);
  void end();

  sigset_t signals_{};
  FileDescriptor out_;
  FileDescriptor signaled_;
  FileDescriptor finish_;    // readable when the thread shall end
  FileDescriptor too_late_;  // readable when no driver can be there any more
  std::atomic<bool> stop_{false};
  std::atomic<int> signal_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::Frame> frames_;
  bool over_ = false;
  bool finished_ = false;
  std::vector<std::string> directories_;
  std::thread watcher_;
};

// False: the driver has hung up.
bool Line::take_in(wire::Frames& frames) {
  std::byte buffer[4096];
  const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  frames.take_in({buffer, static_cast<std::size_t>(n)});
  while (std::optional<wire::Frame> frame = frames.next()) {
    const std::lock_guard lock(mutex_);
    if (frame->kind == wire::Kind::kStop) {
      stop_.store(true);
    } else {
      frames_.push_back(std::move(*frame));
    }
    changed_.notify_all();
  }
  return true;
}

void Line::watch() {
  wire::Frames frames(false);
  pollfd polled[] = {{finish_.get(), POLLIN, 0},
                     {too_late_.get(), POLLIN, 0},
                     {signaled_.get(), POLLIN, 0},
                     {STDIN_FILENO, POLLIN, 0}};
  while (true) {
    const bool is_ending = signal_.load() != 0;
    const int ready = poll(polled, std::size(polled), is_ending ? static_cast<int>(kGrace / 1ms) : -1);
    if (ready < 0) continue;
    if (polled[0].revents != 0) return;
    if (ready == 0 || polled[1].revents != 0) break;
    if (polled[2].revents != 0) {
      take_signal();
      polled[2].fd = -1;
    }
    if (polled[3].revents != 0 && !take_in(frames)) break;
  }
  end();
}

void Line::take_signal() {
  signalfd_siginfo info{};
  if (read(signaled_.get(), &info, sizeof info) != sizeof info) return;
  const std::lock_guard lock(mutex_);
  signal_.store(static_cast<int>(info.ssi_signo));
  stop_.store(true);
  changed_.notify_all();
}

void Line::end() {
  std::unique_lock lock(mutex_);
  over_ = true;
  stop_.store(true);
  changed_.notify_all();
  if (changed_.wait_for(lock, kGrace, [this] { return finished_; })) return;
  for (const std::string& directory : directories_) {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  _exit(kEndedByForce);
}

// A loop on one of the cores that the place names, or on one of all.
class LoopPin {
 public:
  LoopPin(const EmulateOptions& options, const wire::Start& start) {
    if (start.cores.empty()) {
      if (options.pin) pin_.emplace(start.turn);
      return;
    }
    const std::uint32_t core = start.cores[start.turn % start.cores.size()];
    pin_.emplace(Cpu{core});
    if (!pin_->holds()) {
      throw std::runtime_error(fmt::format("core {} cannot be used there; name others as its cores, or none", core));
    }
  }

 private:
  std::optional<Pin> pin_;
};

AgentJob job_for(const wire::Start& start, AgentJob (*plan_of_job)(const std::string& job)) {
  AgentJob job = plan_of_job(start.job);
  if (job.plan.nodes != start.nodes || index(start.node) >= start.nodes) {
    throw std::runtime_error(fmt::format("is to be node {} of {}, but the job has {}", index(start.node), start.nodes,
                                         job.plan.nodes));
  }
  if (!start.device.empty()) job.options.device = start.device;
  job.options.rdma_address = start.rdma_address;
  return job;
}

// While the node is still there: the driver shall hear of the signal before another node tells that this one is gone.
void tell_of_signal(Line& line) {
  line.send(wire::Kind::kTrouble, wire::encode(interrupted(line.signal_received())));
  line.wait_for_end();
}

// The next word of the driver's; nullopt: it has hung up, or a signal came.
std::optional<std::vector<std::byte>> wait_for(Line& line, wire::Kind kind) {
  auto bytes = line.wait_for(kind);
  if (!bytes && line.signal_received() != 0) tell_of_signal(line);
  return bytes;
}

void run_node(Line& line, const wire::Start& start, const AgentJob& job) {
  const NodeId id = start.node;
  Listeners listeners(job.options, id, start.address, start.secret);
  line.send(wire::Kind::kListening, wire::encode(listeners.addresses().at(index(id))));
  const auto peers = wait_for(line, wire::Kind::kPeers);
  if (!peers) return;
  listeners.learn(wire::decode_peers(*peers));

  const RunDirectories directories({}, job.options.storage_directory, false);
  line.remember(directories);
  const auto cores = start.cores.empty() ? usable_cores() : static_cast<std::uint32_t>(start.cores.size());
  Clock clock = Clock::calibrated();
  const Assembly assembly = assemble(job.plan, job.options, directories, id, listeners);
  const LoopPin pin(job.options, start);  // the loop's thread alone, not the storage's
  line.send(wire::Kind::kReady, {});
  if (!wait_for(line, wire::Kind::kGo)) return;
  clock.restart();
  Loop loop(clock, idle_for(start.sharing, cores), job.plan.seed, line.stop());
  loop.seat(assembly.seat(job.plan, id));
  const LoopEnd end = loop.run();
  if (line.signal_received() != 0) return tell_of_signal(line);
  if (end.why == LoopEnd::Why::kTrouble) {
    line.send(wire::Kind::kTrouble, wire::encode(end.trouble));
  } else {
    wire::Report report;
    report.ends_run = end.why == LoopEnd::Why::kDone;
    report.state = assembly.node->describe();
    report.report = encode(report_of(job.plan, id, assembly, loop.usage(0)));
    line.send(wire::Kind::kReport, wire::encode(report));
  }
  line.wait_for_end();  // until then the node's channels stay up: nobody shall take its end for a failure
}

}  // namespace

int run_agent(AgentJob (*plan_of_job)(const std::string& job)) {
  Line line;
  line.send(wire::Kind::kHello, wire::encode(wire::Hello{static_cast<std::uint32_t>(getpid()), build_id()}));
  try {
    const auto told = wait_for(line, wire::Kind::kStart);
    if (!told) return 0;
    const wire::Start start = wire::decode_start(*told);
    const AgentJob job = job_for(start, plan_of_job);
    // A driver takes so long at most, once to make all ready and once for the run.
    line.end_after(2 * job.options.time_limit_ns + job.options.answer_limit_ns);
    run_node(line, start, job);
  } catch (const std::exception& problem) {
    line.send(wire::Kind::kTrouble, wire::encode(std::string(problem.what())));
    line.wait_for_end();
  }
  return 0;
}

}  // namespace slipstream::emulate
