// Options of a server's log.
#pragma once

#include <cstddef>

#include "core/base/units.h"

namespace slipstream {

struct LogOptions {
  std::size_t segment_bytes = 8 * kMiB;   // of a segment, a replica buffer and a stored frame; 4 KiB to 8 MiB
  std::size_t memory_bytes = 512 * kMiB;  // log memory of one server, a whole number of segments, at least 4
};

}  // namespace slipstream
