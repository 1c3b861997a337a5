// What a loop needs of a fabric of the real world besides the seam: a way to sleep until something arrives
// (wake_source.h), and the bytes sent. Made by the two factories below; one object belongs to one thread at a time, and
// to the process that made it: a fork must come before.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/fabric/fabric.h"
#include "emulate/fabric/run_secret.h"
#include "emulate/fabric/wake_source.h"

namespace slipstream::emulate {

class RealFabric : public Fabric, public WakeSource {
 public:
  // Bytes handed to the network for others since the fabric was made: messages, writes and read data with their
  // framing.
  virtual std::uint64_t network_bytes() const = 0;
};

struct ShmOptions {
  std::string run_directory;  // of this run alone, best under /dev/shm; made when absent, never removed by a fabric
  NodeId node = kNoNode;
  std::size_t ring_bytes = 256 * kKiB;  // message ring of each direction of a channel; a power of two, at least 64 KiB
  TimeNs connect_patience_ns = 0;       // how long a connect waits for a peer that is not there yet
};

// Shared memory, between processes or within one. Files in the run directory, named for the node: its control block
// ("node-3"), the rings that peers write to, and one file for each region ("node-3.NAME"), which outlive the process.
// Throws std::runtime_error when the directory or the memory cannot be had, or the node is already there and alive.
// A node that died may come again: durable regions are copied into files of the new life, and peers' channels to the
// old one are dead.
std::unique_ptr<RealFabric> make_shm_fabric(const ShmOptions& options);
// The node has died: nothing that its peers still do to its memory is acknowledged from here on. (Else so from the
// start of its next life on.)
void end_shm_life(const std::string& run_directory, NodeId node);

struct TcpOptions {
  std::vector<std::string> addresses;  // "host:port" of every node, by number; hosts are numeric IPv4 addresses
  NodeId node = kNoNode;
  int listener = -1;               // a socket from listen_tcp(), which the fabric then owns; -1: it listens itself
  RunSecret secret{};              // who connects without it is not taken in
  TimeNs connect_patience_ns = 0;  // how long a connect tries again when it is refused
  TimeNs greeting_patience_ns = 2 * kSecond;  // how long one who connects may take to say who it is
  std::string region_directory;  // regions are files there, "node-3.NAME", as over shm; empty: anonymous memory
};

// Non-blocking kernel sockets. Throws std::runtime_error when the port is in use or an address cannot be read.
std::unique_ptr<RealFabric> make_tcp_fabric(const TcpOptions& options);

// A listening socket and the address it got: with port 0 the kernel picks a free one. For hosts that start processes:
// listen for all nodes first, then no port is ever taken by another and no connect comes too early.
struct TcpListener {
  int descriptor = -1;
  std::string address;
};
TcpListener listen_tcp(const std::string& address);
// A socket that has the address and does not listen: who connects is refused, others cannot get the port, and
// listen_tcp() for it works as often as there is no other listener.
TcpListener bind_tcp(const std::string& address);

}  // namespace slipstream::emulate
