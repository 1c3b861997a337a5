// A master that is asked arbitrary things, and that replays arbitrary entries of a dead one. Entries may have the right
// checksum, so that what they say is believed: nobody but a master makes such, but bits rot, and masters have bugs.
#include <cstdint>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/fuzz_input.h"
#include "core/kv/master.h"

using namespace slipstream;

namespace {

constexpr std::size_t kSegmentBytes = 4 * kKiB;
constexpr std::size_t kMostSteps = 100;

class World {
 public:
  explicit World(FuzzInput& in)
      : in_(in),
        memory_(16 * kSegmentBytes),
        peers_(NodeId{1}, 2, kMillisecond),
        master_(LogOptions{.segment_bytes = kSegmentBytes, .memory_bytes = memory_.size()}, alone(), NodeId{1}, 1,
                Region{0, memory_}, peers_) {
    const std::vector<NodeId> self = {NodeId{1}};
    master_.log().set_life(1);
    master_.store().set_tablets(TabletMap(split_evenly(1, self)));
  }

  void run() {
    SideLog side(master_.log());
    for (std::size_t i = 0; i < kMostSteps && !in_.empty(); ++i) {
      const std::uint8_t what = in_.byte();
      std::vector<std::byte> bytes = in_.block();
      if (what % 2 == 0) {
        Master::Request request;
        request.channel = kFirstAccepted;
        request.tag = i + 1;
        if (!parse(bytes, request.message)) continue;
        master_.execute({&request, 1}, out_);
        master_.advance(now_ += kMicrosecond, out_);
        out_.clear();
        continue;
      }
      if (what % 4 == 1 && bytes.size() >= sizeof(std::uint32_t)) {
        store(bytes.data(), crc32c(0xffffffff, ConstBytes(bytes).subspan(sizeof(std::uint32_t))));
      }
      master_.store().replay(static_cast<EntryType>(what / 4 % 8), bytes, removed_, side, out_);
    }
    side.close(out_);
    master_.describe();
  }

 private:
  static ReplicationOptions alone() {
    ReplicationOptions options;
    options.policy = Policy::kNone;
    options.factor = 0;
    return options;
  }

  FuzzInput& in_;
  std::vector<std::byte> memory_;
  PeerLinks peers_;
  Master master_;
  Outbox out_;
  KvStore::Removed removed_;
  TimeNs now_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  World(in).run();
  return 0;
}
