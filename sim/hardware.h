// A hardware profile: what the simulator knows about a machine, its NIC and its network. A plain struct of integers;
// one list of fields drives the reader, `describe` and the tests, so a value cannot exist in one of them only.
//
// Units in the struct: picoseconds, bytes, bits per second, counts. In a profile's JSON every key of the list stands in
// the object named by its section, as {"value": "350 ns", "source": "..."}; every key must be there. Which values come
// from where is told by the profile (experiments/hardware/*.json), not here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/turn/outbox.h"

namespace slipstream::sim {

struct HardwareProfile {
  // Core: CPU time of one unit of each kind of work (core/base/ledger.h).
  std::int64_t cpu_message_in = 0;   // also of a control message
  std::int64_t cpu_message_out = 0;  // posting and doorbell included
  std::int64_t cpu_post_write = 0;   // posting and doorbell included
  std::int64_t cpu_completion = 0;
  std::int64_t cpu_turn = 0;  // also of a turn that handles control only
  std::int64_t cpu_request = 0;
  std::int64_t cpu_hash_probe = 0;
  std::int64_t cpu_log_append = 0;
  std::int64_t cpu_exactly_once = 0;
  std::int64_t cpu_replica_update = 0;
  std::int64_t cpu_issue = 0;
  std::int64_t cpu_copy_rate = 1;       // bits/s
  std::int64_t cpu_crc_rate = 1;        // bits/s
  std::int64_t cpu_idle_turn = 0;       // a turn takes at least this long (an empty poll)
  std::int64_t cpu_hand_off = 0;        // dispatch core to worker, and back
  std::int64_t cpu_context_switch = 0;  // a yielding worker: leaving its request, and coming back to it

  // NIC.
  std::int64_t nic_fetch = 0;            // work request and payload fetched by the NIC, above the inline limit
  std::int64_t nic_inline_limit = 0;     // bytes
  std::int64_t nic_send_gap = 0;         // between two messages leaving
  std::int64_t nic_receive_gap = 0;      // between two messages arriving
  std::int64_t nic_send_latency = 0;     // added to each passage out
  std::int64_t nic_receive_latency = 0;  // added to each passage in
  std::int64_t nic_dma_rate = 1;         // bits/s, each direction
  std::int64_t nic_pcie_round_trip = 0;  // of the responder's fetch for a one-sided read
  std::int64_t nic_queue_pairs = 1;      // held in the NIC's cache
  std::int64_t nic_queue_pair_miss = 0;  // fetching the state of one that is not held
  std::int64_t nic_per_queue_pair = 0;   // latency for each connected queue pair
  std::int64_t nic_connect = 0;          // setting up a connection, at each end
  std::int64_t nic_grant = 0;            // granting or withdrawing access to registered memory
  std::int64_t nic_revoke = 0;           // until nothing lands through a killed channel any more
  std::int64_t nic_timeout = 0;          // until a NIC gives up a peer that does not answer

  // Network: a star around one switch.
  std::int64_t network_port_rate = 1;  // bits/s, each direction of each port
  std::int64_t network_wire = 0;       // one way, NIC to NIC, both links together
  std::int64_t network_switch_hop = 0;
  std::int64_t network_mtu = 1;            // payload bytes of a packet
  std::int64_t network_packet_header = 0;  // bytes
  std::int64_t network_ack_packet = 0;     // bytes on the wire

  // Storage.
  std::int64_t storage_latency = 0;
  std::int64_t storage_rate = 1;  // bits/s

  // Picoseconds per unit of work, for the Outbox.
  CostTable costs() const;
};

enum class Unit : std::uint8_t {
  kTime,   // "350 ns"; stored in ps
  kSize,   // "2 KiB"; stored in bytes
  kRate,   // "56 Gb/s" or "10 GB/s"; stored in bits per second; at least 1
  kCount,  // "256"; a plain number
};

struct HardwareField {
  std::string_view section;  // "cpu", "nic", "network", "storage"
  std::string_view key;      // in the section
  std::int64_t HardwareProfile::*member;
  Unit unit;
  std::int64_t least;  // smallest value that makes sense, in the stored unit
  std::string_view meaning;
};

// All fields, by section, in the order of the struct.
std::span<const HardwareField> hardware_fields();

// What cannot work, naming the key ("network.mtu: must be at least 64 B"); empty when all is well.
std::string problem_with(const HardwareProfile& profile);

}  // namespace slipstream::sim
