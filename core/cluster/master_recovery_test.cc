// What the coordinator concludes from the replicas that are left.
#include "core/cluster/master_recovery.h"

#include <gtest/gtest.h>

namespace slipstream {
namespace {

constexpr ServerId kDead{NodeId{1}, 1};
constexpr ServerId kLeft{NodeId{2}, 1};

// Tells a recovery what one backup has: replicas, and the digest of the last of them.
void tell(MasterRecovery& recovery, const std::vector<ReplicaInfo>& replicas,
          const std::vector<std::uint64_t>& digest) {
  ReplicasAnswer told;
  told.head = replicas.back().segment;
  told.replicas = static_cast<std::uint32_t>(replicas.size());
  told.digest = static_cast<std::uint32_t>(digest.size());
  std::vector<std::byte> body(sizeof(told) + replicas.size() * sizeof(ReplicaInfo) + digest.size() * sizeof(digest[0]));
  std::memcpy(body.data(), &told, sizeof(told));
  std::memcpy(body.data() + sizeof(told), replicas.data(), replicas.size() * sizeof(ReplicaInfo));
  std::memcpy(body.data() + sizeof(told) + replicas.size() * sizeof(ReplicaInfo), digest.data(),
              digest.size() * sizeof(digest[0]));
  EXPECT_TRUE(recovery.must_ask(kLeft));
  recovery.on_replicas(kLeft, body);
  recovery.decide();
}

DeadMaster dead() { return {kDead, 0, false, {{10, 1}}}; }

TEST(MasterRecovery, PlansWhatTheNewestDigestNames) {
  // given a closed segment, the head, and a segment that it does not name
  MasterRecovery recovery(dead());
  tell(recovery, {{9, 1, kReplicaClosed, 700, 6}, {10, 1, kReplicaClosed, 500, 7}, {12, 0, 0, 100, 8}}, {10, 12});
  // expect what it names to be read, as long as it is valid
  EXPECT_TRUE(recovery.is_decided()) << recovery.missing();
  ASSERT_EQ(recovery.plan().size(), 2u);
  EXPECT_EQ(recovery.plan()[0].segment, 10u);
  EXPECT_EQ(recovery.plan()[0].bytes, 500u);
  EXPECT_EQ(recovery.plan()[1].segment, 12u);
  EXPECT_EQ(recovery.plan()[1].bytes, 100u);
}

TEST(MasterRecovery, ASegmentIsLostWhenOnlyReplicasAreLeftThatDoNotCount) {
  // given a segment that is nowhere; then one of which there is a copy in the making, one of an old epoch, and one
  // without a valid batch, though its successor was opened when it had been durably open
  for (const std::vector<ReplicaInfo>& left :
       {std::vector<ReplicaInfo>{}, {{11, 1, kReplicaCopy, 90, 5}}, {{11, 0, 0, 90, 5}}, {{11, 1, 0, 0, 0}}}) {
    DeadMaster master = dead();
    master.epochs.push_back({11, 1});
    MasterRecovery recovery(master);
    std::vector<ReplicaInfo> replicas{{10, 1, 0, 500, 7}};
    replicas.insert(replicas.end(), left.begin(), left.end());
    replicas.push_back({12, 0, 0, 100, 8});
    tell(recovery, replicas, {10, 11, 12});
    // expect it to be missed, by name
    EXPECT_FALSE(recovery.is_decided());
    EXPECT_EQ(recovery.missing(), "all bytes of segment 11 of node 1");
  }
}

}  // namespace
}  // namespace slipstream
