// A coordinator that is told arbitrary things by nodes that may be anybody: requests and answers of any bytes, channels
// that go down, time that passes, and an earlier life's state of any bytes. It must stand.
#include <cerrno>
#include <cstdint>
#include <map>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "core/cluster/coordinator.h"

using namespace slipstream;

namespace {

constexpr std::size_t kMostSteps = 200;

class World {
 public:
  explicit World(FuzzInput& in) : in_(in) {
    std::vector<StoredFrame> found;
    if (in.byte() % 4 == 0) {
      frames_[1] = in.block();
      found.push_back({1, frames_[1].size()});
    }
    CoordinatorOptions options;
    for (std::uint16_t i = 1; i <= 3; ++i) options.servers.push_back(NodeId{i});
    options.clients = {NodeId{4}};
    options.tablets = split_evenly(1, options.servers);
    options.warmup_ns = kMillisecond;
    options.duration_ns = kMillisecond;
    options.membership.recoverable = in.byte() % 4 != 0;
    coordinator_.emplace(options, found);
    settle();
  }

  void run() {
    for (std::size_t i = 0; i < kMostSteps && !in_.empty(); ++i) {
      step();
      settle();
    }
    coordinator_->describe();
    coordinator_->trouble();
  }

 private:
  void step() {
    const std::uint8_t what = in_.byte();
    const auto channel = static_cast<Channel>(kFirstAccepted + what / 16);
    switch (what % 16) {
      case 0: now_ += in_.byte() * kMillisecond; return;
      case 1: return coordinator_->on_down(channel, now_);
      case 2: return enlist(channel);
      default: break;
    }
    const std::vector<std::byte> bytes = in_.block();
    RpcMessage message;
    if (!parse(bytes, message)) return;
    if (what % 16 == 3) return coordinator_->on_answer(channel, message, now_, out_);
    coordinator_->on_request(channel, ++tag_, message, now_, out_);
  }

  // All three servers, so that what comes next is heard.
  void enlist(Channel channel) {
    for (std::uint16_t i = 1; i <= 3; ++i) {
      Hello hello;
      hello.node = i;
      RpcMessage message;
      message.header.opcode = Opcode::kEnlist;
      message.body = std::as_bytes(std::span(&hello, 1));
      coordinator_->on_request(static_cast<Channel>(channel + i), ++tag_, message, now_, out_);
    }
  }

  void settle() {
    coordinator_->advance(now_, out_);
    const std::vector<StorageOp> storage(out_.storage_ops().begin(), out_.storage_ops().end());
    out_.clear();
    for (const StorageOp& op : storage) {
      std::vector<std::byte>& frame = frames_[op.frame];
      if (op.kind == StorageOpKind::kAppend) {
        frame.insert(frame.end(), op.source.begin(), op.source.end());
        coordinator_->state_log().on_stored(op.frame, frame.size(), out_);
      } else if (op.kind == StorageOpKind::kFree) {
        frames_.erase(op.frame);
      } else if (op.destination.size() > frame.size()) {
        coordinator_->state_log().on_failed(op.frame, op.ticket, EIO);
      } else {
        std::copy_n(frame.begin(), op.destination.size(), op.destination.begin());
        coordinator_->state_log().on_read(op.frame, op.ticket);
      }
    }
    if (!storage.empty()) settle();
  }

  FuzzInput& in_;
  Outbox out_;
  std::optional<Coordinator> coordinator_;
  std::map<FrameId, std::vector<std::byte>> frames_;
  TimeNs now_ = kSecond;
  std::uint64_t tag_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  World(in).run();
  return 0;
}
