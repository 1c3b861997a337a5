#include "emulate/hosts/plan.h"

#include <string.h>
#include <unistd.h>

#include <fmt/format.h>

#include "emulate/fabric/verbs/verbs.h"

namespace slipstream::emulate {

Listeners::Listeners(const RunPlan& plan, const EmulateOptions& options) : secret_(make_run_secret()) {
  if (options.fabric == FabricKind::kShm) return;
  const std::vector<std::string> hosts =
      options.fabric == FabricKind::kVerbs ? verbs_addresses(options.device) : std::vector<std::string>{"127.0.0.1"};
  addresses_.resize(plan.nodes);
  descriptors_.resize(plan.nodes, -1);
  try {
    for (std::uint16_t i = 0; i < plan.nodes; ++i) listen(options, NodeId{i}, hosts[i % hosts.size()]);
  } catch (...) {
    close_all();
    throw;
  }
}

Listeners::Listeners(const EmulateOptions& options, NodeId node, const std::string& host, const RunSecret& secret)
    : secret_(secret), addresses_(index(node) + 1u), descriptors_(index(node) + 1u, -1) {
  if (options.fabric != FabricKind::kShm) listen(options, node, host);
}

void Listeners::listen(const EmulateOptions& options, NodeId node, const std::string& host) {
  const int port = options.base_port == 0 ? 0 : options.base_port + index(node);
  const TcpListener hold = bind_tcp(fmt::format("{}:{}", host, port));
  holds_.push_back(hold.descriptor);
  const TcpListener listener = listen_tcp(hold.address);
  addresses_[index(node)] = listener.address;
  descriptors_[index(node)] = listener.descriptor;
}

Listeners::~Listeners() { close_all(); }

int Listeners::take(NodeId node) {
  const int descriptor = descriptors_.at(index(node));
  descriptors_[index(node)] = -1;
  return descriptor;
}

void Listeners::close_listening() {
  for (int& descriptor : descriptors_) {
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
  }
}

void Listeners::close_all() {
  close_listening();
  for (const int hold : holds_) close(hold);
  holds_.clear();
}

Seat Assembly::seat(const RunPlan& plan, NodeId id) const {
  Seat seat;
  seat.id = id;
  seat.node = node.get();
  seat.fabric = fabric.get();
  seat.storage = storage.get();
  seat.storage_wake = storage.get();
  seat.observer = trace.get();
  seat.slow = slow;
  seat.ends_run = id == plan.ends_run;
  return seat;
}

void Assembly::start(const Clock& clock) const {
  for (OnRunClock* const one : clocked_) one->start(clock);
}

namespace {

std::unique_ptr<RealFabric> make_fabric(const EmulateOptions& options, const RunDirectories& directories, NodeId id,
                                        Listeners& listeners) {
  switch (options.fabric) {
    case FabricKind::kShm: {
      ShmOptions shm;
      shm.run_directory = directories.run();
      shm.node = id;
      return make_shm_fabric(shm);
    }
    case FabricKind::kTcp: {
      TcpOptions tcp;
      tcp.addresses = listeners.addresses();
      tcp.node = id;
      tcp.listener = listeners.take(id);
      tcp.secret = listeners.secret();
      tcp.region_directory = directories.run();
      return make_tcp_fabric(tcp);
    }
    case FabricKind::kVerbs: break;
  }
  VerbsOptions verbs;
  verbs.addresses = listeners.addresses();
  verbs.node = id;
  verbs.listener = listeners.take(id);
  verbs.secret = listeners.secret();
  verbs.region_directory = directories.run();
  verbs.device = options.device;
  verbs.rdma_address = options.rdma_address;
  return make_verbs_fabric(verbs);
}

std::string trace_of(const RunDirectories& directories, NodeId node) {
  return fmt::format("{}/trace-{}", directories.run(), index(node));
}

}  // namespace

std::string storage_of(const RunDirectories& directories, NodeId node) {
  return fmt::format("{}/node-{}", directories.storage(), index(node));
}

Assembly assemble(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories, NodeId id,
                  Listeners& listeners, const Life& life) {
  Assembly made;
  made.fabric = with_faults(make_fabric(options, directories, id, listeners),
                            fabric_faults(options.faults, plan.seed, id, life), id, made.clocked_);
  made.slow = slow_times(options.faults, id);
  FileStorageOptions files;
  files.directory = storage_of(directories, id);
  files.synchronize = options.synchronize_storage;
  files.owner = {directories.id(), id};
  made.storage =
      with_faults(make_file_storage(files), storage_faults(options.faults, plan.seed, id, life), id, made.clocked_);
  for (const StorageProblem& problem : made.storage->problems()) {
    fmt::print(stderr, "{}: {}: {}\n", plan.name(id), problem.file, problem.what);
  }
  if (options.observer != nullptr) made.trace = std::make_unique<NodeTrace>(trace_of(directories, id), id);
  made.node = plan.make(id, *made.fabric, *made.storage);
  return made;
}

TraceRecord trace_mark(TraceKind kind, NodeId node, TimeNs time) {
  TraceRecord mark;
  mark.kind = kind;
  mark.node = index(node);
  mark.peer = index(kNoNode);
  mark.time_ns = time;
  return mark;
}

void tell_observer(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories,
                   std::vector<TraceRecord> marks, TimeNs end_ns) {
  if (options.observer == nullptr) return;
  std::vector<TraceRecord> records = std::move(marks);
  const std::vector<Fault>& faults = options.faults.faults;
  for (std::size_t i = 0; i < faults.size(); ++i) {
    const Fault& fault = faults[i];
    if (fault.kind == FaultKind::kCrash || fault.kind == FaultKind::kPause || fault.at_ns > end_ns) continue;
    records.push_back(trace_mark(TraceKind::kFault, fault.node, fault.at_ns));
    records.back().peer = index(fault.peer);
    records.back().id = i;
  }
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    bool full = false;
    const std::vector<TraceRecord> made = read_trace(trace_of(directories, NodeId{i}), full);
    if (full && !made.empty()) {
      fmt::print(stderr, "slipstream: the trace of {} ends at {} ms: it had {} records; a shorter run fits\n",
                 plan.name(NodeId{i}), made.back().time_ns / kMillisecond, made.size());
    }
    records.insert(records.end(), made.begin(), made.end());
  }
  tell_trace(std::move(records), faults, *options.observer);
}

NodeReport report_of(const RunPlan& plan, NodeId id, const Assembly& made, const Usage& usage) {
  NodeReport report;
  report.node = id;
  report.kind = plan.kind(id);
  report.ledger = usage.ledger;
  report.cpu_ns = usage.cpu_ns;
  report.fabric_cpu_ns = usage.fabric_cpu_ns;
  report.network_bytes = usage.network_bytes;
  report.window_ns = usage.window_ns;
  report.write_order = made.fabric->write_order();
  complete(report, *made.node);
  if (const ClientStats* stats = plan.stats(*made.node); stats != nullptr) report.client = *stats;
  return report;
}

std::string late(const EmulateOptions& options) {
  return fmt::format("the run did not end within its time limit of {} s; the nodes' last states:",
                     static_cast<double>(options.time_limit_ns) / kSecond);
}

std::string describe_line(const RunPlan& plan, NodeId id, const Node& node) {
  return fmt::format("\n  {}: {}", plan.name(id), node.describe());
}

std::string signal_name(int signal) {
  const char* const abbreviation = sigabbrev_np(signal);
  return abbreviation == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", abbreviation);
}

std::string interrupted(int signal) { return fmt::format("interrupted by {}", signal_name(signal)); }

}  // namespace slipstream::emulate
