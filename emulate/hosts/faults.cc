#include "emulate/hosts/faults.h"

#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::emulate {
namespace {

enum class Needs : std::uint8_t { kProcess, kWrapper };

Needs needs(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kCrash:
      // For good, a node may leave the loop that drives it; to come back it needs a process.
      return fault.lasts_ns == kNever && fault.keeps_memory && fault.keeps_storage ? Needs::kWrapper : Needs::kProcess;
    case FaultKind::kPause: return Needs::kProcess;
    default: return Needs::kWrapper;
  }
}

bool is_here(Needs what, HostKind hosts) {
  const bool processes = hosts == HostKind::kProcesses || hosts == HostKind::kVm;
  switch (what) {
    case Needs::kProcess: return processes;
    case Needs::kWrapper: return processes || hosts == HostKind::kPacked;
  }
  return false;
}

std::string_view who_can(Needs what) {
  switch (what) {
    case Needs::kProcess: return "hosts \"processes\" can, and the simulator (--on sim)";
    case Needs::kWrapper: return "hosts \"processes\" and \"packed\" can, and the simulator (--on sim)";
  }
  return {};
}

}  // namespace

std::string problem_with_faults(const RunPlan& plan, const EmulateOptions& options) {
  const FaultPlan& faults = options.faults;
  const auto refused = [&](std::string_view what, Needs need) {
    return fmt::format("faults: hosts \"{}\" over {} cannot carry out {}; {}", name(options.hosts),
                       name(options.fabric), what, who_can(need));
  };
  for (std::size_t i = 0; i < faults.faults.size(); ++i) {
    const Fault& fault = faults.faults[i];
    const auto is_node = [&](NodeId node) { return index(node) < plan.nodes; };
    if (!is_node(fault.node) || (fault.peer != kNoNode && !is_node(fault.peer))) {
      return fmt::format("faults: {} names node {}, and the nodes are 0 to {}", name(fault.kind),
                         index(is_node(fault.node) ? fault.peer : fault.node), plan.nodes - 1);
    }
    if (fault.at_ns < 0 || fault.lasts_ns < 0 || (i > 0 && fault.at_ns < faults.faults[i - 1].at_ns)) {
      return fmt::format("faults: {} at {} us: times must rise from 0, and nothing lasts less than that",
                         name(fault.kind), fault.at_ns / kMicrosecond);
    }
    if (const Needs need = needs(fault); !is_here(need, options.hosts)) {
      const bool comes_back = fault.kind == FaultKind::kCrash && need == Needs::kProcess;
      const bool is_packed = options.hosts == HostKind::kPacked;
      return refused(fmt::format("\"{}\"{}", name(fault.kind),
                                 comes_back && is_packed ? " unless it is for good and keeps memory and storage" : ""),
                     need);
    }
  }
  const bool by_chance =
      faults.message_loss_ppm + faults.message_twice_ppm + faults.channel_loss_ppm + faults.torn_write_ppm != 0;
  if (by_chance && !is_here(Needs::kWrapper, options.hosts)) return refused("faults by chance", Needs::kWrapper);
  return {};
}

void refuse_faults(const RunPlan& plan, const EmulateOptions& options) {
  if (const std::string problem = problem_with_faults(plan, options); !problem.empty()) {
    throw std::runtime_error(problem);
  }
}

}  // namespace slipstream::emulate
