#include "core/check/log_invariants.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include "core/log/certificate_walk.h"

namespace slipstream {
namespace {

std::uint64_t position(const SegmentSnapshot& s, std::uint32_t offset) {
  return index(s.identity.segment) << 32 | offset;
}

class Report {
 public:
  Report(NodeId master, Findings& findings) : master_(master), findings_(findings) {}

  template <typename... Args>
  void add(fmt::format_string<Args...> text, Args&&... args) {
    findings_.push_back({FindingKind::kLog,
                         fmt::format("master {}: {}", index(master_), fmt::format(text, std::forward<Args>(args)...))});
  }

 private:
  NodeId master_;
  Findings& findings_;
};

// The contents of the entry at `at`, when it is one of this type within the sealed bytes.
ConstBytes contents(const SegmentSnapshot& s, EntryType type, std::size_t at) {
  if (at + kEntryHeaderBytes > s.sealed) return {};
  const auto header = load<EntryHeader>(s.bytes.data() + at);
  if (header.type() != type || header.length() > s.sealed - at - kEntryHeaderBytes) return {};
  return s.bytes.subspan(at + kEntryHeaderBytes, header.length());
}

void check_bytes(const SegmentSnapshot& s, Report& report) {
  const std::uint64_t id = index(s.identity.segment);
  if (s.sealed > s.appended || s.appended > s.bytes.size()) {
    return report.add("segment {}: {} bytes sealed, {} appended, {} of memory", id, s.sealed, s.appended,
                      s.bytes.size());
  }
  if (s.closed && s.sealed != s.appended) {
    report.add("segment {}: closed with {} of {} bytes sealed", id, s.sealed, s.appended);
  }
  if (s.sealed == 0) return;  // not opened yet
  const CertificateWalk walk = walk_certificates(s.bytes.first(s.sealed), s.identity);
  if (walk.valid_bytes() != s.sealed || walk.crc() != s.crc) {
    return report.add("segment {}: {} bytes sealed with crc {:08x}, valid are {} with {:08x}", id, s.sealed, s.crc,
                      walk.valid_bytes(), walk.crc());
  }
  const ConstBytes first = contents(s, EntryType::kSegmentHeader, 0);
  if (first.size() != sizeof(SegmentHeader)) return report.add("segment {} does not start with its header", id);
  const auto header = load<SegmentHeader>(first.data());
  if (header.segment != id || header.master != index(s.identity.master) || header.epoch != s.identity.epoch) {
    report.add("segment {}: its header is of segment {}, master {}, epoch {}", id, header.segment, header.master,
               header.epoch);
  }
}

void check_digest(const LogSnapshot& now, Report& report) {
  const SegmentSnapshot& head = now.segments.back();
  if (head.sealed == 0 || head.sealed > head.bytes.size()) return;
  const ConstBytes digest = contents(head, EntryType::kDigest, kEntryHeaderBytes + sizeof(SegmentHeader));
  if (digest.empty()) return report.add("head {} has no digest", index(head.identity.segment));
  std::vector<std::uint64_t> named;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= digest.size(); at += sizeof(std::uint64_t)) {
    named.push_back(load<std::uint64_t>(digest.data() + at));
  }
  for (const SegmentSnapshot& s : now.segments) {
    const std::uint64_t id = index(s.identity.segment);
    if (std::find(named.begin(), named.end(), id) == named.end()) {
      report.add("the digest of head {} does not name segment {}", index(head.identity.segment), id);
    }
  }
}

void check_positions(const LogSnapshot& now, Report& report) {
  const SegmentSnapshot& head = now.segments.back();
  const std::uint64_t end = position(head, head.sealed);
  if (now.durable > end) report.add("durable up to {:x}, sealed up to {:x}", now.durable, end);
  if (now.answered > end) report.add("answered up to {:x}, sealed up to {:x}", now.answered, end);
  if (!now.restoring && now.answered > now.durable) {
    report.add("answered up to {:x}, durable up to {:x}", now.answered, now.durable);
  }
}

}  // namespace

Findings check_log(const LogSnapshot& now) {
  Findings findings;
  Report report(now.master, findings);
  if (now.segments.empty()) {
    if (now.durable != 0 || now.answered != 0) report.add("answers without a log");
    return findings;
  }
  for (std::size_t i = 0; i < now.segments.size(); ++i) {
    const SegmentSnapshot& s = now.segments[i];
    const std::uint64_t id = index(s.identity.segment);
    const bool is_last = i + 1 == now.segments.size();
    if (i > 0 && id <= index(now.segments[i - 1].identity.segment)) report.add("segment {} out of order", id);
    if (s.identity.master != now.master) report.add("segment {} is master {}'s", id, index(s.identity.master));
    if (!is_last && !s.closed) report.add("segment {} is open, though not the last", id);
    if (is_last && s.closed) report.add("no head: segment {}, the last, is closed", id);
    check_bytes(s, report);
    for (const std::uint32_t acked : s.acked) {
      if (acked > s.sealed) report.add("segment {}: a replica acknowledged {} bytes of {}", id, acked, s.sealed);
    }
  }
  check_digest(now, report);
  check_positions(now, report);
  return findings;
}

Findings check_log(const LogSnapshot& earlier, const LogSnapshot& later) {
  Findings findings;
  Report report(later.master, findings);
  std::uint64_t above = 0;  // ids from here on were never used
  for (const SegmentSnapshot& s : earlier.segments) above = std::max(above, index(s.identity.segment) + 1);
  for (const SegmentSnapshot& s : later.segments) {
    const std::uint64_t id = index(s.identity.segment);
    const auto was = std::find_if(earlier.segments.begin(), earlier.segments.end(),
                                  [&](const SegmentSnapshot& e) { return e.identity.segment == s.identity.segment; });
    if (was == earlier.segments.end()) {
      if (id < above) report.add("segment {} came back", id);
      continue;
    }
    if (was->identity != s.identity)
      report.add("segment {} is another one: epoch {} was {}", id, s.identity.epoch, was->identity.epoch);
    if (was->closed && !s.closed) report.add("segment {} was closed, and is open", id);
    if (s.sealed < was->sealed || s.bytes.size() < was->sealed) {
      report.add("segment {}: {} bytes sealed, were {}", id, s.sealed, was->sealed);
      continue;
    }
    if (was->sealed == 0) continue;
    const CertificateWalk walk = walk_certificates(s.bytes.first(was->sealed), was->identity);
    if (walk.valid_bytes() != was->sealed || walk.crc() != was->crc) {
      report.add("segment {}: its {} sealed bytes have changed behind byte {}", id, was->sealed, walk.valid_bytes());
    }
  }
  if (later.answered < earlier.answered) {
    report.add("answered up to {:x}, was {:x}", later.answered, earlier.answered);
  }
  if (!later.restoring && later.durable < earlier.answered) {
    report.add("durable up to {:x}, answered was {:x}", later.durable, earlier.answered);
  }
  return findings;
}

}  // namespace slipstream
