// What a whole cluster leaves behind: every byte of every log on as many backups as the options say.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "core/log/certificate_walk.h"
#include "core/node/server_node.h"
#include "sim/test_hardware.h"
#include "sim/world.h"

namespace slipstream::sim {
namespace {

class Replicas : public testing::TestWithParam<Policy> {};

TEST_P(Replicas, EverySegmentIsWholeOnItsBackups) {
  // given a cluster with small segments, so that heads roll often, and a full run of updates
  ClusterOptions options;
  options.servers = 5;
  options.clients = 3;
  options.replication.policy = GetParam();
  options.replication.factor = 3;
  options.replication.buffers = 8;
  options.log.segment_bytes = 64 * kKiB;
  options.log.memory_bytes = 4 * kMiB;
  options.workload.records = 1000;
  options.warmup_ns = kMillisecond;
  options.duration_ns = 10 * kMillisecond;
  World world(plain_hardware(), SimOptions{}, options.seed);
  for (std::uint16_t i = 0; i < node_count(options); ++i) {
    Fabric& fabric = world.add(kind_of(options, NodeId{i}));
    world.place(NodeId{i}, make_node(options, NodeId{i}, fabric, world.storage(NodeId{i})));
  }
  ASSERT_EQ(world.run(), Ending::kDone) << world.trouble();

  std::uint64_t closed = 0;
  std::uint64_t open_bytes = 0;
  for (std::uint16_t s = 1; s <= options.servers; ++s) {
    const Log& log = dynamic_cast<const ServerNode&>(world.node(NodeId{s})).master().log();
    for (std::uint32_t i = 0; i < log.segments().size(); ++i) {
      const Segment& segment = log.slot(i);
      const ConstBytes sealed = segment.memory.first(segment.sealed);
      int copies = 0;
      for (std::uint16_t b = 1; b <= options.servers; ++b) {
        const std::vector<StoredFrame> frames = world.storage(NodeId{b}).frames();
        bool here = std::any_of(frames.begin(), frames.end(), [&](const StoredFrame& frame) {
          return frame.id == frame_of(s, index(segment.identity.segment));
        });
        const Backup& backup = dynamic_cast<const ServerNode&>(world.node(NodeId{b})).backup();
        for (const FoundReplica& found : backup.replicas()) {
          if (found.record.master != s || found.record.segment != index(segment.identity.segment)) continue;
          // expect a replica that is still in its buffer to be the primary's bytes, certified to their end
          EXPECT_TRUE(std::equal(sealed.begin(), sealed.end(), found.buffer.begin())) << s << "/" << i;
          EXPECT_EQ(walk_certificates(found.buffer, segment.identity).valid_bytes(), segment.sealed);
          open_bytes += sealed.size();
          here = true;
        }
        copies += here ? 1 : 0;
      }
      // and as many backups as the factor to hold each segment, one that was flushed included
      EXPECT_EQ(copies, options.replication.factor) << "segment " << i << " of server " << s;
      closed += segment.closed ? 1 : 0;
    }
  }
  EXPECT_GT(closed, 20u);
  EXPECT_GT(open_bytes, 0u);
}

INSTANTIATE_TEST_SUITE_P(Policies, Replicas, testing::Values(Policy::kRpc, Policy::kTailwind),
                         [](const auto& param) { return std::string(name(param.param)); });

}  // namespace
}  // namespace slipstream::sim
