// What the verbs fabric costs its processor, without a card: over the stand-in, which carries out at once whatever is
// posted. Both ends are on one thread. The share of the stand-in, copies included, is told by the benchmarks that begin
// with "card_": the same requests by hand, in chains as the fabric makes them. What is left is the fabric's own.
// Batches of 64 unless said otherwise; the items per second are ops.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "core/base/check.h"
#include "emulate/fabric/anonymous_memory.h"
#include "emulate/fabric/verbs/device.h"
#include "emulate/fabric/verbs/loopback/loopback_verbs.h"
#include "emulate/fabric/verbs/verbs.h"
#include "emulate/fabric/verbs/wire.h"

namespace slipstream::emulate {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kWriteBytes = 128;
constexpr std::size_t kMessageBytes = 150;
constexpr std::size_t kTarget = 8 * kMiB;

class Ends {
 public:
  Ends() {
    loopback_verbs::use({});
    SLIP_CHECK(verbs_addresses("").front() == "127.0.0.1" && verbs_ports().front().device == "loopback0");
    const TcpListener listeners[] = {listen_tcp("127.0.0.1:0"), listen_tcp("127.0.0.2:0")};
    for (std::uint16_t i = 0; i < 2; ++i) {
      VerbsOptions options;
      options.addresses = {listeners[0].address, listeners[1].address};
      options.node = NodeId{i};
      options.listener = listeners[i].descriptor;
      ends_[i] = make_verbs_fabric(options);
    }
    Op op;
    op.kind = OpKind::kConnect;
    op.channel = kNear;
    op.peer = NodeId{1};
    ends_[0]->post({&op, 1});
    while (far_ == 0) {
      poll(0);
      if (poll(1) > 0 && events_[0].kind == EventKind::kConnected) far_ = events_[0].channel;
    }
    while (poll(0) == 0) poll(1);
    source_ = ends_[0]->create_region("source", 1 * kMiB, Access::kLocal).memory;
    slice_ = {source_.data(), kWriteBytes};
    op = {};
    op.kind = OpKind::kGrant;
    op.channel = far_;
    op.local = ends_[1]->create_region("target", kTarget, Access::kGrantable).memory;
    ends_[1]->post({&op, 1});
    while (poll(1) == 0) poll(0);
    key_ = events_[0].key;
  }

  std::size_t poll(std::size_t end) { return ends_[end]->poll(events_); }
  void post(std::span<const Op> ops) { ends_[0]->post(ops); }
  std::span<const Event> events() const { return events_; }
  void wait_for(Ticket ticket) {
    while (poll(0) == 0 || events_[0].ticket != ticket) {
    }
  }

  Op message() const {
    Op op;
    op.kind = OpKind::kSend;
    op.channel = kNear;
    op.head = ConstBytes(source_).first(kMessageBytes);
    return op;
  }
  Op write() const {
    Op op;
    op.kind = OpKind::kWrite;
    op.channel = kNear;
    op.body = {&slice_, 1};
    op.key = key_;
    return op;
  }
  // The next place to write to.
  std::uint64_t next() { return offset_ = (offset_ + kWriteBytes) % kTarget; }

 private:
  static constexpr Channel kNear = 1;
  std::array<std::unique_ptr<RealFabric>, 2> ends_;
  std::array<Event, 256> events_;
  Channel far_ = 0;
  RemoteKey key_ = 0;
  Bytes source_;
  Slice slice_;
  std::uint64_t offset_ = 0;
};

// Writes of 128 bytes, `state.range(0)` to a post, the last of a batch acknowledged.
void writes(benchmark::State& state) {
  Ends ends;
  const auto at_once = static_cast<std::size_t>(state.range(0));
  std::array<Op, kBatch> ops;
  ops.fill(ends.write());
  Ticket ticket = 0;
  for (auto _ : state) {
    for (Op& op : ops) op.offset = ends.next();
    ops.back().ticket = ++ticket;
    for (std::size_t i = 0; i < kBatch; i += at_once) ends.post(std::span(ops).subspan(i, at_once));
    ends.wait_for(ticket);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}

void write_and_ack(benchmark::State& state) {
  Ends ends;
  Op op = ends.write();
  for (auto _ : state) {
    op.offset = ends.next();
    ++op.ticket;
    ends.post({&op, 1});
    ends.wait_for(op.ticket);
  }
  state.SetItemsProcessed(state.iterations());
}

// Messages of 150 bytes, `state.range(0)` to a post, every one read.
void messages(benchmark::State& state) {
  Ends ends;
  const auto batch = static_cast<std::size_t>(state.range(0));
  std::array<Op, kBatch> ops;
  ops.fill(ends.message());
  std::uint64_t sum = 0;
  for (auto _ : state) {
    ends.post({ops.data(), batch});
    for (std::size_t got = 0; got < batch;) {
      const std::size_t n = ends.poll(1);
      for (std::size_t i = 0; i < n; ++i) sum += static_cast<std::uint64_t>(ends.events()[i].bytes[100]);
      got += n;
    }
    ends.poll(0);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void idle_poll(benchmark::State& state) {
  Ends ends;
  for (auto _ : state) benchmark::DoNotOptimize(ends.poll(1));
  state.SetItemsProcessed(state.iterations());
}

// Two queue pairs by hand.
class Bare {
 public:
  Bare() {
    loopback_verbs::use({});
    for (Side& side : sides_) {
      side.device = verbs::open_device("", "");
      side.queue.reset(ibv_create_cq(side.device.context.get(), 1024, nullptr, nullptr, 0));
      side.pages.emplace("bench", kTarget);
      side.memory = side.pages->memory();
      side.key = verbs::register_memory(side.device, side.memory.data(), side.memory.size(), true);
      ibv_qp_init_attr wanted{};
      wanted.send_cq = wanted.recv_cq = side.queue.get();
      wanted.qp_type = IBV_QPT_RC;
      wanted.cap = {256, 256, 16, 1, 220};
      side.pair.reset(ibv_create_qp(side.device.domain.get(), &wanted));
    }
    for (std::size_t i = 0; i < 2; ++i) meet(sides_[i], sides_[1 - i]);
    Side& far = sides_[1];
    window_.reset(ibv_alloc_mw(far.device.domain.get(), IBV_MW_TYPE_2));
    ibv_send_wr bind{};
    bind.opcode = IBV_WR_BIND_MW;
    bind.bind_mw.mw = window_.get();
    bind.bind_mw.rkey = ibv_inc_rkey(window_->rkey);
    bind.bind_mw.bind_info = {far.key.get(), address(far, 0), kTarget, IBV_ACCESS_REMOTE_WRITE};
    window_->rkey = bind.bind_mw.rkey;
    post(far, bind);
    for (std::size_t i = 0; i < kChain; ++i) {
      places_[i] = {address(sides_[0], 0), kWriteBytes, sides_[0].key->lkey};
      ibv_send_wr& request = chain_[i];
      request.next = i + 1 < kChain ? &chain_[i + 1] : nullptr;
      request.sg_list = &places_[i];
      request.num_sge = 1;
      request.opcode = IBV_WR_RDMA_WRITE;
      request.send_flags = IBV_SEND_INLINE;
      request.wr.rdma.rkey = window_->rkey;
    }
  }

  // As many writes as fit a chain, the last signalled if it is waited for.
  void write(std::size_t n, bool is_waited_for) {
    for (std::size_t i = 0; i < n; ++i) {
      chain_[i].wr.rdma.remote_addr = address(sides_[1], offset_);
      offset_ = (offset_ + kWriteBytes) % kTarget;
    }
    chain_[n - 1].next = nullptr;
    if (is_waited_for) chain_[n - 1].send_flags |= IBV_SEND_SIGNALED;
    post(sides_[0], chain_[0]);
    chain_[n - 1].send_flags = IBV_SEND_INLINE;
    if (n < kChain) chain_[n - 1].next = &chain_[n];
  }
  // The n-th, from and to a slot of its own.
  void send(std::uint64_t n, std::size_t bytes, bool is_waited_for) {
    const std::size_t slot = n % kBatch * verbs::kSlotBytes;
    ibv_sge place{address(sides_[1], slot), verbs::kSlotBytes, sides_[1].key->lkey};
    ibv_recv_wr receive{};
    receive.sg_list = &place;
    receive.num_sge = 1;
    ibv_recv_wr* bad = nullptr;
    SLIP_CHECK(ibv_post_recv(sides_[1].pair.get(), &receive, &bad) == 0);
    ibv_sge from{address(sides_[0], kTarget / 2 + slot), static_cast<std::uint32_t>(bytes), sides_[0].key->lkey};
    ibv_send_wr request{};
    request.sg_list = &from;
    request.num_sge = 1;
    request.opcode = IBV_WR_SEND_WITH_IMM;
    request.send_flags = is_waited_for ? IBV_SEND_SIGNALED : 0;
    post(sides_[0], request);
  }
  int poll(std::size_t side) { return ibv_poll_cq(sides_[side].queue.get(), kMost, completions_.data()); }

  static constexpr std::size_t kChain = 32;

 private:
  static constexpr int kMost = 32;
  struct Side {
    verbs::Device device;
    verbs::Owned<ibv_cq> queue;
    std::optional<AnonymousMemory> pages;
    Bytes memory;
    verbs::Owned<ibv_mr> key;
    verbs::Owned<ibv_qp> pair;
  };

  static std::uint64_t address(Side& side, std::size_t offset) {
    return reinterpret_cast<std::uint64_t>(side.memory.data() + offset);
  }
  static void post(Side& side, ibv_send_wr& requests) {
    ibv_send_wr* bad = nullptr;
    SLIP_CHECK(ibv_post_send(side.pair.get(), &requests, &bad) == 0);
  }
  static void meet(Side& side, const Side& other) {
    ibv_qp_attr attr{};
    attr.ah_attr.is_global = 1;
    attr.ah_attr.grh.dgid = other.device.gid;
    attr.ah_attr.grh.sgid_index = static_cast<std::uint8_t>(side.device.gid_index);
    attr.path_mtu = IBV_MTU_1024;
    attr.dest_qp_num = other.pair->qp_num;
    for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
      attr.qp_state = state;
      SLIP_CHECK(ibv_modify_qp(side.pair.get(), &attr, ~0) == 0);
    }
  }

  std::array<Side, 2> sides_;
  verbs::Owned<ibv_mw> window_;
  std::array<ibv_send_wr, kChain> chain_{};
  std::array<ibv_sge, kChain> places_{};
  std::array<ibv_wc, kMost> completions_{};
  std::size_t offset_ = 0;
};

// What `writes` makes the card do.
void card_writes(benchmark::State& state) {
  Bare bare;
  const auto at_once = std::min(static_cast<std::size_t>(state.range(0)), Bare::kChain);
  for (auto _ : state) {
    for (std::size_t i = at_once; i <= kBatch; i += at_once) bare.write(at_once, i == kBatch);
    benchmark::DoNotOptimize(bare.poll(0));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}

void card_write_and_ack(benchmark::State& state) {
  Bare bare;
  for (auto _ : state) {
    bare.write(1, true);
    benchmark::DoNotOptimize(bare.poll(0));
  }
  state.SetItemsProcessed(state.iterations());
}

// What `messages` makes the card do: small ones share a SEND of at most a slot.
void card_messages(benchmark::State& state) {
  Bare bare;
  const std::size_t frame = verbs::aligned(sizeof(verbs::FrameHeader) + kMessageBytes);
  const std::size_t in_a_slot = verbs::kSlotBytes / frame;
  const auto batch = static_cast<std::size_t>(state.range(0));
  std::uint64_t sends = 0;
  for (auto _ : state) {
    for (std::size_t left = batch; left > 0;) {
      const std::size_t n = std::min(left, in_a_slot);
      ++sends;
      bare.send(sends, n * frame, sends % kBatch == 0);
      left -= n;
    }
    benchmark::DoNotOptimize(bare.poll(1));
    benchmark::DoNotOptimize(bare.poll(0));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void card_idle_poll(benchmark::State& state) {
  Bare bare;
  for (auto _ : state) benchmark::DoNotOptimize(bare.poll(1));
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(writes)->Arg(64)->Arg(1);
BENCHMARK(card_writes)->Arg(64)->Arg(1);
BENCHMARK(write_and_ack);
BENCHMARK(card_write_and_ack);
BENCHMARK(messages)->Arg(64)->Arg(8)->Arg(1);
BENCHMARK(card_messages)->Arg(64)->Arg(8)->Arg(1);
BENCHMARK(idle_poll);
BENCHMARK(card_idle_poll);

}  // namespace
}  // namespace slipstream::emulate
