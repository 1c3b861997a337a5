// What always holds of a master's log (core/log/log.h): on one state, and on two states of the same life, one later
// than the other. Checked while a run goes on, after any step.
//
// A snapshot is plain data that a world fills. What a pair needs of the earlier state is in numbers, not in bytes: its
// `bytes` may be gone by then.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/units.h"
#include "core/check/finding.h"
#include "core/log/entry.h"

namespace slipstream {

struct SegmentSnapshot {
  SegmentIdentity identity;
  ConstBytes bytes;  // the segment's memory
  std::uint32_t appended = 0;
  std::uint32_t sealed = 0;
  std::uint32_t crc = 0;  // of the last certificate
  bool closed = false;
  std::vector<std::uint32_t> acked;  // by each replica, in bytes
};

struct LogSnapshot {
  NodeId master = kNoNode;
  std::vector<SegmentSnapshot> segments;  // live ones, oldest first
  // Log positions: segment in the high, offset in the low 32 bits.
  std::uint64_t durable = 0;
  std::uint64_t answered = 0;  // the highest that an answer was let go for
  bool restoring = false;      // replicas are being made anew: until they are whole, `durable` may be behind `answered`
};

// One state: ids rise; the last segment is the head, the others are closed; sealed <= appended <= memory; all below
// sealed verifies and starts with the segment's header; the head's digest names all live segments; no replica has
// acknowledged more than was sealed; answered <= durable <= the end of what is sealed.
Findings check_log(const LogSnapshot& now);

// Two states: sealed bytes never change, and do not get fewer; closed stays closed; ids that are gone or were never
// there do not come back: new ones are above all old ones; what was answered stays answered, and durable.
Findings check_log(const LogSnapshot& earlier, const LogSnapshot& later);

}  // namespace slipstream
