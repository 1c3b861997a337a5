// What a loop needs of a fabric of the real world besides the seam: a way to sleep until something arrives, and the bytes
// sent. Made by the two factories below; one object belongs to one thread at a time.
//
// Sleeping: a loop that drives several fabrics (and storages) and has found nothing to do for a while calls
// sleep_until_any(), which arms every one, waits for any of their descriptors, and disarms them. An armed source makes its
// descriptor readable as soon as a poll would bring something; a source that is not armed costs its peers no system call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/fabric/fabric.h"

namespace slipstream::emulate {

class WakeSource {
 public:
  virtual ~WakeSource() = default;

  // Readable while armed and something is there. Belongs to the source.
  virtual int wake_descriptor() const = 0;
  // False: do not sleep, a poll has something to do now (an arrival, ops that wait for room, a revocation under way).
  virtual bool arm() = 0;
  virtual void disarm() = 0;
  // No sleep should be longer: what must be looked at from time to time (is the peer process alive?). kNever: nothing.
  virtual TimeNs longest_sleep_ns() const = 0;
};

// Sleeps until one of the sources has something, `timeout_ns` is over, or a signal came. Returns at once when one of them
// cannot be armed. True: a source has, or may have, something.
bool sleep_until_any(std::span<WakeSource* const> sources, TimeNs timeout_ns);

class RealFabric : public Fabric, public WakeSource {
 public:
  // Bytes handed to the network for others since the fabric was made: messages, writes and read data with their framing.
  virtual std::uint64_t network_bytes() const = 0;
};

struct ShmOptions {
  std::string run_directory;           // of this run alone, best under /dev/shm; made when absent, never removed by a fabric
  NodeId node = kNoNode;
  std::size_t ring_bytes = 256 * kKiB;  // message ring of each direction of a channel; a power of two, at least 64 KiB
  TimeNs connect_patience_ns = 0;      // how long a connect waits for a peer that is not there yet
};

// Shared memory, between processes or within one. Files in the run directory, named for the node: its control block
// ("node-3"), the rings that peers write to, and one file for each region ("node-3.NAME"), which outlive the process.
// Throws std::runtime_error when the directory or the memory cannot be had, or the node is already there and alive.
std::unique_ptr<RealFabric> make_shm_fabric(const ShmOptions& options);

struct TcpOptions {
  std::vector<std::string> addresses;  // "host:port" of every node, by number; hosts are numeric IPv4 addresses
  NodeId node = kNoNode;
  int listener = -1;                   // a socket from listen_tcp(), which the fabric then owns; -1: it listens itself
  TimeNs connect_patience_ns = 0;      // how long a connect tries again when it is refused
  std::string region_directory;        // regions are files there, "node-3.NAME", as over shm; empty: anonymous memory
};

// Non-blocking kernel sockets. Throws std::runtime_error when the port is in use or an address cannot be read.
std::unique_ptr<RealFabric> make_tcp_fabric(const TcpOptions& options);

// A listening socket and the address it got: with port 0 the kernel picks a free one. For hosts that start processes: listen
// for all nodes first, then no port is ever taken by another and no connect comes too early.
struct TcpListener {
  int descriptor = -1;
  std::string address;
};
TcpListener listen_tcp(const std::string& address);

}  // namespace slipstream::emulate
