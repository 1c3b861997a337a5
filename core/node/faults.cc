#include "core/node/faults.h"

#include <array>

#include <fmt/format.h>

namespace slipstream {
namespace {

constexpr std::array<std::string_view, 14> kKinds = {
    "crash",      "pause",        "slow",          "partition", "partition-out", "channel-loss",  "torn-write",
    "late-write", "message-loss", "message-twice", "bit-flip",  "storage-lost",  "storage-short", "storage-failed"};
constexpr std::array<std::string_view, 3> kTears = {"whole", "blocks", "none"};

std::string span_of(TimeNs lasts) {
  return lasts == kNever ? std::string("for good") : fmt::format("for {} us", lasts / kMicrosecond);
}

}  // namespace

std::string_view name(FaultKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::optional<FaultKind> fault_kind_of(std::string_view text) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i] == text) return static_cast<FaultKind>(i);
  }
  return std::nullopt;
}

std::string_view name(Tear tear) { return kTears[static_cast<std::size_t>(tear)]; }

std::optional<Tear> tear_of(std::string_view text) {
  for (std::size_t i = 0; i < kTears.size(); ++i) {
    if (kTears[i] == text) return static_cast<Tear>(i);
  }
  return std::nullopt;
}

std::string describe(const Fault& fault, std::string_view node, std::string_view peer) {
  std::string text = fmt::format("at {} us {}: {}", fault.at_ns / kMicrosecond, node, name(fault.kind));
  switch (fault.kind) {
    case FaultKind::kCrash:
      if (!fault.keeps_memory) text += ", without its memory";
      if (!fault.keeps_storage) text += ", without its storage";
      text += fault.lasts_ns == kNever ? std::string("; it stays away")
                                       : fmt::format("; it is back after {} us", fault.lasts_ns / kMicrosecond);
      break;
    case FaultKind::kPause: text += " " + span_of(fault.lasts_ns); break;
    case FaultKind::kSlow: text += fmt::format(", {} times as slow, {}", fault.factor, span_of(fault.lasts_ns)); break;
    case FaultKind::kPartition:
    case FaultKind::kPartitionOut:
      text += fmt::format(" {} {}", peer.empty() ? "from all others" : peer, span_of(fault.lasts_ns));
      break;
    case FaultKind::kTornWrite:
    case FaultKind::kLateWrite: text += fmt::format(" ({} order kept)", name(fault.tear)); break;
    default: break;
  }
  if (!peer.empty() && fault.kind >= FaultKind::kChannelLoss) text += fmt::format(" with {}", peer);
  return text;
}

}  // namespace slipstream
