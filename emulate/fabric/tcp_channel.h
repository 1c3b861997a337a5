// One end of a tcp channel: the socket, what is to be sent, what was received and not yet taken. The frames' meaning is
// in TcpFabric.
//
// Received bytes stay where they are until the next poll, so that messages can be views. Long writes and read data land
// in their memory straight from the socket (`landing`).
#pragma once

#include <memory>
#include <vector>

#include "core/base/ring.h"
#include "core/fabric/fabric.h"
#include "emulate/fabric/output_queue.h"
#include "emulate/fabric/shared_file.h"
#include "emulate/fabric/tcp_wire.h"

namespace slipstream::emulate {

struct TcpChannel {
  enum class State : std::uint8_t {
    kConnecting,  // or waiting for the next attempt
    kGreeting,    // connected; the peer's greeting has not come
    kUp,
    kDead
  };
  // What a long frame's bytes are for, while they land.
  enum class Landing : std::uint8_t { kNothing, kWrite, kReadData };

  struct Ticketed {
    std::uint64_t op = 0;
    Ticket ticket = 0;
  };
  struct PendingRead {
    std::uint64_t op = 0;
    Ticket ticket = 0;
    Bytes into;
  };
  struct Grant {
    RemoteKey key = 0;
    Bytes memory;
  };

  TcpChannel(Channel number_in, NodeId peer_in, State state_in) : number(number_in), peer(peer_in), state(state_in) {}

  // Reads once from the socket. 0: the peer has closed or is gone; -1: nothing there.
  std::ptrdiff_t receive();
  // The received bytes not yet taken.
  ConstBytes unparsed() const { return {in.get() + begin, end - begin}; }
  void take(std::size_t bytes) { begin += bytes; }
  // The frame at hand needs so many bytes in one piece.
  void need(std::size_t bytes) { wanted = bytes; }
  // Starts landing: `memory` gets the first bytes from what is there, and later bytes straight from the socket.
  void land(Landing kind, Bytes memory, RemoteKey key);
  bool is_landing() const { return landing != Landing::kNothing; }
  void send();  // as much as goes

  Channel number;  // 0: accepted, and not greeted yet
  NodeId peer;
  State state;
  FileDescriptor socket;
  std::uint32_t epoll_events = 0;
  OutputQueue out;
  std::uint64_t bytes_sent = 0;
  TimeNs give_up_at = 0;  // kConnecting; kGreeting of one who was accepted

  std::unique_ptr<std::byte[]> in;
  std::size_t capacity = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t wanted = 0;
  Landing landing = Landing::kNothing;
  Bytes landing_rest;
  RemoteKey landing_key = 0;
  bool landing_wants_ack = false;

  // As the poster of ops.
  std::uint64_t posted = 0;
  Ring<Ticketed> tickets;
  Ring<PendingRead> reads;
  Ticket ack = 0;  // to be reported
  // As the one who does them.
  std::uint64_t done = 0;
  bool owes_ack = false;
  std::vector<Grant> grants;  // by the slot in the key
  std::vector<std::uint16_t> free_grants;

  bool dirty = false;  // listed as having something to send
  bool ready = false;  // listed as having unparsed bytes
  bool ack_listed = false;
  bool received = false;  // in this poll: its views forbid to move what is in the buffer
};

}  // namespace slipstream::emulate
