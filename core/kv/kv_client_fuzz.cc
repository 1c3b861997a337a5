// A client whose servers answer arbitrary things: answers to what it asked, with any outcome and any bytes, and answers
// to what it never asked.
#include <cstdint>
#include <map>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "core/kv/kv_client.h"

using namespace slipstream;

namespace {

constexpr std::size_t kMostSteps = 100;
constexpr Channel kFirstChannel = 2;

class World {
 public:
  explicit World(FuzzInput& in) : in_(in), client_(options(), kFirstChannel) {
    const std::vector<NodeId> servers = {NodeId{1}, NodeId{2}};
    client_.set_tablets(TabletMap(split_evenly(1, servers)), now_, out_);
    settle();
  }

  void run() {
    for (std::size_t i = 0; i < kMostSteps && !in_.empty(); ++i) {
      step();
      client_.advance(now_, out_);
      settle();
    }
    client_.describe();
  }

 private:
  static KvClientOptions options() {
    KvClientOptions options;
    options.max_operations = 4;
    return options;
  }

  void step() {
    const std::uint8_t what = in_.byte();
    const auto channel = static_cast<Channel>(kFirstChannel + what / 8 % 2);
    switch (what % 8) {
      case 0: now_ += in_.byte() * 10 * kMillisecond; return;
      case 1: return submit(what / 8);
      case 2: client_.on_down(channel, now_); return;
      case 3: client_.take_refused(); return;
      default: break;
    }
    std::vector<std::byte> bytes = in_.block();
    RpcMessage message;
    if (!parse(bytes, message)) return;
    // Most answers are to what was asked last there.
    if (what % 8 != 4) message.header.id = last_id_[channel];
    if (!client_.on_answer(channel, message, now_, out_)) return;
    std::size_t seen = 0;
    for (const KvResult& result : client_.results()) {
      for (const std::byte b : result.value) seen += std::to_integer<std::size_t>(b);
    }
    sum_ += seen;
  }

  void submit(std::size_t count) {
    count = count % 5 + 1;
    if (!client_.can_submit(count)) return;
    std::vector<std::byte> text = in_.bytes(2 * count);
    text.resize(2 * count);
    std::vector<KvItem> items(count);
    for (std::size_t i = 0; i < count; ++i) {
      items[i].kind = static_cast<KvKind>(i % 4);
      items[i].table = 1;
      items[i].key = ConstBytes(text).first(i + 1);
      items[i].value = items[i].key;
    }
    client_.submit(sum_, items, now_, out_);
  }

  void settle() {
    const std::vector<Op> ops(out_.ops().begin(), out_.ops().end());
    for (const Op& op : ops) {
      RpcMessage message;
      if (op.kind == OpKind::kSend && parse(op.head, message)) last_id_[op.channel] = message.header.id;
    }
    out_.clear();
    for (const Op& op : ops) {
      if (op.kind == OpKind::kConnect) client_.on_connected(op.channel, now_, out_);
    }
    if (!out_.ops().empty()) settle();
  }

  FuzzInput& in_;
  KvClient client_;
  Outbox out_;
  std::map<Channel, std::uint64_t> last_id_;
  TimeNs now_ = kSecond;
  std::uint64_t sum_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  World(in).run();
  return 0;
}
