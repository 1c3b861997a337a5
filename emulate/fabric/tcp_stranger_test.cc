// Who connects to a node of a run without belonging to it: turned away, while the run goes on as if nobody had come.
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "emulate/fabric/file_descriptor.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/tcp_address.h"
#include "emulate/fabric/tcp_wire.h"

namespace slipstream::emulate {
namespace {

constexpr TimeNs kLong = 3600 * kSecond;

std::vector<std::byte> frame(tcp::FrameKind kind, const tcp::Greeting& greeting) {
  const tcp::FrameHeader header{sizeof greeting, kind, 0, 0};
  std::vector<std::byte> bytes(sizeof header + sizeof greeting);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &greeting, sizeof greeting);
  return bytes;
}

FileDescriptor connect_to(const std::string& address) {
  const sockaddr_in name = parse_address(address);
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  return socket;
}

bool is_closed(const FileDescriptor& socket) {
  std::byte byte;
  const ssize_t n = ::recv(socket.get(), &byte, 1, MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno == ECONNRESET);
}

// Nodes 0 and 1 of a run.
struct Strangers : testing::Test {
  RunSecret secret = make_run_secret();
  TcpOptions options;
  std::vector<TcpListener> listeners;
  std::vector<std::unique_ptr<RealFabric>> fabrics;

  void start(TimeNs patience) {
    options.secret = secret;
    options.greeting_patience_ns = patience;
    for (int i = 0; i < 2; ++i) {
      listeners.push_back(listen_tcp("127.0.0.1:0"));
      options.addresses.push_back(listeners.back().address);
    }
    for (std::uint16_t i = 0; i < 2; ++i) {
      options.node = NodeId{i};
      options.listener = listeners[i].descriptor;
      fabrics.push_back(make_tcp_fabric(options));
    }
  }
  std::optional<Event> poll(std::size_t node) {
    Event event;
    return fabrics[node]->poll({&event, 1}) > 0 ? std::optional(event) : std::nullopt;
  }
  void connect(std::size_t from, std::uint16_t to) {
    Op op;
    op.kind = OpKind::kConnect;
    op.channel = 1;
    op.peer = NodeId{to};
    fabrics[from]->post({&op, 1});
  }
  // Node 1 connects to node 0 and says something; nothing else happens to node 0.
  void expect_that_the_run_goes_on() {
    connect(1, 0);
    for (bool up = false; !up;) {
      if (const auto event = poll(0)) {
        EXPECT_EQ(event->kind, EventKind::kConnected);
        EXPECT_EQ(event->peer, NodeId{1});
      }
      if (const auto event = poll(1)) {
        EXPECT_EQ(event->kind, EventKind::kConnected);
        up = true;
      }
    }
    Op op;
    op.kind = OpKind::kSend;
    op.channel = 1;
    fabrics[1]->post({&op, 1});
    std::optional<Event> event;
    while (!event) event = poll(0);
    EXPECT_EQ(event->kind, EventKind::kMessage);
    EXPECT_EQ(event->peer, NodeId{1});
  }
};

TEST_F(Strangers, WithAWrongWordAreTurnedAwayAndTheRunGoesOn) {
  start(kLong);
  RunSecret almost = secret;
  almost.back() ^= std::byte{1};
  std::vector<std::vector<std::byte>> words = {
      frame(tcp::FrameKind::kHello, {tcp::kMagic, 1, 0, {}}),
      frame(tcp::FrameKind::kHello, {tcp::kMagic, 1, 0, almost}),
      frame(tcp::FrameKind::kHello, {tcp::kMagic, 1, 1, secret}),        // for another node
      frame(tcp::FrameKind::kHello, {tcp::kMagic, 2, 0, secret}),        // from no node of the run
      frame(tcp::FrameKind::kHello, {tcp::kMagic + 1, 1, 0, secret}),    // of another build
      frame(tcp::FrameKind::kWelcome, {tcp::kMagic, 1, 0, secret}),      // an answer to nothing
      frame(tcp::FrameKind::kMessage, {tcp::kMagic, 1, 0, secret}),      // without a greeting
      frame(tcp::FrameKind::kWrite, {tcp::kMagic, 1, 0, secret}),
      std::vector<std::byte>(100'000, std::byte{0xff}),
      std::vector<std::byte>(8),
  };
  const std::string request = "GET / HTTP/1.1\r\n\r\n";
  words.emplace_back(reinterpret_cast<const std::byte*>(request.data()),
                     reinterpret_cast<const std::byte*>(request.data()) + request.size());
  for (const auto& word : words) {
    const FileDescriptor stranger = connect_to(options.addresses[0]);
    ::send(stranger.get(), word.data(), word.size(), MSG_NOSIGNAL);
    while (!is_closed(stranger)) EXPECT_FALSE(poll(0));
    EXPECT_FALSE(poll(0));
  }
  expect_that_the_run_goes_on();
}

TEST_F(Strangers, WhoHangUpAreForgotten) {
  start(kLong);
  const auto hello = frame(tcp::FrameKind::kHello, {tcp::kMagic, 1, 0, secret});
  for (const std::size_t said : {std::size_t{0}, std::size_t{3}, sizeof(tcp::FrameHeader), hello.size() - 1}) {
    FileDescriptor stranger = connect_to(options.addresses[0]);
    ::send(stranger.get(), hello.data(), said, MSG_NOSIGNAL);
    EXPECT_FALSE(poll(0));
    stranger.reset();
    EXPECT_FALSE(poll(0));
  }
  expect_that_the_run_goes_on();
}

TEST_F(Strangers, WhoSayNothingOrNotAllOfItAreTurnedAwayInTime) {
  start(kMillisecond);
  const auto hello = frame(tcp::FrameKind::kHello, {tcp::kMagic, 1, 0, secret});
  for (const std::size_t said : {std::size_t{0}, hello.size() - 1}) {
    const FileDescriptor stranger = connect_to(options.addresses[0]);
    ::send(stranger.get(), hello.data(), said, MSG_NOSIGNAL);
    while (!is_closed(stranger)) EXPECT_FALSE(poll(0));
  }
}

constexpr int kCrowd = 150;  // more than a node looks after at a time

TEST_F(Strangers, ACrowdOfThemDoesNotKeepANodeAwake) {
  start(kLong);
  std::vector<FileDescriptor> crowd;
  for (int i = 0; i < kCrowd; ++i) crowd.push_back(connect_to(options.addresses[0]));
  EXPECT_FALSE(poll(0));
  EXPECT_FALSE(poll(0));
  // expect its descriptor to be quiet, though some still wait at its door
  pollfd wait{fabrics[0]->wake_descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
  EXPECT_LE(fabrics[0]->longest_sleep_ns(), kLong);
}

TEST_F(Strangers, ACrowdOfThemKeepsNobodyOut) {
  start(10 * kMillisecond);
  std::vector<FileDescriptor> crowd;
  for (int i = 0; i < kCrowd; ++i) crowd.push_back(connect_to(options.addresses[0]));
  expect_that_the_run_goes_on();
  for (const FileDescriptor& stranger : crowd) {
    while (!is_closed(stranger)) EXPECT_FALSE(poll(0));
  }
}

TEST_F(Strangers, ANodeOfAnotherRunIsRefused) {
  start(kLong);
  options.secret = make_run_secret();
  options.listener = -1;
  fabrics[1].reset();
  fabrics[1] = make_tcp_fabric(options);
  connect(1, 0);
  std::optional<Event> event;
  while (!event) {
    EXPECT_FALSE(poll(0));
    event = poll(1);
  }
  EXPECT_EQ(event->kind, EventKind::kDown);
}

TEST_F(Strangers, WhoAnswersInANodesPlaceMustKnowTheSecret) {
  // Given somebody who listens where node 1 should
  start(kLong);
  fabrics[1].reset();
  const TcpListener impostor = listen_tcp(options.addresses[1]);
  const FileDescriptor listener(impostor.descriptor);
  connect(0, 1);
  FileDescriptor accepted;
  while (!accepted.valid()) {
    EXPECT_FALSE(poll(0));
    accepted = FileDescriptor(::accept(listener.get(), nullptr, nullptr));
  }
  const auto welcome = frame(tcp::FrameKind::kWelcome, {tcp::kMagic, 1, 0, {}});
  ASSERT_EQ(::send(accepted.get(), welcome.data(), welcome.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(welcome.size()));
  // expect node 0 not to take it for node 1
  std::optional<Event> event;
  while (!event) event = poll(0);
  EXPECT_EQ(event->kind, EventKind::kDown);
}

TEST(RunSecrets, DifferFromRunToRunAndAreComparedWhole) {
  const RunSecret a = make_run_secret();
  EXPECT_FALSE(is_same(a, make_run_secret()));
  EXPECT_TRUE(is_same(a, RunSecret(a)));
  for (std::size_t i = 0; i < a.size(); ++i) {
    RunSecret b = a;
    b[i] ^= std::byte{0x10};
    EXPECT_FALSE(is_same(a, b));
  }
}

}  // namespace
}  // namespace slipstream::emulate
