#include "core/check/replicas.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include <fmt/format.h>

#include "core/log/certificate_walk.h"

namespace slipstream {
namespace {

std::string tell(const PrimarySegment& p) {
  return fmt::format("segment {} of master {}, {} bytes sealed", index(p.identity.segment), index(p.identity.master),
                     p.sealed);
}

std::string tell(const FoundCopy& copy) {
  return fmt::format("{} of backup {}", copy.stored ? "the stored frame" : "the replica", index(copy.backup));
}

// What is wrong with a copy; empty: it is whole.
std::string fault_of(const PrimarySegment& primary, const FoundCopy& copy) {
  const ConstBytes sealed = primary.bytes.first(primary.sealed);
  if (copy.backup == primary.identity.master) return tell(copy) + " is the primary's own";
  const std::size_t common = std::min(sealed.size(), copy.bytes.size());
  const auto differs =
      std::mismatch(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(common), copy.bytes.begin());
  const auto first = static_cast<std::size_t>(differs.first - sealed.begin());
  if (first < common) {
    return fmt::format("{} differs at byte {}: {:02x} instead of {:02x}", tell(copy), first,
                       std::to_integer<unsigned>(copy.bytes[first]), std::to_integer<unsigned>(sealed[first]));
  }
  if (copy.bytes.size() < sealed.size()) return fmt::format("{} ends at byte {}", tell(copy), copy.bytes.size());
  if (copy.stored && copy.bytes.size() > sealed.size()) {
    return fmt::format("{} has {} bytes", tell(copy), copy.bytes.size());
  }
  if (copy.closed && !copy.stored && copy.closed_bytes != primary.sealed) {
    return fmt::format("{} was closed at {} bytes", tell(copy), copy.closed_bytes);
  }
  if (copy.closed && !primary.closed) return tell(copy) + " is closed, the segment is not";
  const CertificateWalk walk = walk_certificates(copy.bytes, primary.identity);
  if (walk.valid_bytes() != primary.sealed) {
    return fmt::format("{} is valid up to byte {}", tell(copy), walk.valid_bytes());
  }
  return {};
}

void check_segment(const PrimarySegment& primary, std::span<const FoundCopy> copies, std::uint32_t factor,
                   Findings& findings) {
  const auto add = [&](const std::string& text) {
    findings.push_back({FindingKind::kReplicas, fmt::format("{}: {}", tell(primary), text)});
  };
  if (primary.sealed > primary.bytes.size()) return add(fmt::format("it has {} bytes", primary.bytes.size()));
  const CertificateWalk walk = walk_certificates(primary.bytes.first(primary.sealed), primary.identity);
  if (walk.valid_bytes() != primary.sealed) {
    return add(fmt::format("the primary's own bytes are valid up to {}", walk.valid_bytes()));
  }
  std::vector<NodeId> whole;
  std::string faults;
  for (const FoundCopy& copy : copies) {
    if (copy.master != primary.identity.master || copy.segment != primary.identity.segment) continue;
    const std::string fault = fault_of(primary, copy);
    if (!fault.empty()) {
      faults += "; " + fault;
    } else if (std::find(whole.begin(), whole.end(), copy.backup) == whole.end()) {
      whole.push_back(copy.backup);
    }
  }
  std::string missing;
  for (const NodeId holder : primary.holders) {
    if (std::find(whole.begin(), whole.end(), holder) == whole.end()) missing += fmt::format(" {}", index(holder));
  }
  if (whole.size() < factor) add(fmt::format("whole on {} backups instead of {}{}", whole.size(), factor, faults));
  if (whole.size() >= factor && !missing.empty()) add(fmt::format("not whole on backup{}{}", missing, faults));
}

}  // namespace

Findings check_replicas(std::span<const PrimarySegment> primaries, std::span<const FoundCopy> copies,
                        std::uint32_t factor) {
  Findings findings;
  for (const PrimarySegment& primary : primaries) check_segment(primary, copies, factor, findings);
  return findings;
}

}  // namespace slipstream
