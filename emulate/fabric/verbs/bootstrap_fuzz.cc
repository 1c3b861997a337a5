// The bootstrap of verbs channels, to which arbitrary bytes are sent, by one who knows the run's secret or does not.
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/tcp_address.h"
#include "emulate/fabric/verbs/bootstrap.h"

using namespace slipstream;
using namespace slipstream::emulate;

namespace {

struct Node {
  TcpListener listener = listen_tcp("127.0.0.1:0");
  verbs::Bootstrap bootstrap{FileDescriptor(listener.descriptor), NodeId{0}, RunSecret{}};
};

// What the fabric does: greets who has greeted, and lets go of who is gone.
void turn(Node& node) {
  std::vector<verbs::LinkEvent> events;
  node.bootstrap.poll(events);
  for (const verbs::LinkEvent& event : events) {
    const bool greets = event.kind == verbs::LinkEvent::Kind::kGreeting;
    if (greets) SLIP_CHECK(node.bootstrap.greeting_of(*event.link).magic == verbs::kMagic);
    if (greets && node.bootstrap.greet(*event.link, verbs::Greeting{})) continue;
    if (event.kind != verbs::LinkEvent::Kind::kReady) node.bootstrap.close(*event.link);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Node node;
  FuzzInput in(data, size);
  const sockaddr_in name = parse_address(node.listener.address);
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  SLIP_CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  if (in.byte() % 4 != 0) {
    verbs::Greeting hello;
    hello.from = in.byte();
    ::send(socket.get(), &hello, sizeof hello, MSG_NOSIGNAL);
    turn(node);
  }
  while (!in.empty()) {
    const std::vector<std::byte> piece = in.bytes(std::size_t{in.byte()} + 1);
    ::send(socket.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    turn(node);
  }
  const linger at_once{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket.reset();
  turn(node);
  turn(node);
  return 0;
}
