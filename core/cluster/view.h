// What the coordinator knows of the cluster: who is a member, in which life; which server holds which tablet; what is
// being recovered; which clients live. It tells all of it, by epoch, and keeps it durable.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/ids.h"
#include "core/kv/tablets.h"
#include "core/replication/replica_manager.h"

namespace slipstream {

// A node in one of its lives: a restarted node is another server. Lives start at 1.
struct ServerId {
  NodeId node = kNoNode;
  std::uint16_t life = 0;
  bool operator==(const ServerId&) const = default;
};
inline constexpr ServerId kNoServerId{};

struct MemberState {
  ServerId server;
  bool is_up = false;
};

// A dead server whose data is not all in other hands yet.
struct DeadMaster {
  ServerId server;
  TimeNs declared_ns = 0;
  bool is_split = false;             // its tablets are in pieces for recovery masters
  std::vector<SegmentEpoch> epochs;  // of its segments that lost replicas while they were open
};

struct TabletState {
  std::uint64_t table = 0;
  KeyHash first = 0;
  KeyHash last = 0;  // inclusive
  ServerId owner;
  ServerId recoverer = kNoServerId;  // the owner is dead: who replays it; kNoServerId: nobody yet
};

struct View {
  std::uint64_t epoch = 0;
  std::uint32_t latest_client = 0;  // the highest client id ever given
  std::uint32_t phase = 0;          // of the run (coordinator.h)
  TimeNs window_start_ns = 0;
  TimeNs window_end_ns = 0;
  std::vector<MemberState> servers;  // one for each server node; life 0: it never came
  std::vector<DeadMaster> dead;
  std::vector<TabletState> tablets;            // sorted by (table, first)
  std::vector<std::uint32_t> clients;          // alive, rising
  std::vector<SegmentEpoch> epochs_of_living;  // `segment` >> 48 is the node

  const MemberState* member(NodeId node) const;
  bool is_alive(ServerId server) const;
  // As routing needs it: a tablet that is being recovered has no server.
  TabletMap tablet_map() const;
};

void encode(const View& view, std::vector<std::byte>& bytes);
// Nothing when the bytes are not exactly a view.
std::optional<View> decode_view(ConstBytes bytes);

}  // namespace slipstream
