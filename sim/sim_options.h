// Options of a simulated run: how a server's software uses its cores. The hardware is a HardwareProfile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/units.h"
#include "core/fabric/fabric.h"

namespace slipstream::sim {

// How a server turns arrivals into turns of its node. Clients and the coordinator always run to completion.
enum class Threading : std::uint8_t {
  kRunToCompletion,  // one core polls, and takes all that has arrived in one turn
  kDispatchWorkers,  // RAMCloud: one dispatch core drives the NIC, workers execute requests
};

// What a worker does while its request waits for replication.
enum class Waiting : std::uint8_t {
  kSpin,   // stays with it (RAMCloud)
  kYield,  // takes another request; coming back costs a context switch
};

std::string_view name(Threading threading);  // "run-to-completion", "dispatch-workers"
std::optional<Threading> threading_of(std::string_view name);
std::string_view name(Waiting waiting);  // "spin", "yield"
std::optional<Waiting> waiting_of(std::string_view name);
std::optional<WriteOrder> write_order_of(std::string_view name);  // "whole", "blocks", "none"

struct SimOptions {
  Threading threading = Threading::kDispatchWorkers;
  std::uint32_t workers = 7;  // of one server, beside its dispatch core; 1 to 64
  Waiting waiting = Waiting::kSpin;
  std::uint32_t batch = 64;          // events that one turn takes at most when running to completion; 1 to 1024
  bool keep_stored_bytes = false;    // false: storage counts bytes only, and a read of them fails with EIO
  TimeNs limit_ns = 1000 * kSecond;  // simulated time after which a run is given up
  // How much order the bytes of a write keep as they become visible. Unless kWhole, all are so long after the last one
  // arrived; the write is acknowledged then.
  WriteOrder write_order = WriteOrder::kWhole;
  TimeNs write_settle_ns = kMicrosecond;
  std::uint32_t rare_one_in = 0;  // of so many rare choices (core/turn/rare.h) one takes the unusual; 0: none does
  TimeNs restart_retired_ns = kNever;  // a node that retires starts anew so long after; kNever: it stays away
};

}  // namespace slipstream::sim
