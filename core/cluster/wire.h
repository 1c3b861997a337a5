// Requests to and from the coordinator. All are control messages.
#pragma once

#include <cstdint>

#include "core/rpc/wire.h"

namespace slipstream {

// kEnlist: a node reports for duty, as someone new (life and client 0) or as who it is, on a new connection.
// kHeartbeat: a node that is known asks for leave to go on. Request id: the node's time, so that it knows from when its
// lease runs. Both are answered with HelloAnswer, or with Status::kDead when this life, or this client's lease, is
// over. An enlist is answered when all servers are here, and what it changed is durable.
struct Hello {
  std::uint16_t node = 0;
  std::uint16_t kind = 0;  // as NodeKind
  std::uint16_t life = 0;  // servers
  std::uint16_t reserved = 0;
  std::uint32_t client = 0;
  std::uint32_t reserved2 = 0;
  std::uint64_t epoch = 0;  // of the view that it has
};
static_assert(sizeof(Hello) == 24);

// Followed by a view (view.h) when it is newer than the asker's. kView, the coordinator's own: the same body.
struct HelloAnswer {
  std::uint32_t life = 0;
  std::uint32_t client = 0;
  std::uint64_t epoch = 0;
};
static_assert(sizeof(HelloAnswer) == 16);

// kReady: a client has loaded its share; answered when all clients have: the warm-up begins.
// kFinished: a client is through; answered at once.
struct Progressed {
  std::uint64_t node = 0;
};
static_assert(sizeof(Progressed) == 8);

// kWindow, from the coordinator to each server: the measured window starts (1) or ends (0); answered at once.
struct WindowMark {
  std::uint64_t starts = 0;
};
static_assert(sizeof(WindowMark) == 8);

// kSuspect: that node is silent. kPlan: a recovery master asks what to read. kRecovered: it has the tablets that follow
// (KeyRange each, core/replication/wire.h), durably, or (lost_segment not 0) cannot read a segment.
struct AboutServer {
  std::uint16_t node = 0;  // who is asked about
  std::uint16_t life = 0;
  std::uint16_t from = 0;  // who asks
  std::uint16_t from_life = 0;
  std::uint64_t lost_segment = 0;
};
static_assert(sizeof(AboutServer) == 16);

// kEpochs: followed by SegmentEpoch (u64 segment, u64 epoch) each; answered with the same when they are durable.

// The answer to kPlan: for each segment PlanSegment and its sources (u16 nodes), padded to 8 bytes.
struct PlanSegment {
  std::uint64_t segment = 0;
  std::uint32_t bytes = 0;  // that count
  std::uint32_t sources = 0;
};
static_assert(sizeof(PlanSegment) == 16);

}  // namespace slipstream
