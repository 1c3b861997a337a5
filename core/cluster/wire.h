// Requests to and from the coordinator. All are control messages.
#pragma once

#include <cstdint>

#include "core/rpc/wire.h"

namespace slipstream {

// A node reports for duty; answered when all servers have. The answer's body is ClusterMap, then its servers (u16
// each), then its tablets.
struct Enlist {
  std::uint16_t node = 0;
  std::uint16_t kind = 0;  // as NodeKind
  std::uint32_t reserved = 0;
};
static_assert(sizeof(Enlist) == 8);

struct ClusterMap {
  std::uint32_t servers = 0;
  std::uint32_t tablets = 0;
};
static_assert(sizeof(ClusterMap) == 8);

struct TabletOnWire {
  std::uint64_t table = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t server = 0;
};
static_assert(sizeof(TabletOnWire) == 32);

// kReady: a client has loaded its share; answered when all clients have: the warm-up begins.
// kFinished: a client is through; answered at once.
// kWindow, from the coordinator to each server: the measured window starts (1) or ends (0); answered at once.
struct WindowMark {
  std::uint64_t starts = 0;
};
static_assert(sizeof(WindowMark) == 8);

}  // namespace slipstream
