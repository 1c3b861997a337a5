#include "emulate/hosts/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "emulate/loop/loop.h"
#include "emulate/loop/pin.h"

namespace slipstream::emulate {
namespace {

ConstBytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// Until the driver has seen all nodes ready. False: the run is over before it began.
bool wait_for_go(const SharedRun& shared) {
  while (!shared.go.load(std::memory_order_acquire)) {
    if (shared.stop.load(std::memory_order_acquire)) return false;
    const timespec pause{0, 200 * kMicrosecond};
    nanosleep(&pause, nullptr);
  }
  return true;
}

int run_node(const LifeOptions& life, Listeners& listeners, Clock& clock, SharedRun& shared) {
  const RunPlan& plan = life.plan;
  const NodeId id = life.node;
  const ChildFiles files = child_files(life.directories.run(), id);
  const std::uint32_t cores = usable_cores();
  Life number{life.life};
  if (life.life > 1) {  // the run's clock goes already
    clock.restart_at(shared.origin.load());
    number.begins_ns = clock.now();
  }
  const Assembly assembly = assemble(plan, life.options, life.directories, id, listeners, number);
  listeners.close_all();
  std::optional<Pin> pin;  // the loop's thread alone, not the storage's
  if (life.options.pin) pin.emplace(index(id));
  if (life.life == 1) shared.ready.fetch_add(1);
  if (!wait_for_go(shared)) return kChildStopped;
  clock.restart_at(shared.origin.load());
  assembly.start(clock);
  Loop loop(clock, idle_for(plan.nodes, cores), plan.seed, shared.stop);
  Seat seat = assembly.seat(plan, id);
  seat.ends_retired = true;
  loop.seat(seat);
  const LoopEnd end = loop.run();
  if (end.why == LoopEnd::Why::kTrouble) {
    write_file(files.state, bytes_of(end.trouble));
    return kChildTrouble;
  }
  write_file(files.state, bytes_of(assembly.node->describe()));
  if (plan.record) write_file(files.record, plan.record(*assembly.node));
  write_file(files.report, encode(report_of(plan, id, assembly, loop.usage(0))));
  switch (end.why) {
    case LoopEnd::Why::kDone: return kChildEndedRun;
    case LoopEnd::Why::kRetired: return kChildRetired;
    default: return kChildReported;
  }
}

}  // namespace

ChildFiles child_files(const std::string& run_directory, NodeId node) {
  const std::string base = fmt::format("{}/node-{}", run_directory, index(node));
  return {base + ".report", base + ".record", base + ".state", base + ".stderr", base + ".pid"};
}

void write_file(const std::string& path, ConstBytes bytes) {
  const std::string draft = path + ".new";
  std::FILE* const file = std::fopen(draft.c_str(), "wb");
  bool good = file != nullptr;
  if (good) good = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (file != nullptr) good = std::fclose(file) == 0 && good;
  if (!good || std::rename(draft.c_str(), path.c_str()) != 0) {
    throw std::runtime_error(fmt::format("cannot write {}: {}; is the file system full?", path, std::strerror(errno)));
  }
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void remove_regions(const std::string& run_directory, NodeId node) {
  namespace fs = std::filesystem;
  const ChildFiles files = child_files(run_directory, node);
  const std::string start = fmt::format("{}/node-{}.", run_directory, index(node));
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(run_directory, ignored)) {
    const std::string path = entry.path().string();
    const bool ours = path == files.report || path == files.record || path == files.state || path == files.errors ||
                      path == files.pid;
    if (path.starts_with(start) && !ours) fs::remove(entry.path(), ignored);
  }
}

void run_child(const LifeOptions& life, Listeners& listeners, Clock clock, SharedRun& shared, int driver) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != driver) _exit(kChildStopped);  // it died before the line above
  signal(SIGINT, SIG_IGN);                        // a terminal sends it to all; the driver ends the run
  signal(SIGHUP, SIG_IGN);
  signal(SIGTERM, SIG_DFL);
  const ChildFiles files = child_files(life.directories.run(), life.node);
  if (const int errors = open(files.errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600); errors >= 0) {
    dup2(errors, STDERR_FILENO);
    close(errors);
  }
  int status = kChildTrouble;
  try {
    status = run_node(life, listeners, clock, shared);
  } catch (const std::exception& e) {
    try {
      write_file(files.state, bytes_of(e.what()));
    } catch (const std::exception& second) {
      fmt::print(stderr, "{}\n{}\n", e.what(), second.what());
    }
  }
  if (status == kChildTrouble) shared.stop.store(true);
  std::fflush(stderr);
  _exit(status);  // without the exit handlers that were inherited from the driver
}

}  // namespace slipstream::emulate
