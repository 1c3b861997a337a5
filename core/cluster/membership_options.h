// Options of membership and recovery.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/units.h"

namespace slipstream {

struct MembershipOptions {
  // False: nobody probes, nothing is persisted by the coordinator, and a lost server ends the run.
  bool recoverable = false;
  TimeNs probe_interval_ns = 100 * kMillisecond;  // each server probes a random other one
  TimeNs probe_timeout_ns = 50 * kMillisecond;    // silence for so long is reported; the coordinator asks once more
  // A server answers only so long after it last asked the coordinator for leave; it asks three times as often. Tablets
  // of a dead server are served elsewhere no sooner than its lease has ended.
  TimeNs lease_ns = 150 * kMillisecond;
  TimeNs client_lease_ns = 5 * kSecond;        // of a client that is not heard of; then its answers are forgotten
  TimeNs recovery_patience_ns = 10 * kSecond;  // how long to wait for backups to come back with what is missing
  std::uint32_t recovery_requests = 8;         // of one recovery master, outstanding: the throttle of a recovery
  std::size_t partition_bytes = 32 * kMiB;     // log of a dead server per recovery master, at least
};

}  // namespace slipstream
