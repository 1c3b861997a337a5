#include "emulate/hosts/plan.h"

#include <string.h>
#include <unistd.h>

#include <fmt/format.h>

namespace slipstream::emulate {

Listeners::Listeners(const RunPlan& plan, const EmulateOptions& options) {
  if (options.fabric != FabricKind::kTcp) return;
  try {
    for (std::uint16_t i = 0; i < plan.nodes; ++i) {
      const int port = options.base_port == 0 ? 0 : options.base_port + i;
      const TcpListener listener = listen_tcp(fmt::format("127.0.0.1:{}", port));
      descriptors_.push_back(listener.descriptor);
      addresses_.push_back(listener.address);
    }
  } catch (...) {
    close_all();
    throw;
  }
}

Listeners::~Listeners() { close_all(); }

int Listeners::take(NodeId node) {
  const int descriptor = descriptors_.at(index(node));
  descriptors_[index(node)] = -1;
  return descriptor;
}

void Listeners::close_all() {
  for (int& descriptor : descriptors_) {
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
  }
}

Seat Assembly::seat(const RunPlan& plan, NodeId id) const {
  Seat seat;
  seat.id = id;
  seat.node = node.get();
  seat.fabric = fabric.get();
  seat.storage = storage.get();
  seat.storage_wake = storage.get();
  seat.ends_run = id == plan.ends_run;
  return seat;
}

Assembly assemble(const RunPlan& plan, const EmulateOptions& options, const RunDirectories& directories, NodeId id,
                  Listeners& listeners) {
  Assembly made;
  if (options.fabric == FabricKind::kShm) {
    ShmOptions shm;
    shm.run_directory = directories.run();
    shm.node = id;
    made.fabric = make_shm_fabric(shm);
  } else {
    TcpOptions tcp;
    tcp.addresses = listeners.addresses();
    tcp.node = id;
    tcp.listener = listeners.take(id);
    tcp.region_directory = directories.run();
    made.fabric = make_tcp_fabric(tcp);
  }
  FileStorageOptions files;
  files.directory = fmt::format("{}/node-{}", directories.storage(), index(id));
  files.synchronize = options.synchronize_storage;
  made.storage = make_file_storage(files);
  made.node = plan.make(id, *made.fabric);
  return made;
}

NodeReport report_of(const RunPlan& plan, NodeId id, const Node& node, const Usage& usage) {
  NodeReport report;
  report.node = id;
  report.kind = plan.kind(id);
  report.ledger = usage.ledger;
  report.cpu_ns = usage.cpu_ns;
  report.fabric_cpu_ns = usage.fabric_cpu_ns;
  report.network_bytes = usage.network_bytes;
  report.window_ns = usage.window_ns;
  if (const ClientStats* stats = plan.stats(node); stats != nullptr) report.client = *stats;
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
