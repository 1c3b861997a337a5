// A tcp fabric to which arbitrary bytes are sent, by one who knows the run's secret or does not: what a peer with a
// bug, or a stranger, can do. It must stand, answer for what was granted alone, and go on with others.
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "emulate/fabric/file_descriptor.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/tcp_address.h"
#include "emulate/fabric/tcp_wire.h"

using namespace slipstream;
using namespace slipstream::emulate;

namespace {

constexpr int kInputsOfAFabric = 2000;  // accepted channels have numbers that are never used again

struct Node {
  TcpListener listener = listen_tcp("127.0.0.1:0");
  RunSecret secret{};
  std::unique_ptr<RealFabric> fabric;
  Region region;
  int inputs = 0;

  Node() {
    TcpOptions options;
    options.addresses = {listener.address, "127.0.0.1:1"};
    options.node = NodeId{0};
    options.listener = listener.descriptor;
    options.secret = secret;
    fabric = make_tcp_fabric(options);
    region = fabric->create_region("granted", 4096, Access::kGrantable);
  }
};

// What a node does with what comes: grants memory to who has connected, and reads what is sent.
void turn(Node& node) {
  std::array<Event, 16> events;
  std::vector<Op> ops;
  const std::size_t n = node.fabric->poll(events);
  std::uint8_t seen = 0;
  for (const Event& event : std::span(events).first(n)) {
    for (const std::byte b : event.bytes) seen ^= std::to_integer<std::uint8_t>(b);
    if (event.kind != EventKind::kConnected) continue;
    Op grant;
    grant.kind = OpKind::kGrant;
    grant.channel = event.channel;
    grant.local = node.region.memory.first(1024 + seen % 2);
    grant.ticket = 1;
    ops.push_back(grant);
  }
  node.fabric->post(ops);
}

void append(std::vector<std::byte>& bytes, ConstBytes more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

std::vector<std::byte> greeting(const RunSecret& secret) {
  std::vector<std::byte> bytes;
  const tcp::FrameHeader header{sizeof(tcp::Greeting), tcp::FrameKind::kHello, 0, 0};
  tcp::Greeting hello;
  hello.from = 1;
  hello.secret = secret;
  append(bytes, std::as_bytes(std::span(&header, 1)));
  append(bytes, std::as_bytes(std::span(&hello, 1)));
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::unique_ptr<Node> node;
  if (node == nullptr || ++node->inputs > kInputsOfAFabric) node = std::make_unique<Node>();
  FuzzInput in(data, size);
  const sockaddr_in name = parse_address(node->listener.address);
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  SLIP_CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  if (in.byte() % 4 != 0) {
    const std::vector<std::byte> hello = greeting(node->secret);
    ::send(socket.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
    turn(*node);
    turn(*node);
  }
  while (!in.empty()) {
    const std::vector<std::byte> piece = in.bytes(std::size_t{in.byte()} * 16 + 1);
    ::send(socket.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    turn(*node);
  }
  // Nothing of it stays behind: closed without a wait, so that the next finds a free port.
  const linger at_once{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.reset();
  turn(*node);
  return 0;
}
