#include "sim/hardware.h"

#include <fmt/format.h>

namespace slipstream::sim {

namespace {

using P = HardwareProfile;

constexpr HardwareField kFields[] = {
    {"cpu", "message_in", &P::cpu_message_in, Unit::kTime, 0, "taking a message from the NIC"},
    {"cpu", "message_out", &P::cpu_message_out, Unit::kTime, 0, "handing a message to the NIC, doorbell included"},
    {"cpu", "post_write", &P::cpu_post_write, Unit::kTime, 0, "posting a one-sided operation, doorbell included"},
    {"cpu", "completion", &P::cpu_completion, Unit::kTime, 0, "taking an acknowledgement from the NIC"},
    {"cpu", "turn", &P::cpu_turn, Unit::kTime, 0, "fixed part of a turn of the event loop"},
    {"cpu", "request", &P::cpu_request, Unit::kTime, 0, "decoding, routing and answering a client's request"},
    {"cpu", "hash_probe", &P::cpu_hash_probe, Unit::kTime, 0, "looking up a key, with the entry it leads to"},
    {"cpu", "log_append", &P::cpu_log_append, Unit::kTime, 0, "appending an entry, without its bytes"},
    {"cpu", "exactly_once", &P::cpu_exactly_once, Unit::kTime, 0, "checking and recording a mutation's completion"},
    {"cpu", "replica_update", &P::cpu_replica_update, Unit::kTime, 0, "a backup's bookkeeping for one request"},
    {"cpu", "issue", &P::cpu_issue, Unit::kTime, 0, "a client drawing and building one operation"},
    {"cpu", "copy_rate", &P::cpu_copy_rate, Unit::kRate, 1, "copying memory, one core"},
    {"cpu", "crc_rate", &P::cpu_crc_rate, Unit::kRate, 1, "CRC32C, one core"},
    {"cpu", "idle_turn", &P::cpu_idle_turn, Unit::kTime, 1000, "least length of a turn: a poll that finds nothing"},
    {"cpu", "hand_off", &P::cpu_hand_off, Unit::kTime, 0, "from the dispatch core to a worker, and back"},
    {"cpu", "context_switch", &P::cpu_context_switch, Unit::kTime, 0, "a yielding worker leaves or resumes a request"},

    {"nic", "fetch", &P::nic_fetch, Unit::kTime, 0, "fetching a work request and payload above the inline limit"},
    {"nic", "inline_limit", &P::nic_inline_limit, Unit::kSize, 0, "payload that travels inside the work request"},
    {"nic", "send_gap", &P::nic_send_gap, Unit::kTime, 0, "between two messages leaving"},
    {"nic", "receive_gap", &P::nic_receive_gap, Unit::kTime, 0, "between two messages arriving"},
    {"nic", "send_latency", &P::nic_send_latency, Unit::kTime, 0, "added to each passage out"},
    {"nic", "receive_latency", &P::nic_receive_latency, Unit::kTime, 0, "added to each passage in"},
    {"nic", "dma_rate", &P::nic_dma_rate, Unit::kRate, 1'000'000, "between NIC and memory, each direction"},
    {"nic", "pcie_round_trip", &P::nic_pcie_round_trip, Unit::kTime, 0, "the responder's fetch for a one-sided read"},
    {"nic", "queue_pairs", &P::nic_queue_pairs, Unit::kCount, 1, "queue pairs whose state the NIC holds"},
    {"nic", "queue_pair_miss", &P::nic_queue_pair_miss, Unit::kTime, 0, "fetching the state of another one"},
    {"nic", "per_queue_pair", &P::nic_per_queue_pair, Unit::kTime, 0, "latency for each connected queue pair"},
    {"nic", "connect", &P::nic_connect, Unit::kTime, 0, "setting up a connection, at each end"},
    {"nic", "grant", &P::nic_grant, Unit::kTime, 0, "granting or withdrawing access to registered memory"},
    {"nic", "revoke", &P::nic_revoke, Unit::kTime, 0, "until nothing lands through a killed channel"},
    {"nic", "timeout", &P::nic_timeout, Unit::kTime, 0, "until a peer that does not answer is given up"},

    {"network", "port_rate", &P::network_port_rate, Unit::kRate, 1'000'000, "of a port, each direction"},
    {"network", "wire", &P::network_wire, Unit::kTime, 0, "one way from NIC to NIC, without the switch"},
    {"network", "switch_hop", &P::network_switch_hop, Unit::kTime, 0, "through the switch when its port is free"},
    {"network", "mtu", &P::network_mtu, Unit::kSize, 64, "payload of a packet"},
    {"network", "packet_header", &P::network_packet_header, Unit::kSize, 0, "headers and checks of a packet"},
    {"network", "ack_packet", &P::network_ack_packet, Unit::kSize, 0, "an acknowledgement on the wire"},

    {"storage", "latency", &P::storage_latency, Unit::kTime, 0, "of one operation"},
    {"storage", "rate", &P::storage_rate, Unit::kRate, 1'000'000, "of the medium"},
};

// Longest time and size of one step: keeps every sum within 64 bits.
constexpr std::int64_t kMostTime = 1'000'000'000'000;  // 1 s
constexpr std::int64_t kMostSize = 1 << 20;
constexpr std::int64_t kMostRate = 100'000'000'000'000;  // 100 Tb/s
constexpr std::int64_t kMostCount = 1 << 24;

constexpr std::int64_t most(Unit unit) {
  switch (unit) {
    case Unit::kTime: return kMostTime;
    case Unit::kSize: return kMostSize;
    case Unit::kRate: return kMostRate;
    case Unit::kCount: return kMostCount;
  }
  return 0;
}

constexpr std::string_view stored_in(Unit unit) {
  switch (unit) {
    case Unit::kTime: return "ps";
    case Unit::kSize: return "B";
    case Unit::kRate: return "b/s";
    case Unit::kCount: return "";
  }
  return "";
}

constexpr std::int64_t ps_per_byte(std::int64_t bits_per_second) { return 8'000'000'000'000 / bits_per_second; }

}  // namespace

std::span<const HardwareField> hardware_fields() { return kFields; }

CostTable HardwareProfile::costs() const {
  CostTable table{};
  const auto set = [&table](Work work, std::int64_t ps) { table[static_cast<std::size_t>(work)] = ps; };
  set(Work::kMessageIn, cpu_message_in);
  set(Work::kMessageOut, cpu_message_out);
  set(Work::kControlMessageIn, cpu_message_in);
  set(Work::kControlMessageOut, cpu_message_out);
  set(Work::kPostWrite, cpu_post_write);
  set(Work::kCompletion, cpu_completion);
  set(Work::kTurn, cpu_turn);
  set(Work::kControlTurn, cpu_turn);
  set(Work::kRequest, cpu_request);
  set(Work::kHashProbe, cpu_hash_probe);
  set(Work::kLogAppend, cpu_log_append);
  set(Work::kExactlyOnce, cpu_exactly_once);
  set(Work::kCopyBytes, ps_per_byte(cpu_copy_rate));
  set(Work::kCrcBytes, ps_per_byte(cpu_crc_rate));
  set(Work::kReplicaUpdate, cpu_replica_update);
  set(Work::kIssue, cpu_issue);
  return table;
}

std::string problem_with(const HardwareProfile& profile) {
  for (const HardwareField& field : kFields) {
    const std::int64_t value = profile.*field.member;
    if (value < field.least || value > most(field.unit)) {
      return fmt::format("{}.{}: {} {} is not between {} and {}", field.section, field.key, value,
                         stored_in(field.unit), field.least, most(field.unit));
    }
  }
  return {};
}

}  // namespace slipstream::sim
