// Segments filled beside the head, for data that becomes part of the log all at once or not at all: survivors of the
// cleaner, and what a recovery replays (RAMCloud's SideLog). They are replicated as they fill; digests name them only
// after list(), so a crash before that leaves no trace of them in the log.
#pragma once

#include <cstdint>
#include <vector>

#include "core/log/log.h"

namespace slipstream {

class SideLog {
 public:
  // `urgent`: may take the slots that the log keeps in reserve.
  explicit SideLog(Log& log, bool urgent = false) : log_(&log), urgent_(urgent) {}

  // Room for whole entries; nullptr when no slot is free.
  std::byte* append(std::size_t bytes, Outbox& out);
  // Nothing more is appended; all is certified.
  void close(Outbox& out);
  // From the next head on, digests name its segments.
  void list();

  // Of its segments, oldest first; all but the last are closed.
  const std::vector<std::uint32_t>& slots() const { return slots_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  static constexpr std::uint32_t kBatchBytes = 256 * kKiB;  // certified at once, to be on its way early

  Log* log_;  // never null
  bool urgent_;
  std::vector<std::uint32_t> slots_;
  std::uint64_t bytes_ = 0;
};

}  // namespace slipstream
