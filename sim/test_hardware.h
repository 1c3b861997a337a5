// A machine of round numbers for tests and benchmarks of the simulator. It is no real one.
#pragma once

#include "sim/hardware.h"

namespace slipstream::sim {

// Round numbers, so that a sum can be done by hand. ns in the comments, ps in the struct.
inline HardwareProfile plain_hardware() {
  HardwareProfile hw;
  hw.cpu_message_in = 100'000;
  hw.cpu_message_out = 200'000;
  hw.cpu_post_write = 150'000;
  hw.cpu_completion = 30'000;
  hw.cpu_request = 1'000'000;
  hw.cpu_idle_turn = 50'000;
  hw.cpu_hand_off = 220'000;
  hw.cpu_context_switch = 2'000'000;
  hw.cpu_copy_rate = 80'000'000'000;
  hw.cpu_crc_rate = 80'000'000'000;
  hw.nic_fetch = 350'000;
  hw.nic_inline_limit = 200;
  hw.nic_send_gap = 40'000;
  hw.nic_receive_gap = 50'000;
  hw.nic_dma_rate = 80'000'000'000;  // 100 ps per byte
  hw.nic_queue_pairs = 1000;
  hw.nic_connect = 1'000'000;
  hw.nic_grant = 1'000'000;
  hw.nic_revoke = 1'000'000;
  hw.network_port_rate = 80'000'000'000;
  hw.network_wire = 600'000;
  hw.network_switch_hop = 300'000;
  hw.network_mtu = 1000;
  hw.network_packet_header = 36;
  hw.network_ack_packet = 30;
  hw.nic_timeout = 1'000'000'000;
  hw.storage_latency = 10'000'000;
  hw.storage_rate = 8'000'000'000;
  return hw;
}

}  // namespace slipstream::sim
