// RDMA through libibverbs: InfiniBand, RoCE, and SoftRoCE (rxe). Reliable connections, classic post and poll, a
// bootstrap of our own over TCP instead of rdma_cm.
//
// What makes it safe: a grant is a memory window (type 2B) that the granter's card binds to one queue pair and one
// range; no other channel can use it, and a withdrawn or revoked one is dead in the card. Sources: InfiniBand
// Architecture Specification 1.3, 10.6.7 (windows), 9.7.5.1.6 (what a completion means).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/run_secret.h"

namespace slipstream::emulate {

struct VerbsOptions {
  std::vector<std::string> addresses;  // "host:port" of every node's bootstrap, by number; numeric IPv4
  NodeId node = kNoNode;
  int listener = -1;                    // a socket from listen_tcp(), which the fabric then owns; -1: it listens itself
  TimeNs connect_patience_ns = 0;       // how long a connect tries again when it is refused
  std::string region_directory;         // grantable regions are files there, as over shm; empty: anonymous memory
  RunSecret secret{};                   // a peer without it is refused
  std::string device;                   // empty: the one that has the address
  std::string rdma_address;             // numeric IPv4 of the RDMA port; empty: the bootstrap's own address
  std::size_t ring_bytes = 256 * kKiB;  // receive buffer of each end of a channel; a power of two, at least 64 KiB
};

// Throws std::runtime_error with cause and remedy: no device, wrong name, no rights, no memory windows, too little
// lockable memory, port in use.
std::unique_ptr<RealFabric> make_verbs_fabric(const VerbsOptions& options);

// A port of a device that carries RoCE v2 or InfiniBand, for who looks before running (doctor, hosts).
struct VerbsPort {
  std::string device;
  std::uint8_t port = 0;
  bool is_active = false;
  bool has_windows = false;             // memory windows of type 2B
  std::vector<std::string> addresses;   // numeric IPv4 that it can be reached at, in the order of its GID table
  std::vector<std::string> other_gids;  // RoCE v2 or InfiniBand GIDs that are no IPv4 address
  std::string trouble;                  // why it cannot be opened; empty: it can
};
std::vector<VerbsPort> verbs_ports();

// The IPv4 addresses that nodes of a run on this machine can use: those of `device`, or of the first device that has
// any. Throws std::runtime_error with cause and remedy when there is none.
std::vector<std::string> verbs_addresses(const std::string& device);

}  // namespace slipstream::emulate
