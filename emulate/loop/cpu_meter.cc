#include "emulate/loop/cpu_meter.h"

#include <algorithm>

namespace slipstream::emulate {
namespace {

double running_share(const Snapshot& start, const Snapshot& end, double ns_per_tick) {
  const Ticks waited = end.loop_waited - start.loop_waited;
  const Ticks total = end.loop_at - start.loop_at;
  if (total <= waited) return 1;
  const double total_ns = static_cast<double>(total) * ns_per_tick;
  const double unwaiting_ns = static_cast<double>(total - waited) * ns_per_tick;
  const auto cpu_ns = static_cast<double>(end.loop_cpu_ns - start.loop_cpu_ns);
  const double unwaiting_cpu_ns = cpu_ns - (end.loop_waited_cpu_ns - start.loop_waited_cpu_ns);
  return std::min(std::max(unwaiting_cpu_ns / unwaiting_ns, cpu_ns / total_ns), 1.0);
}

}  // namespace

Usage between(const Snapshot& start, const Snapshot& end, double ns_per_tick) {
  Usage usage;
  usage.ledger = end.ledger;
  usage.ledger -= start.ledger;
  usage.running_share = running_share(start, end, ns_per_tick);
  const double scale = ns_per_tick * usage.running_share;
  for (std::size_t r = 0; r < kRoles; ++r) {
    usage.cpu_ns[r] = static_cast<std::uint64_t>(static_cast<double>(end.cpu.role[r] - start.cpu.role[r]) * scale);
  }
  usage.fabric_cpu_ns = static_cast<std::uint64_t>(static_cast<double>(end.cpu.fabric - start.cpu.fabric) * scale);
  usage.network_bytes = end.network_bytes - start.network_bytes;
  usage.window_ns = end.now_ns - start.now_ns;
  return usage;
}

}  // namespace slipstream::emulate
