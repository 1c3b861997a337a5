// A whole node, of each kind, whose peers send arbitrary messages: requests, answers to what it asked last, and views.
// The fabric and the storage keep their contracts; what is in a message may be anything. No node may fall over it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "core/cluster/view.h"
#include "core/cluster/wire.h"
#include "core/node/cluster.h"
#include "core/rpc/wire.h"

using namespace slipstream;

namespace {

constexpr std::size_t kMostSteps = 120;
constexpr Channel kCoordinatorChannel = 1;
constexpr std::uint64_t kTable = 1;

class Memory final : public Fabric {
 public:
  Region create_region(std::string_view, std::size_t bytes, Access) override {
    regions_.emplace_back(bytes);
    return {static_cast<std::uint32_t>(regions_.size()), regions_.back()};
  }
  void post(std::span<const Op>) override {}
  std::size_t poll(std::span<Event>) override { return 0; }

 private:
  std::list<std::vector<std::byte>> regions_;
};

class Frames final : public Storage {
 public:
  void post(std::span<const StorageOp> ops) override {
    for (const StorageOp& op : ops) events_.push_back(carry_out(op));
  }
  std::size_t poll(std::span<Event>) override { return 0; }
  std::vector<StoredFrame> frames() const override { return {}; }
  std::vector<Event> take_events() { return std::exchange(events_, {}); }

 private:
  Event carry_out(const StorageOp& op) {
    Event event;
    event.tag = op.frame;
    event.ticket = op.ticket;
    std::vector<std::byte>& frame = frames_[op.frame];
    if (op.kind == StorageOpKind::kAppend) {
      frame.insert(frame.end(), op.source.begin(), op.source.end());
      event.kind = EventKind::kStored;
      event.amount = frame.size();
    } else if (op.kind == StorageOpKind::kFree) {
      frames_.erase(op.frame);
      event.kind = EventKind::kFreed;
    } else if (op.offset > frame.size() || op.destination.size() > frame.size() - op.offset) {
      event.kind = EventKind::kStorageFailed;
      event.amount = EIO;
    } else {
      const auto from = frame.begin() + static_cast<std::ptrdiff_t>(op.offset);
      std::copy_n(from, op.destination.size(), op.destination.begin());
      event.kind = EventKind::kStorageRead;
    }
    return event;
  }

  std::map<FrameId, std::vector<std::byte>> frames_;
  std::vector<Event> events_;
};

ClusterOptions options_of(std::uint8_t choice) {
  ClusterOptions options;
  options.servers = 3;
  options.log = {.segment_bytes = 4 * kKiB, .memory_bytes = 64 * kKiB};
  options.replication.policy = choice % 2 == 0 ? Policy::kRpc : Policy::kTailwind;
  options.replication.factor = 2;
  options.replication.buffers = 4;
  options.membership.recoverable = choice % 4 < 2;
  options.workload.records = 20;
  options.workload.value_bytes = 32;
  options.workload.outstanding = 2;
  options.checked = choice % 8 < 4;
  options.warmup_ns = options.duration_ns = 10 * kMillisecond;
  return options;
}

class World {
 public:
  explicit World(FuzzInput& in)
      : in_(in), options_(options_of(in.byte())), self_(NodeId{static_cast<std::uint16_t>(in.byte() % 5)}) {
    node_ = make_node(options_, self_, memory_, frames_);
  }

  void run() {
    turn();
    for (std::size_t i = 0; i < kMostSteps && !in_.empty() && !node_->retired() && !node_->done(); ++i) {
      step();
      turn();
    }
    node_->describe();
    node_->trouble();
  }

 private:
  struct Sent {
    Channel channel = 0;
    RpcHeader header;
  };

  void step() {
    const std::uint8_t what = in_.byte();
    Channel& accepted = accepted_[what / 8 % 4];
    switch (what % 8) {
      case 0: now_ += in_.byte() * kMillisecond; return;
      case 1:
        if (!up_.contains(accepted)) connected(accepted, NodeId{static_cast<std::uint16_t>(what / 32)});
        return;
      case 2: return down(in_.byte());
      case 3: return view(what / 8);
      case 4: return answer_last(what / 8);
      case 5: return message(kCoordinatorChannel, in_.block());
      case 6: return message(static_cast<Channel>(2 + what / 8 % 4), in_.block());
      default: return message(accepted, in_.block());
    }
  }

  void add(const Event& event) { events_.push_back(event); }
  void down(std::size_t which) {
    if (up_.empty()) return;
    const Channel channel = *std::next(up_.begin(), static_cast<std::ptrdiff_t>(which % up_.size()));
    end(channel);
    add({.kind = EventKind::kDown, .channel = channel, .bytes = {}});
  }
  void end(Channel channel) {
    up_.erase(channel);
    for (Channel& accepted : accepted_) {
      if (accepted == channel) accepted = static_cast<Channel>(accepted + accepted_.size());  // never used again
    }
  }
  void connected(Channel channel, NodeId peer) {
    up_.insert(channel);
    add({.kind = EventKind::kConnected, .channel = channel, .peer = peer, .bytes = {}});
  }
  void message(Channel channel, std::vector<std::byte> bytes) {
    if (!up_.contains(channel)) return;
    Event event;
    event.channel = channel;
    event.tag = ++tag_;
    RpcMessage parsed;
    event.is_answer = parse(bytes, parsed) && parsed.header.is_answer != 0;
    event.bytes = messages_.emplace_back(std::move(bytes));
    add(event);
  }

  // The answer to one of the last requests, whose body is anything.
  void answer_last(std::size_t which) {
    const std::vector<std::byte> body = in_.block();
    if (sent_.empty()) return;
    const Sent& sent = sent_[sent_.size() - 1 - which / 2 % std::min<std::size_t>(sent_.size(), 8)];
    RpcHeader header = sent.header;
    header.is_answer = 1;
    if (which % 2 != 0) header.status = static_cast<Status>(in_.byte());
    std::vector<std::byte> bytes(sizeof(header) + body.size());
    std::memcpy(bytes.data(), &header, sizeof(header));
    if (!body.empty()) std::memcpy(bytes.data() + sizeof(header), body.data(), body.size());
    message(sent.channel, std::move(bytes));
  }

  // What a coordinator that works would say: who is here, and, at choice, that server 3 is dead and we recover it.
  void view(std::size_t choice) {
    const bool is_dead = choice % 2 != 0;
    View view;
    view.epoch = ++epoch_;
    view.phase = static_cast<std::uint32_t>(choice / 2 % 6);
    view.latest_client = 1;
    view.clients = {1};
    for (std::uint16_t i = 1; i <= 3; ++i) view.servers.push_back({{NodeId{i}, 1}, !is_dead || i != 3});
    if (is_dead) view.dead.push_back({{NodeId{3}, 1}, now_, true, {{index(first_segment(1)), 0}}});
    for (const Tablet& tablet : split_evenly(kTable, std::vector{NodeId{1}, NodeId{2}, NodeId{3}})) {
      const ServerId recoverer = is_dead && tablet.server == NodeId{3} ? ServerId{self_, 1} : kNoServerId;
      view.tablets.push_back({tablet.table, tablet.first, tablet.last, {tablet.server, 1}, recoverer});
    }
    RpcHeader header;
    header.opcode = choice / 12 % 2 == 0 ? Opcode::kEnlist : Opcode::kView;
    header.is_answer = header.opcode == Opcode::kEnlist;
    header.id = static_cast<std::uint64_t>(now_);
    const HelloAnswer body{1, 1, view.epoch};
    std::vector<std::byte> bytes(sizeof(header) + sizeof(body));
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(bytes.data() + sizeof(header), &body, sizeof(body));
    encode(view, bytes);
    message(kCoordinatorChannel, std::move(bytes));
  }

  void turn() {
    const std::vector<Event> events = std::exchange(events_, {});
    now_ += kMicrosecond;
    node_->step(now_, events, out_);
    messages_.clear();
    for (const Op& op : out_.ops()) carry_out(op);
    frames_.post(out_.storage_ops());
    for (const Event& event : frames_.take_events()) add(event);
    out_.clear();
    while (sent_.size() > 64) sent_.erase(sent_.begin());
  }

  void carry_out(const Op& op) {
    switch (op.kind) {
      case OpKind::kConnect: return connected(op.channel, op.peer);
      case OpKind::kRevoke:
        end(op.channel);
        return add({.kind = EventKind::kRevoked, .channel = op.channel, .bytes = {}});
      default: break;
    }
    if (!up_.contains(op.channel)) return;
    switch (op.kind) {
      case OpKind::kGrant:
        return add(
            {.kind = EventKind::kGranted, .channel = op.channel, .bytes = {}, .ticket = op.ticket, .key = op.ticket});
      case OpKind::kWithdraw:
        return add({.kind = EventKind::kWithdrawn, .channel = op.channel, .bytes = {}, .ticket = op.ticket});
      case OpKind::kSend: {
        RpcMessage sent;
        if (parse(op.head, sent) && sent.header.is_answer == 0) sent_.push_back({op.channel, sent.header});
        break;
      }
      default: break;
    }
    if (op.ticket != 0) add({.kind = EventKind::kAcked, .channel = op.channel, .bytes = {}, .ticket = op.ticket});
  }

  FuzzInput& in_;
  ClusterOptions options_;
  NodeId self_;
  Memory memory_;
  Frames frames_;
  std::unique_ptr<Node> node_;
  Outbox out_;
  std::vector<Event> events_;
  std::set<Channel> up_;
  std::array<Channel, 4> accepted_ = {kFirstAccepted, kFirstAccepted + 1, kFirstAccepted + 2, kFirstAccepted + 3};
  std::list<std::vector<std::byte>> messages_;
  std::vector<Sent> sent_;
  TimeNs now_ = kSecond;
  std::uint64_t tag_ = 0;
  std::uint64_t epoch_ = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  World(in).run();
  return 0;
}
