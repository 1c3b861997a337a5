// What is verbs' own: who is let in at the bootstrap, what the card itself refuses, and what users are told when there
// is no device. The peers here are no fabrics of ours but queue pairs that do as they please: nothing but the granter's
// card keeps them from its memory. Where this machine has no RDMA device the tests that need one are skipped, aloud.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>

#include <gtest/gtest.h>

#include "emulate/fabric/file_descriptor.h"
#include "emulate/fabric/tcp_address.h"
#include "emulate/fabric/verbs/device.h"
#include "emulate/fabric/verbs/verbs.h"
#include "emulate/fabric/verbs/wire.h"

namespace slipstream::emulate::verbs {
namespace {

bool has_device() {
  const auto ports = verbs_ports();
  return std::any_of(ports.begin(), ports.end(),
                     [](const VerbsPort& p) { return p.is_active && !p.addresses.empty(); });
}

#define NEEDS_DEVICE() \
  if (!has_device()) GTEST_SKIP() << "this machine has no RDMA device; the test runs in the virtual machine"

// Node 0, the granter, and what its polls bring.
class Granter {
 public:
  Granter() {
    VerbsOptions options;
    options.secret = secret;
    const TcpListener listener = listen_tcp(verbs_addresses("").front() + ":0");
    options.addresses = {listener.address, listener.address, listener.address};
    options.node = NodeId{0};
    options.listener = listener.descriptor;
    address = listener.address;
    fabric = make_verbs_fabric(options);
    memory = fabric->create_region("granted", 64 * kKiB, Access::kGrantable).memory;
  }

  bool until(const std::function<bool()>& condition) {
    for (int i = 0; i < 50'000'000; ++i) {
      if (condition()) return true;
      poll();
    }
    return false;
  }
  void poll() {
    Event events[16];
    const std::size_t n = fabric->poll(events);
    seen.insert(seen.end(), events, events + n);
  }
  const Event* last(EventKind kind) const {
    const auto at = std::find_if(seen.rbegin(), seen.rend(), [&](const Event& e) { return e.kind == kind; });
    return at == seen.rend() ? nullptr : &*at;
  }
  std::size_t count(EventKind kind) const {
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [&](const Event& e) { return e.kind == kind; }));
  }
  void post(OpKind kind, Channel channel, Bytes local = {}, RemoteKey key = 0, Ticket ticket = 0) {
    Op op;
    op.kind = kind;
    op.channel = channel;
    op.local = local;
    op.key = key;
    op.ticket = ticket;
    fabric->post({&op, 1});
  }

  const RunSecret secret = make_run_secret();
  std::string address;
  std::unique_ptr<RealFabric> fabric;
  Bytes memory;
  std::vector<Event> seen;
};

FileDescriptor connect_to(const std::string& address) {
  const sockaddr_in name = parse_address(address);
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  return socket;
}

bool is_readable(const FileDescriptor& socket) {
  pollfd polled{socket.get(), POLLIN, 0};
  return ::poll(&polled, 1, 0) == 1;
}

// A peer that knows the secret and obeys nobody: a bare queue pair.
class Outlaw {
 public:
  Outlaw(Granter& granter, std::uint16_t node)
      : device_(open_device("", verbs_addresses("").back())),
        queue_(ibv_create_cq(device_.context.get(), 64, nullptr, nullptr, 0)),
        buffer_(2 * kSlotBytes),
        registration_(register_memory(device_, buffer_.data(), buffer_.size(), false)) {
    ibv_qp_init_attr wanted{};
    wanted.send_cq = wanted.recv_cq = queue_.get();
    wanted.qp_type = IBV_QPT_RC;
    wanted.cap = {16, 16, 1, 1, 0};
    pair_.reset(ibv_create_qp(device_.domain.get(), &wanted));
    ibv_qp_attr attr{};
    attr.qp_state = IBV_QPS_INIT;
    attr.port_num = device_.port;
    modify(attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
    ibv_sge place{address_of(kSlotBytes), kSlotBytes, registration_->lkey};
    ibv_recv_wr receive{};
    receive.sg_list = &place;
    receive.num_sge = 1;
    ibv_recv_wr* bad = nullptr;
    EXPECT_EQ(ibv_post_recv(pair_.get(), &receive, &bad), 0);
    socket_ = connect_to(granter.address);
    greet(granter, node);
  }

  // Takes the granter's next grant as it comes from the wire, and answers that it has learnt it.
  GrantFrame take_grant(Granter& granter) {
    ibv_wc completion{};
    EXPECT_TRUE(granter.until([&] { return ibv_poll_cq(queue_.get(), 1, &completion) == 1; }));
    EXPECT_EQ(completion.status, IBV_WC_SUCCESS);
    GrantFrame grant;
    std::memcpy(&grant, buffer_.data() + kSlotBytes + sizeof(FrameHeader), sizeof grant);
    say(granter, FrameKind::kLearned, grant.key);
    return grant;
  }

  void say(Granter& granter, FrameKind kind, std::uint64_t key) {
    const FrameHeader header{sizeof(KeyFrame), kind, 0, 0};
    const KeyFrame body{key};
    std::memcpy(buffer_.data(), &header, sizeof header);
    std::memcpy(buffer_.data() + sizeof header, &body, sizeof body);
    EXPECT_EQ(request(granter, IBV_WR_SEND_WITH_IMM, sizeof header + sizeof body, 0, 0), IBV_WC_SUCCESS);
  }

  // What the granter's card says to a write of `bytes` to a place of its memory.
  ibv_wc_status write(Granter& granter, std::uint64_t address, std::uint32_t key, std::size_t bytes) {
    std::fill(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(bytes), std::byte{0x66});
    return request(granter, IBV_WR_RDMA_WRITE, bytes, address, key);
  }

 private:
  std::uint64_t address_of(std::size_t offset) { return reinterpret_cast<std::uint64_t>(buffer_.data() + offset); }

  void modify(ibv_qp_attr& attr, int mask) { EXPECT_EQ(ibv_modify_qp(pair_.get(), &attr, mask), 0); }

  void greet(Granter& granter, std::uint16_t node) {
    Greeting mine;
    mine.from = node;
    mine.secret = granter.secret;
    std::memcpy(mine.gid, device_.gid.raw, sizeof mine.gid);
    mine.queue_pair = pair_->qp_num;
    mine.ring_bytes = 256 * kKiB;
    mine.mtu = IBV_MTU_1024;
    mine.reads = 1;
    EXPECT_EQ(::send(socket_.get(), &mine, sizeof mine, 0), static_cast<ssize_t>(sizeof mine));
    ASSERT_TRUE(granter.until([&] { return is_readable(socket_); }));
    Greeting theirs;
    ASSERT_EQ(::recv(socket_.get(), &theirs, sizeof theirs, MSG_WAITALL), static_cast<ssize_t>(sizeof theirs));
    ibv_qp_attr attr{};
    attr.qp_state = IBV_QPS_RTR;
    attr.path_mtu = IBV_MTU_1024;
    attr.dest_qp_num = theirs.queue_pair;
    attr.rq_psn = theirs.first_packet;
    attr.max_dest_rd_atomic = 1;
    attr.min_rnr_timer = 12;
    attr.ah_attr.is_global = 1;
    attr.ah_attr.port_num = device_.port;
    std::memcpy(attr.ah_attr.grh.dgid.raw, theirs.gid, sizeof theirs.gid);
    attr.ah_attr.grh.sgid_index = static_cast<std::uint8_t>(device_.gid_index);
    attr.ah_attr.grh.hop_limit = 64;
    modify(attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                     IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
    attr.qp_state = IBV_QPS_RTS;
    attr.timeout = 12;
    attr.retry_cnt = 3;
    attr.rnr_retry = 1;
    attr.max_rd_atomic = 1;
    modify(attr, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                     IBV_QP_MAX_QP_RD_ATOMIC);
    EXPECT_EQ(::send(socket_.get(), &kReadyWord, 1, 0), 1);
  }

  ibv_wc_status request(Granter& granter, ibv_wr_opcode opcode, std::size_t bytes, std::uint64_t to,
                        std::uint32_t key) {
    ibv_sge piece{address_of(0), static_cast<std::uint32_t>(bytes), registration_->lkey};
    ibv_send_wr wanted{};
    wanted.sg_list = &piece;
    wanted.num_sge = 1;
    wanted.opcode = opcode;
    wanted.send_flags = IBV_SEND_SIGNALED;
    wanted.wr.rdma.remote_addr = to;
    wanted.wr.rdma.rkey = key;
    ibv_send_wr* bad = nullptr;
    EXPECT_EQ(ibv_post_send(pair_.get(), &wanted, &bad), 0);
    ibv_wc completion{};
    EXPECT_TRUE(granter.until([&] { return ibv_poll_cq(queue_.get(), 1, &completion) == 1; }));
    return completion.status;
  }

  Device device_;
  Owned<ibv_cq> queue_;
  std::vector<std::byte> buffer_;  // what is sent, what is received
  Owned<ibv_mr> registration_;
  Owned<ibv_qp> pair_;
  FileDescriptor socket_;
};

struct Granted {
  Channel channel = 0;
  GrantFrame grant;
};

Granted grant_to(Granter& granter, Outlaw& outlaw, Bytes memory) {
  EXPECT_TRUE(granter.until([&] { return granter.last(EventKind::kConnected) != nullptr; }));
  const Channel channel = granter.last(EventKind::kConnected)->channel;
  const std::size_t before = granter.count(EventKind::kGranted);
  granter.post(OpKind::kGrant, channel, memory, 0, 1);
  const GrantFrame grant = outlaw.take_grant(granter);
  EXPECT_TRUE(granter.until([&] { return granter.count(EventKind::kGranted) == before + 1; }));
  return {channel, grant};
}

bool is_untouched(Bytes memory) {
  return std::all_of(memory.begin(), memory.end(), [](std::byte b) { return b == std::byte{0}; });
}

TEST(Verbs, AGrantedWriteLandsAndOneByteBeyondDoesNot) {
  NEEDS_DEVICE();
  // Given a grant of 100 bytes in the middle, expect the card to let those be written, and to refuse the next byte.
  Granter granter;
  Outlaw outlaw(granter, 1);
  const Granted granted = grant_to(granter, outlaw, granter.memory.subspan(5000, 100));
  EXPECT_EQ(outlaw.write(granter, granted.grant.address, granted.grant.rkey, 100), IBV_WC_SUCCESS);
  EXPECT_EQ(granter.memory[5000], std::byte{0x66});
  EXPECT_EQ(granter.memory[5099], std::byte{0x66});
  EXPECT_NE(outlaw.write(granter, granted.grant.address + 1, granted.grant.rkey, 100), IBV_WC_SUCCESS);
  EXPECT_TRUE(is_untouched(granter.memory.subspan(5100)));
  EXPECT_TRUE(is_untouched(granter.memory.first(5000)));
}

TEST(Verbs, AfterRevocationNoWriteLands) {
  NEEDS_DEVICE();
  // Given a peer that holds a good key and whose queue pair goes on, expect its write after kRevoked to fail, and the
  // memory to be as it was then.
  Granter granter;
  Outlaw outlaw(granter, 1);
  const Granted granted = grant_to(granter, outlaw, granter.memory.first(4096));
  granter.post(OpKind::kRevoke, granted.channel);
  ASSERT_TRUE(granter.until([&] { return granter.last(EventKind::kRevoked) != nullptr; }));
  EXPECT_NE(outlaw.write(granter, granted.grant.address, granted.grant.rkey, 64), IBV_WC_SUCCESS);
  EXPECT_TRUE(is_untouched(granter.memory));
}

TEST(Verbs, AWithdrawnKeyIsDeadInTheCard) {
  NEEDS_DEVICE();
  // Given a withdrawal that the peer never answers, expect its later write to be refused all the same.
  Granter granter;
  Outlaw outlaw(granter, 1);
  const Granted granted = grant_to(granter, outlaw, granter.memory.first(4096));
  granter.post(OpKind::kWithdraw, granted.channel, {}, granted.grant.key, 2);
  for (int i = 0; i < 1000; ++i) granter.poll();
  EXPECT_NE(outlaw.write(granter, granted.grant.address, granted.grant.rkey, 64), IBV_WC_SUCCESS);
  EXPECT_TRUE(is_untouched(granter.memory));
}

TEST(Verbs, AKeyWorksOnItsOwnChannelOnly) {
  NEEDS_DEVICE();
  // Given two peers, the second of which got hold of the first one's key, expect the card to refuse it.
  Granter granter;
  Outlaw owner(granter, 1);
  const Granted granted = grant_to(granter, owner, granter.memory.first(4096));
  Outlaw thief(granter, 2);
  EXPECT_NE(thief.write(granter, granted.grant.address, granted.grant.rkey, 64), IBV_WC_SUCCESS);
  EXPECT_TRUE(is_untouched(granter.memory));
  EXPECT_EQ(owner.write(granter, granted.grant.address, granted.grant.rkey, 64), IBV_WC_SUCCESS);
}

TEST(Verbs, AnAnswerThatNobodyAskedForEndsTheChannel) {
  NEEDS_DEVICE();
  // Given a peer that says a grant was withdrawn, or learnt, when nobody asked, expect the end of its channel and its
  // key, no event of a withdrawal, and grants to others to go on.
  for (const FrameKind kind : {FrameKind::kWithdrawn, FrameKind::kLearned}) {
    Granter granter;
    Outlaw outlaw(granter, 1);
    const Granted granted = grant_to(granter, outlaw, granter.memory.first(4096));
    outlaw.say(granter, kind, granted.grant.key);
    EXPECT_TRUE(granter.until([&] { return granter.last(EventKind::kDown) != nullptr; }));
    EXPECT_EQ(granter.count(EventKind::kWithdrawn), 0u);
    EXPECT_EQ(granter.count(EventKind::kGranted), 1u);
    EXPECT_NE(outlaw.write(granter, granted.grant.address, granted.grant.rkey, 64), IBV_WC_SUCCESS);
    granter.seen.clear();
    Outlaw good(granter, 2);
    const Granted other = grant_to(granter, good, granter.memory.first(4096));
    EXPECT_EQ(good.write(granter, other.grant.address, other.grant.rkey, 64), IBV_WC_SUCCESS);
  }
}

TEST(Verbs, StrangersAreShownOutAndDisturbNobody) {
  NEEDS_DEVICE();
  // Given connections that bring garbage, a wrong secret or another node's name, expect each to be closed without an
  // event, and a good one beside them to come up.
  Granter granter;
  Greeting wrong;
  wrong.from = 1;
  wrong.secret = make_run_secret();
  Greeting elsewhere;
  elsewhere.from = 1;
  elsewhere.to = 7;
  elsewhere.secret = granter.secret;
  std::array<std::byte, sizeof(Greeting)> garbage;
  garbage.fill(std::byte{0x47});
  for (const ConstBytes bytes :
       {std::as_bytes(std::span(&wrong, 1)), std::as_bytes(std::span(&elsewhere, 1)), ConstBytes(garbage)}) {
    const FileDescriptor stranger = connect_to(granter.address);
    ASSERT_EQ(::send(stranger.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    ASSERT_TRUE(granter.until([&] { return is_readable(stranger); }));
    char byte = 0;
    EXPECT_LE(::recv(stranger.get(), &byte, 1, 0), 0) << "a stranger was answered";
  }
  EXPECT_TRUE(granter.seen.empty());
  const FileDescriptor silent = connect_to(granter.address);
  Outlaw good(granter, 1);
  EXPECT_TRUE(granter.until([&] { return granter.count(EventKind::kConnected) == 1; }));
  ASSERT_TRUE(granter.until([&] { return is_readable(silent); })) << "a silent stranger may stay";
}

std::string problem_of(const std::string& device, const std::string& address) {
  try {
    open_device(device, address);
    return {};
  } catch (const std::runtime_error& problem) {
    return problem.what();
  }
}

TEST(Verbs, WhatIsMissingIsToldWithARemedy) {
  // Given a device that is not there, or an address that no device has, expect its name and what to do.
  const std::string wrong_name = problem_of("nosuch0", "");
  const std::string wrong_address = problem_of("", "203.0.113.77");
  EXPECT_EQ(wrong_name.find('\n'), std::string::npos);
  if (!has_device()) {
    EXPECT_NE(wrong_name.find("no RDMA device"), std::string::npos) << wrong_name;
    EXPECT_NE(wrong_name.find("--hosts vm"), std::string::npos) << wrong_name;
    EXPECT_THROW(verbs_addresses(""), std::runtime_error);
    return;
  }
  EXPECT_NE(wrong_name.find("\"nosuch0\"; there is "), std::string::npos) << wrong_name;
  EXPECT_NE(wrong_address.find("203.0.113.77"), std::string::npos) << wrong_address;
  EXPECT_NE(wrong_address.find(verbs_addresses("").front()), std::string::npos) << wrong_address;
  EXPECT_THROW(verbs_addresses("nosuch0"), std::runtime_error);
}

}  // namespace
}  // namespace slipstream::emulate::verbs
