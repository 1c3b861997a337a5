// Faults as data: what happens to a cluster, and when. An experiment's `faults` and the swarm's draws become a list of
// these; both worlds carry it out, each what it can (sim/faults.h, emulate/hosts). Design: "Faults".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/ids.h"
#include "core/base/units.h"

namespace slipstream {

enum class FaultKind : std::uint8_t {
  kCrash,          // the node dies without a word; after `lasts` it starts anew, kNever: it stays away
  kPause,          // its core stands still for `lasts`; its NIC goes on serving what is one-sided
  kSlow,           // its core takes `factor` times as long, for `lasts`
  kPartition,      // nothing passes between node and peer, either way, for `lasts`; peer kNoNode: all others
  kPartitionOut,   // nothing passes from node to peer; the other way all does
  kChannelLoss,    // the channels between node and peer die
  kTornWrite,      // of the next write from node (to peer, when named) some bytes land, then its channel dies
  kLateWrite,      // the next write from node lands only after `lasts`, though its writer believes it lost
  kMessageLoss,    // a message to node is lost, though acknowledged
  kMessageTwice,   // a message to node comes twice
  kBitFlip,        // one bit of a replica that node holds, in memory or stored, is inverted
  kStorageLost,    // a storage append of node is acknowledged and not done
  kStorageShort,   // a storage append of node is acknowledged and cut
  kStorageFailed,  // a storage append of node fails (ENOSPC)
};
std::string_view name(FaultKind kind);  // "crash", "torn-write", ...
std::optional<FaultKind> fault_kind_of(std::string_view name);

// How much order a torn write keeps: what may have landed of its bytes. A device without order within a write has none
// between the writes of a channel either: of those under way behind the torn one, any may have landed, in the same way.
enum class Tear : std::uint8_t {
  kWhole,   // all up to some byte, and nothing behind it
  kBlocks,  // any subset of its 128-byte blocks, counted from the start of the grant
  kNone,    // any subset of its bytes
};
std::string_view name(Tear tear);  // "whole", "blocks", "none"
std::optional<Tear> tear_of(std::string_view name);

struct Fault {
  FaultKind kind = FaultKind::kCrash;
  TimeNs at_ns = 0;       // since the start of the run; faults of a plan are in rising order
  NodeId node = kNoNode;  // whose
  NodeId peer = kNoNode;  // see the kinds
  TimeNs lasts_ns = kNever;
  bool keeps_memory = true;   // kCrash: replica memory outlives the node's death (battery-backed)
  bool keeps_storage = true;  // kCrash: so does its storage
  Tear tear = Tear::kWhole;
  std::uint32_t factor = 1;  // kSlow
  std::uint64_t salt = 0;    // draws what is left open: the byte of the cut, the bit, the message

  bool operator==(const Fault&) const = default;
};

struct FaultPlan {
  std::vector<Fault> faults;
  // Chances in a million, all along: of a message being lost or coming twice where it arrives, of a channel's loss at
  // an op, of a write being torn.
  std::uint32_t message_loss_ppm = 0;
  std::uint32_t message_twice_ppm = 0;
  std::uint32_t channel_loss_ppm = 0;
  std::uint32_t torn_write_ppm = 0;

  bool empty() const {
    return faults.empty() && message_loss_ppm + message_twice_ppm + channel_loss_ppm + torn_write_ppm == 0;
  }
};

// One line for people: "at 200 ms server-1 crashes, without its memory; it is back after 50 ms".
std::string describe(const Fault& fault, std::string_view node, std::string_view peer);

}  // namespace slipstream
