// What the fabrics of the real world cost, both ends on one thread: a message of 150 bytes, one-sided writes, an
// acknowledgement. Batches of 64 unless said otherwise; the items per second are ops.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "core/base/check.h"
#include "emulate/fabric/real_fabric.h"

namespace slipstream::emulate {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kMessageBytes = 150;

class Pair {
 public:
  explicit Pair(bool tcp) {
    if (tcp) {
      const TcpListener listeners[] = {listen_tcp("127.0.0.1:0"), listen_tcp("127.0.0.1:0")};
      for (std::uint16_t i = 0; i < 2; ++i) {
        TcpOptions options;
        options.addresses = {listeners[0].address, listeners[1].address};
        options.node = NodeId{i};
        options.listener = listeners[i].descriptor;
        ends_[i] = make_tcp_fabric(options);
      }
    } else {
      directory_ = "/dev/shm/slipstream-bench-" + std::to_string(::getpid());
      for (std::uint16_t i = 0; i < 2; ++i) {
        ShmOptions options;
        options.run_directory = directory_;
        options.node = NodeId{i};
        ends_[i] = make_shm_fabric(options);
      }
    }
    Op op;
    op.kind = OpKind::kConnect;
    op.channel = near_;
    op.peer = NodeId{1};
    ends_[0]->post({&op, 1});
    while (far_ == 0) {
      poll(0);
      if (poll(1) > 0 && events_[0].kind == EventKind::kConnected) far_ = events_[0].channel;
    }
    while (poll(0) == 0) poll(1);
    source_ = ends_[0]->create_region("source", 1 * kMiB, Access::kLocal).memory;
    const Bytes target = ends_[1]->create_region("target", 16 * kMiB, Access::kGrantable).memory;
    op = {};
    op.kind = OpKind::kGrant;
    op.channel = far_;
    op.local = target;
    ends_[1]->post({&op, 1});
    while (poll(1) == 0) poll(0);
    key_ = events_[0].key;
  }
  ~Pair() {
    ends_ = {};
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  std::size_t poll(std::size_t end) { return ends_[end]->poll(events_); }
  void post(std::span<const Op> ops) { ends_[0]->post(ops); }

  Op message(Ticket ticket) const {
    Op op;
    op.kind = OpKind::kSend;
    op.channel = near_;
    op.head = ConstBytes(source_).first(kMessageBytes);
    op.ticket = ticket;
    return op;
  }
  Op write(const Slice& slice, std::uint64_t offset, Ticket ticket) const {
    Op op;
    op.kind = OpKind::kWrite;
    op.channel = near_;
    op.body = {&slice, 1};
    op.key = key_;
    op.offset = offset;
    op.ticket = ticket;
    return op;
  }
  Bytes source() const { return source_; }
  std::span<const Event> events() const { return events_; }

 private:
  static constexpr Channel near_ = 1;
  std::string directory_;
  std::array<std::unique_ptr<RealFabric>, 2> ends_;
  std::array<Event, 256> events_;
  Channel far_ = 0;
  RemoteKey key_ = 0;
  Bytes source_;
};

// `state.range(0)` messages per batch, every one read.
void messages(benchmark::State& state, bool tcp) {
  Pair pair(tcp);
  const auto batch = static_cast<std::size_t>(state.range(0));
  std::array<Op, kBatch> ops;
  for (std::size_t i = 0; i < batch; ++i) ops[i] = pair.message(0);
  std::uint64_t sum = 0;
  for (auto _ : state) {
    pair.post({ops.data(), batch});
    for (std::size_t got = 0; got < batch;) {
      const std::size_t n = pair.poll(1);
      for (std::size_t i = 0; i < n; ++i) sum += static_cast<std::uint64_t>(pair.events()[i].bytes[100]);
      got += n;
      if (n == 0) pair.poll(0);
    }
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// Writes of `state.range(0)` bytes, the last of a batch acknowledged; the target polls as a node would.
void writes(benchmark::State& state, bool tcp) {
  Pair pair(tcp);
  const auto size = static_cast<std::size_t>(state.range(0));
  const Slice slice{pair.source().data(), size};
  std::array<Op, kBatch> ops;
  std::uint64_t offset = 0;
  Ticket ticket = 0;
  for (auto _ : state) {
    for (Op& op : ops) {
      op = pair.write(slice, offset, 0);
      offset = (offset + size) % (8 * kMiB);
    }
    ops.back().ticket = ++ticket;
    pair.post(ops);
    while (true) {
      if (pair.poll(0) > 0 && pair.events()[0].ticket == ticket) break;
      pair.poll(1);
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kBatch * size));
}

// What the copies alone would cost.
void memcpy_alone(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  auto from = std::make_unique<std::byte[]>(1 * kMiB);
  auto to = std::make_unique<std::byte[]>(16 * kMiB);
  std::uint64_t offset = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      std::memcpy(to.get() + offset, from.get(), size);
      benchmark::ClobberMemory();
      offset = (offset + size) % (8 * kMiB);
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kBatch * size));
}

// One small write, posted and acknowledged alone.
void write_and_ack(benchmark::State& state, bool tcp) {
  Pair pair(tcp);
  const Slice slice{pair.source().data(), 128};
  Ticket ticket = 0;
  for (auto _ : state) {
    const Op op = pair.write(slice, 0, ++ticket);
    pair.post({&op, 1});
    while (pair.poll(0) == 0) pair.poll(1);
  }
  state.SetItemsProcessed(state.iterations());
}

void idle_poll(benchmark::State& state, bool tcp) {
  Pair pair(tcp);
  for (auto _ : state) benchmark::DoNotOptimize(pair.poll(1));
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(messages, shm, false)->Arg(1)->Arg(8)->Arg(64);
BENCHMARK_CAPTURE(writes, shm, false)->Arg(128)->Arg(200)->Arg(1024)->Arg(16384);
BENCHMARK(memcpy_alone)->Arg(128)->Arg(200)->Arg(1024)->Arg(16384);
BENCHMARK_CAPTURE(write_and_ack, shm, false);
BENCHMARK_CAPTURE(idle_poll, shm, false);
BENCHMARK_CAPTURE(messages, tcp, true)->Arg(1)->Arg(8)->Arg(64);
BENCHMARK_CAPTURE(writes, tcp, true)->Arg(128)->Arg(16384);
BENCHMARK_CAPTURE(write_and_ack, tcp, true);
BENCHMARK_CAPTURE(idle_poll, tcp, true);

}  // namespace
}  // namespace slipstream::emulate
