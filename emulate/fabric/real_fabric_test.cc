// What the fabrics of the real world do beyond the seam: sleeping, threads, processes that are killed, start-up and its
// errors. The seam itself is tested in conformance_test.cc.
#include "emulate/fabric/real_fabric.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "emulate/fabric/tcp_address.h"

namespace slipstream::emulate {
namespace {

class TestDirectory {
 public:
  TestDirectory() {
    static std::atomic<int> serial{0};
    path_ = "/dev/shm/slipstream-fabric-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
    std::filesystem::create_directory(path_);
  }
  ~TestDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

enum class Kind { kShm, kTcp };

// Makes the fabrics of a run, over shm or tcp, one by one.
class Maker {
 public:
  Maker(Kind kind, std::uint16_t nodes) : kind_(kind) {
    for (std::uint16_t i = 0; kind == Kind::kTcp && i < nodes; ++i) {
      listeners_.push_back(listen_tcp("127.0.0.1:0"));
      tcp_.addresses.push_back(listeners_.back().address);
    }
    tcp_.region_directory = directory_.path();
    tcp_.connect_patience_ns = shm_.connect_patience_ns = 60 * kSecond;
    shm_.run_directory = directory_.path();
  }
  ~Maker() {
    for (const TcpListener& l : listeners_) {
      if (l.descriptor >= 0) ::close(l.descriptor);
    }
  }
  std::unique_ptr<RealFabric> make(std::uint16_t node) {
    shm_.node = tcp_.node = NodeId{node};
    if (kind_ == Kind::kShm) return make_shm_fabric(shm_);
    tcp_.listener = std::exchange(listeners_[node].descriptor, -1);
    return make_tcp_fabric(tcp_);
  }
  // The node will run in another process.
  void leave(std::uint16_t node) {
    if (kind_ == Kind::kTcp) ::close(std::exchange(listeners_[node].descriptor, -1));
  }
  std::string region_file(std::uint16_t node, const std::string& name) const {
    return directory_.path() + "/node-" + std::to_string(node) + "." + name;
  }

 private:
  Kind kind_;
  TestDirectory directory_;
  std::vector<TcpListener> listeners_;
  ShmOptions shm_;
  TcpOptions tcp_;
};

void post(
    RealFabric& fabric, OpKind kind, Channel channel, const std::function<void(Op&)>& fill = [](Op&) {}) {
  Op op;
  op.kind = kind;
  op.channel = channel;
  fill(op);
  fabric.post({&op, 1});
}

// Sleeps and polls until an event of this kind comes; others are dropped.
Event wait_for(RealFabric& fabric, EventKind kind) {
  WakeSource* const source = &fabric;
  Event event;
  while (true) {
    if (fabric.poll({&event, 1}) == 0) {
      sleep_until_any({&source, 1}, kSecond);
    } else if (event.kind == kind) {
      return event;
    }
  }
}

bool readable(const RealFabric& fabric) {
  pollfd wait{fabric.wake_descriptor(), POLLIN, 0};
  return ::poll(&wait, 1, 0) > 0;
}

class RealFabrics : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Real, RealFabrics, testing::Values(Kind::kShm, Kind::kTcp),
                         [](const auto& i) { return i.param == Kind::kShm ? "shm" : "tcp"; });

TEST_P(RealFabrics, AnArmedFabricIsWokenByWhatArrives) {
  // Given an armed fabric with nothing to do, expect its descriptor to be quiet until a message comes; given one that
  // has something to report, expect it to refuse to be armed.
  Maker maker(GetParam(), 2);
  const auto a = maker.make(0);
  const auto b = maker.make(1);
  post(*a, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
  Event events[8];
  Channel far = 0;
  bool up = false;
  while (far == 0 || !up) {
    if (b->poll(events) > 0) far = events[0].channel;
    up = a->poll(events) > 0 || up;
  }
  for (int round = 0; round < 20; ++round) {
    while (b->poll(events) > 0 || !b->arm()) {
    }
    EXPECT_FALSE(readable(*b));
    post(*a, OpKind::kSend, 1);
    EXPECT_TRUE(readable(*b));
    b->disarm();
    while (b->poll(events) == 0) {
    }
    EXPECT_EQ(events[0].kind, EventKind::kMessage);
  }
  post(*b, OpKind::kRevoke, far);
  EXPECT_FALSE(b->arm());
  EXPECT_GT(a->network_bytes(), 0u);
}

TEST_P(RealFabrics, APeerThatDiesAsleepDoesNoHarm) {
  // Given a peer that was woken before and dies while it is armed, expect posts to it to be taken until it is down.
  Maker maker(GetParam(), 2);
  const auto a = maker.make(0);
  auto b = maker.make(1);
  post(*a, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
  Event event;
  bool up = false;
  while (!up) {
    b->poll({&event, 1});
    up = a->poll({&event, 1}) > 0;
  }
  for (int round = 0; round < 2; ++round) {
    while (b->poll({&event, 1}) > 0 || !b->arm()) {
    }
    post(*a, OpKind::kSend, 1);
    if (round == 0) b->disarm();
  }
  b.reset();
  Event down;
  while (a->poll({&down, 1}) == 0) post(*a, OpKind::kSend, 1);
  EXPECT_EQ(down.kind, EventKind::kDown);
}

TEST_P(RealFabrics, ARestartedPeerEndsTheOldChannels) {
  // Given a peer that died and is back, and a connect to it at once, expect the old channel down and the new one up.
  Maker maker(GetParam(), 2);
  const auto a = maker.make(0);
  auto b = maker.make(1);
  const auto connect = [&](Channel channel) {
    post(*a, OpKind::kConnect, channel, [](Op& op) { op.peer = NodeId{1}; });
  };
  bool down = false;
  const auto poll_until_up = [&](Channel channel) {
    for (Event event; event.kind != EventKind::kConnected || event.channel != channel;) {
      b->poll({&event, 1});
      event = {};
      if (a->poll({&event, 1}) > 0) down = down || (event.kind == EventKind::kDown && event.channel == 1);
    }
  };
  connect(1);
  poll_until_up(1);
  b.reset();
  b = maker.make(1);
  connect(2);
  poll_until_up(2);
  if (!down) {
    EXPECT_EQ(wait_for(*a, EventKind::kDown).channel, 1);
  }
}

TEST_P(RealFabrics, AConnectIsPatient) {
  // Given a connect to a node that comes up later, expect the channel to come up with it.
  Maker maker(GetParam(), 2);
  maker.leave(1);
  const auto a = maker.make(0);
  post(*a, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
  Event event;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(a->poll({&event, 1}), 0u);
  const auto b = maker.make(1);
  bool there = false;
  bool here = false;
  WakeSource* const sources[] = {a.get(), b.get()};
  while (!here || !there) {
    if (b->poll({&event, 1}) > 0) there = event.kind == EventKind::kConnected && event.peer == NodeId{0};
    if (a->poll({&event, 1}) > 0) here = event.kind == EventKind::kConnected && event.peer == NodeId{1};
    sleep_until_any(sources, kMillisecond);
  }
}

// Answers requests, each with the running number of the client's last write, read from its own memory.
void serve(RealFabric& fabric, Bytes memory, std::uint64_t requests) {
  const Event connected = wait_for(fabric, EventKind::kConnected);
  post(fabric, OpKind::kGrant, connected.channel, [&](Op& op) { op.local = memory; });
  const Event granted = wait_for(fabric, EventKind::kGranted);
  post(fabric, OpKind::kSend, connected.channel, [&](Op& op) { op.head = std::as_bytes(std::span(&granted.key, 1)); });
  for (std::uint64_t i = 0; i < requests; ++i) {
    const Event request = wait_for(fabric, EventKind::kMessage);
    post(fabric, OpKind::kSend, request.channel, [&](Op& op) {
      op.head = memory.first(request.bytes.size());
      op.answers = request.tag;
    });
  }
}

TEST_P(RealFabrics, ThreadsTalkAndSleep) {
  // Given a server on a thread of its own, and a client that writes and then asks what was written, expect each answer
  // to hold the bytes of the write before; both sleep whenever nothing is there.
  constexpr std::uint64_t kRequests = 3000;
  Maker maker(GetParam(), 2);
  const auto client = maker.make(0);
  const auto server = maker.make(1);
  const Bytes memory = server->create_region("memory", 4096, Access::kGrantable).memory;
  const Bytes source = client->create_region("source", 4096, Access::kLocal).memory;
  std::thread thread([&] { serve(*server, memory, kRequests); });
  post(*client, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
  RemoteKey key = 0;
  std::memcpy(&key, wait_for(*client, EventKind::kMessage).bytes.data(), sizeof key);
  Rng rng(1, "real-fabric-test");
  for (std::uint64_t i = 1; i <= kRequests; ++i) {
    const std::size_t size = 8 + rng.below(4000);
    std::memcpy(source.data(), &i, sizeof i);
    std::memcpy(source.data() + size - 8, &i, sizeof i);
    const Slice slice{source.data(), size};
    Op ops[2];
    ops[0].kind = OpKind::kWrite;
    ops[0].body = {&slice, 1};
    ops[0].key = key;
    ops[1].head = source.first(size);
    for (Op& op : ops) op.channel = 1;
    client->post(ops);
    const Event answer = wait_for(*client, EventKind::kMessage);
    ASSERT_TRUE(answer.is_answer);
    ASSERT_EQ(answer.bytes.size(), size);
    ASSERT_EQ(std::memcmp(answer.bytes.data(), source.data(), size), 0);
  }
  thread.join();
}

// Writes without pause until the channel dies.
void write_until_down(RealFabric& fabric, Bytes source) {
  post(fabric, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
  RemoteKey key = 0;
  std::memcpy(&key, wait_for(fabric, EventKind::kMessage).bytes.data(), sizeof key);
  for (Ticket ticket = 1;; ++ticket) {
    std::memset(source.data(), static_cast<int>(ticket), source.size());
    const Slice slice{source.data(), source.size()};
    Op ops[2];
    for (Op& op : ops) {
      op.kind = OpKind::kWrite;
      op.channel = 1;
      op.body = {&slice, 1};
      op.key = key;
    }
    ops[1].ticket = ticket;
    fabric.post(ops);
    Event event;
    do {
      while (fabric.poll({&event, 1}) == 0) std::this_thread::yield();
    } while (event.kind != EventKind::kAcked && event.kind != EventKind::kDown);
    if (event.kind == EventKind::kDown) return;
  }
}

TEST_P(RealFabrics, RevokedAndWithdrawnMemoryIsStillUnderFire) {
  // Given a writer on another thread that never stops, expect memory that does not change after kRevoked or kWithdrawn,
  // and the writer to see its channel die.
  Maker maker(GetParam(), 2);
  const auto writer = maker.make(0);
  const auto granter = maker.make(1);
  const Bytes source = writer->create_region("source", 8192, Access::kLocal).memory;
  const Bytes memory = granter->create_region("memory", 8192, Access::kGrantable).memory;
  Rng rng(2, "real-fabric-test");
  for (int round = 0; round < 40; ++round) {
    std::thread thread([&] { write_until_down(*writer, source); });
    const Channel channel = wait_for(*granter, EventKind::kConnected).channel;
    post(*granter, OpKind::kGrant, channel, [&](Op& op) { op.local = memory; });
    const RemoteKey key = wait_for(*granter, EventKind::kGranted).key;
    post(*granter, OpKind::kSend, channel, [&](Op& op) { op.head = std::as_bytes(std::span(&key, 1)); });
    Event event;
    for (std::uint64_t polls = rng.below(2000); polls > 0; --polls) granter->poll({&event, 1});
    const bool withdraw = round % 2 == 0;
    post(*granter, withdraw ? OpKind::kWithdraw : OpKind::kRevoke, channel, [&](Op& op) { op.key = key; });
    // A channel that dies of the withdrawal before its answer has none.
    bool down = false;
    do {
      while (granter->poll({&event, 1}) == 0) std::this_thread::yield();
      down = event.kind == EventKind::kDown;
    } while (!down && event.kind != (withdraw ? EventKind::kWithdrawn : EventKind::kRevoked));
    const std::vector<std::byte> then(memory.begin(), memory.end());
    if (withdraw && !down) wait_for(*granter, EventKind::kDown);
    thread.join();
    ASSERT_EQ(std::memcmp(then.data(), memory.data(), memory.size()), 0) << "round " << round;
  }
}

// The victim: makes memory, grants it, tells the key, then writes into its peer's memory until it is killed.
[[noreturn]] void run_victim(Maker& maker) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // should the test fail before it kills
  const auto fabric = maker.make(1);
  const Bytes replica = fabric->create_region("replica", 64 * kKiB, Access::kDurable).memory;
  std::memset(fabric->create_region("scratch", 64 * kKiB, Access::kGrantable).memory.data(), 0x77, 64 * kKiB);
  const Bytes source = fabric->create_region("source", 64 * kKiB, Access::kLocal).memory;
  std::memset(source.data(), 0x5a, source.size());
  const Event connected = wait_for(*fabric, EventKind::kConnected);
  RemoteKey key = 0;
  std::memcpy(&key, wait_for(*fabric, EventKind::kMessage).bytes.data(), sizeof key);
  post(*fabric, OpKind::kGrant, connected.channel, [&](Op& op) { op.local = replica; });
  const Event granted = wait_for(*fabric, EventKind::kGranted);
  post(*fabric, OpKind::kSend, connected.channel, [&](Op& op) { op.head = std::as_bytes(std::span(&granted.key, 1)); });
  for (Ticket ticket = 1;; ++ticket) {
    const Slice slice{source.data(), source.size()};
    post(*fabric, OpKind::kWrite, connected.channel, [&](Op& op) {
      op.body = {&slice, 1};
      op.key = key;
      op.ticket = ticket;
    });
    wait_for(*fabric, EventKind::kAcked);
  }
}

TEST_P(RealFabrics, AKilledProcessIsNoticedAndLeavesItsMemory) {
  // Given a process killed in the middle of its writes, expect kDown, a revocation that ends with still memory, its
  // replica's file with what was written to it, and a new life of the node that finds it, under the old address.
  Maker maker(GetParam(), 2);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) run_victim(maker);
  maker.leave(1);
  const auto fabric = maker.make(0);
  post(*fabric, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
  wait_for(*fabric, EventKind::kConnected);
  const Bytes target = fabric->create_region("target", 64 * kKiB, Access::kGrantable).memory;
  const Bytes source = fabric->create_region("source", 1000, Access::kLocal).memory;
  std::memset(source.data(), 0x33, source.size());
  post(*fabric, OpKind::kGrant, 1, [&](Op& op) { op.local = target; });
  const RemoteKey mine = wait_for(*fabric, EventKind::kGranted).key;
  post(*fabric, OpKind::kSend, 1, [&](Op& op) { op.head = std::as_bytes(std::span(&mine, 1)); });
  RemoteKey key = 0;
  std::memcpy(&key, wait_for(*fabric, EventKind::kMessage).bytes.data(), sizeof key);
  const Slice slice{source.data(), source.size()};
  post(*fabric, OpKind::kWrite, 1, [&](Op& op) {
    op.body = {&slice, 1};
    op.key = key;
    op.offset = 5000;
    op.ticket = 1;
  });
  EXPECT_EQ(wait_for(*fabric, EventKind::kAcked).ticket, 1u);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(wait_for(*fabric, EventKind::kDown).channel, 1);
  post(*fabric, OpKind::kRevoke, 1);
  EXPECT_EQ(wait_for(*fabric, EventKind::kRevoked).channel, 1);
  const std::vector<std::byte> at_revoked(target.begin(), target.end());
  std::ifstream file(maker.region_file(1, "replica"), std::ios::binary);
  const std::string left((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(left.size(), 64 * kKiB);
  EXPECT_EQ(left.substr(5000, 1000), std::string(1000, '\x33'));
  EXPECT_EQ(left.substr(6000, 100), std::string(100, '\0'));
  EXPECT_EQ(std::memcmp(at_revoked.data(), target.data(), target.size()), 0);
  const auto next = maker.make(1);
  const Bytes found = next->create_region("replica", 64 * kKiB, Access::kDurable).memory;
  EXPECT_EQ(std::memcmp(found.data(), left.data(), left.size()), 0);
  EXPECT_EQ(next->create_region("scratch", 64 * kKiB, Access::kGrantable).memory[5000], std::byte{0});
  post(*fabric, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
  Event event;
  while (next->poll({&event, 1}) == 0 || event.kind != EventKind::kConnected) {
    Event other;
    fabric->poll({&other, 1});
  }
  EXPECT_EQ(event.peer, NodeId{0});
}

// One of the lives of a victim, in a process of its own that waits for its time. A fork must come before the fabrics of
// this process.
struct VictimsLife {
  pid_t pid = 0;
  int go[2];    // to begin
  int told[2];  // the number that the memory begins with then

  explicit VictimsLife(Maker& maker) {
    SLIP_CHECK(::pipe(go) == 0 && ::pipe(told) == 0);
    pid = ::fork();
    if (pid == 0) live(maker);
  }
  ~VictimsLife() {
    end();
    for (const int end : {go[0], go[1], told[0], told[1]}) ::close(end);
  }
  VictimsLife(const VictimsLife&) = delete;
  VictimsLife& operator=(const VictimsLife&) = delete;

  void begin() { SLIP_CHECK(::write(go[1], "x", 1) == 1); }
  std::uint64_t found() {
    std::uint64_t number = 0;
    SLIP_CHECK(::read(told[0], &number, sizeof number) == sizeof number);
    return number;
  }
  void end() {
    if (pid == 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(std::exchange(pid, 0), nullptr, 0);
  }

 private:
  [[noreturn]] void live(Maker& maker) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    char byte = 0;
    if (::read(go[0], &byte, 1) != 1) ::_exit(1);
    const auto fabric = maker.make(1);
    const Bytes memory = fabric->create_region("replica", 64 * kKiB, Access::kDurable).memory;
    if (::write(told[1], memory.data(), 8) != 8) ::_exit(1);
    const Event connected = wait_for(*fabric, EventKind::kConnected);
    post(*fabric, OpKind::kGrant, connected.channel, [&](Op& op) { op.local = memory; });
    const RemoteKey key = wait_for(*fabric, EventKind::kGranted).key;
    post(*fabric, OpKind::kSend, connected.channel, [&](Op& op) { op.head = std::as_bytes(std::span(&key, 1)); });
    while (true) wait_for(*fabric, EventKind::kMessage);  // none comes; its fabric applies what is written
  }
};

TEST_P(RealFabrics, WhatABlindWriterWasAcknowledgedIsFoundByTheNextLife) {
  // Given a victim that is killed and restarted while its writer writes on as fast as it can, expect its next life to
  // find at least the last write that was acknowledged, whenever that was, and the writer to see the channel down.
  Maker maker(GetParam(), 2);
  maker.leave(1);
  std::vector<std::unique_ptr<VictimsLife>> lives;
  for (int life = 0; life < 12; ++life) lives.push_back(std::make_unique<VictimsLife>(maker));
  const auto writer = maker.make(0);
  const Bytes source = writer->create_region("source", 64 * kKiB, Access::kLocal).memory;
  std::uint64_t acknowledged = 0;
  std::uint64_t round = 0;
  lives[0]->begin();
  for (std::size_t life = 0; life + 1 < lives.size(); ++life) {
    ASSERT_GE(lives[life]->found(), acknowledged) << "life " << life;
    post(*writer, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{1}; });
    RemoteKey key = 0;
    std::memcpy(&key, wait_for(*writer, EventKind::kMessage).bytes.data(), sizeof key);
    bool down = false;
    for (int writes = 1; !down; ++writes) {
      if (writes == 40) {
        lives[life]->end();
        lives[life + 1]->begin();
      }
      ++round;
      for (std::size_t i = 0; i < source.size(); i += sizeof round)
        std::memcpy(source.data() + i, &round, sizeof round);
      const Slice slice{source.data(), source.size()};
      post(*writer, OpKind::kWrite, 1, [&](Op& op) {
        op.body = {&slice, 1};
        op.key = key;
        op.ticket = round;
      });
      Event event;
      do {
        while (writer->poll({&event, 1}) == 0) std::this_thread::yield();
      } while (event.kind != EventKind::kAcked && event.kind != EventKind::kDown);
      down = event.kind == EventKind::kDown;
      if (!down) acknowledged = round;
    }
  }
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ShmFabric, StartUpErrorsNameCauseAndRemedy) {
  // Given a node that runs already, a directory that cannot be made, more memory than there is: expect errors that say
  // so.
  Maker maker(Kind::kShm, 2);
  const auto fabric = maker.make(0);
  EXPECT_NE(error_of([&] { maker.make(0); }).find("node 0 is already running in"), std::string::npos);
  ShmOptions options;
  options.run_directory = "/proc/none";
  options.node = NodeId{0};
  EXPECT_NE(error_of([&] { make_shm_fabric(options); }).find("/proc/none"), std::string::npos);
  EXPECT_NE(error_of([&] {
              fabric->create_region("huge", std::size_t{1} << 50, Access::kGrantable);
            }).find("make room there"),
            std::string::npos);
  EXPECT_EQ(fabric->create_region("small", 10, Access::kGrantable).memory.size(), 10u);
}

TEST(TcpFabric, StartUpErrorsNameCauseAndRemedy) {
  // Given a port in use, addresses that cannot be read, or are not of this machine: expect errors that say so.
  const TcpListener taken = listen_tcp("127.0.0.1:0");
  TcpOptions options;
  options.addresses = {taken.address};
  options.node = NodeId{0};
  const std::string port = taken.address.substr(taken.address.find(':') + 1);
  EXPECT_NE(error_of([&] { make_tcp_fabric(options); }).find("port " + port + " is in use"), std::string::npos);
  for (const char* bad : {"", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:x", "127.0.0.1:99999", "1.2.3:80"}) {
    EXPECT_NE(error_of([&] { listen_tcp(bad); }).find("cannot read the address"), std::string::npos) << bad;
  }
  EXPECT_NE(error_of([&] { listen_tcp("192.0.2.1:80"); }).find("cannot listen on 192.0.2.1:80"), std::string::npos);
  ::close(taken.descriptor);
}

TEST(TcpFabric, StrangersDoNoHarm) {
  // Given connections that send garbage, half a greeting, or a greeting meant for another node, expect no event, and a
  // peer that connects afterwards to be served.
  const TcpListener listener = listen_tcp("127.0.0.1:0");
  TcpOptions options;
  options.addresses = {listener.address};
  options.node = NodeId{0};
  options.listener = listener.descriptor;
  const auto fabric = make_tcp_fabric(options);
  const sockaddr_in name = parse_address(listener.address);
  std::string wrong_node("\x08\0\0\0\x01\0\0\0", 8);
  wrong_node += std::string("2tls\x01\0\x07\0", 8);
  for (const std::string& bytes : {std::string(100, 'x'), std::string("\x08\0\0", 3), wrong_node, std::string{}}) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(::connect(socket, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    ASSERT_EQ(::send(socket, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    Event event;
    for (int i = 0; i < 200; ++i) EXPECT_EQ(fabric->poll({&event, 1}), 0u);
    ::close(socket);
    for (int i = 0; i < 200; ++i) EXPECT_EQ(fabric->poll({&event, 1}), 0u);
  }
  post(*fabric, OpKind::kConnect, 1, [](Op& op) { op.peer = NodeId{0}; });
  EXPECT_EQ(wait_for(*fabric, EventKind::kConnected).peer, NodeId{0});
}

}  // namespace
}  // namespace slipstream::emulate
