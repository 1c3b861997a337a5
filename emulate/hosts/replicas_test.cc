// What a real cluster leaves behind, over every fabric: each segment of each log byte for byte on as many backups as
// the options say, whether it is still in a backup's buffer or was stored.
#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "core/log/certificate_walk.h"
#include "core/node/server_node.h"
#include "emulate/hosts/fabrics_here.h"
#include "emulate/hosts/plan.h"
#include "emulate/loop/loop.h"

namespace slipstream::emulate {
namespace {

constexpr std::uint64_t kWrites = 100'000;  // over verbs; the others are tested as well elsewhere

struct Case {
  FabricKind fabric = FabricKind::kShm;
  Policy policy = Policy::kTailwind;
};

ClusterOptions options_of(const Case& c) {
  ClusterOptions options;
  options.servers = 4;
  options.primaries = 1;
  options.replication.policy = c.policy;
  options.replication.factor = 3;
  options.replication.buffers = 16;
  options.log = {1 * kMiB, 64 * kMiB};
  // Every record is written once before the run begins, and counts as a write: how many there are is then known.
  options.workload.records = c.fabric == FabricKind::kVerbs && c.policy == Policy::kTailwind ? kWrites : 10'000;
  options.workload.outstanding = 64;
  options.warmup_ns = kMillisecond;
  options.duration_ns = 100 * kMillisecond;
  options.rpc_timeout_ns = 60 * kSecond;  // on an emulated processor
  return options;
}

// A cluster on one loop in this thread, whose nodes can be looked at when it is over.
class Finished {
 public:
  explicit Finished(const Case& c)
      : options_(options_of(c)), plan_(plan_of(options_)), directories_("", "", false), listeners_(plan_, emulate(c)) {
    for (std::uint16_t i = 0; i < plan_.nodes; ++i) {
      nodes_.push_back(assemble(plan_, emulate(c), directories_, NodeId{i}, listeners_));
    }
    std::atomic<bool> stop{false};
    Loop loop(Clock::calibrated(), idle_for(1, 1), options_.seed, stop);
    for (std::uint16_t i = 0; i < plan_.nodes; ++i) loop.seat(nodes_[i].seat(plan_, NodeId{i}));
    end_ = loop.run(600 * kSecond);
  }

  const LoopEnd& end() const { return end_; }
  const ClusterOptions& options() const { return options_; }
  const ServerNode& server(std::uint16_t i) const { return dynamic_cast<const ServerNode&>(*nodes_[i].node); }

  // The first `bytes` of a stored segment; empty when the backup has stored no such segment.
  std::vector<std::byte> stored(std::uint16_t backup, std::uint16_t master, std::uint64_t segment, std::size_t bytes) {
    Storage& storage = *nodes_[backup].storage;
    const FrameId frame = std::uint64_t{master} << 48 | segment;
    const std::vector<StoredFrame> frames = storage.frames();
    if (std::none_of(frames.begin(), frames.end(), [&](const StoredFrame& f) { return f.id == frame; })) return {};
    std::vector<std::byte> content(bytes);
    StorageOp op;
    op.kind = StorageOpKind::kRead;
    op.frame = frame;
    op.destination = content;
    op.ticket = 1;
    storage.post({&op, 1});
    Event event;
    while (storage.poll({&event, 1}) == 0 || event.tag != frame || event.kind == EventKind::kStored) {
    }
    EXPECT_EQ(event.kind, EventKind::kStorageRead);
    return content;
  }

 private:
  static EmulateOptions emulate(const Case& c) {
    EmulateOptions options;
    options.fabric = c.fabric;
    return options;
  }

  ClusterOptions options_;
  RunPlan plan_;
  RunDirectories directories_;
  Listeners listeners_;
  std::vector<Assembly> nodes_;
  LoopEnd end_;
};

class Replicas : public testing::TestWithParam<Case> {};

TEST_P(Replicas, AreThePrimarysBytes) {
  Finished cluster(GetParam());
  ASSERT_EQ(cluster.end().why, LoopEnd::Why::kDone) << cluster.end().trouble;
  constexpr std::uint16_t kPrimary = 1;
  const Log& log = cluster.server(kPrimary).master().log();
  std::size_t bytes = 0;
  for (std::uint32_t i = 0; i < log.segments().size(); ++i) {
    const Segment& segment = log.slot(i);
    const ConstBytes sealed = segment.memory.first(segment.sealed);
    int copies = 0;
    for (std::uint16_t b = 1; b <= cluster.options().servers; ++b) {
      bool here = false;
      // given a replica in its buffer, expect the primary's bytes, certified to their end
      for (const FoundReplica& found : cluster.server(b).backup().replicas()) {
        if (found.record.master != kPrimary || found.record.segment != index(segment.identity.segment)) continue;
        EXPECT_TRUE(std::equal(sealed.begin(), sealed.end(), found.buffer.begin())) << "segment " << i << " on " << b;
        EXPECT_EQ(walk_certificates(found.buffer, segment.identity).valid_bytes(), segment.sealed);
        here = true;
      }
      // given one that was stored, expect the same
      const std::vector<std::byte> stored = cluster.stored(b, kPrimary, index(segment.identity.segment), sealed.size());
      if (!stored.empty()) {
        EXPECT_TRUE(std::equal(sealed.begin(), sealed.end(), stored.begin())) << "segment " << i << " stored on " << b;
        here = true;
      }
      copies += here ? 1 : 0;
    }
    EXPECT_EQ(copies, cluster.options().replication.factor) << "segment " << i;
    bytes += sealed.size();
  }
  // expect all that was written to be in the log, key, value and headers
  EXPECT_GT(bytes, cluster.options().workload.records * cluster.options().workload.value_bytes);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const FabricKind fabric : fabrics_here()) {
    for (const Policy policy : {Policy::kRpc, Policy::kTailwind}) cases.push_back({fabric, policy});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Everywhere, Replicas, testing::ValuesIn(all_cases()), [](const auto& it) {
  return std::string(name(it.param.fabric)) + "_" + std::string(name(it.param.policy));
});

}  // namespace
}  // namespace slipstream::emulate
