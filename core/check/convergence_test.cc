#include "core/check/convergence.h"

#include <string>

#include <gtest/gtest.h>

namespace slipstream {
namespace {

// Servers 1 to 4 and the client 5; a segment of server 1 on 2 and 3, one of server 2 on 3 and 4.
ClusterSnapshot healed() {
  ClusterSnapshot c;
  c.healed_ns = 1000;
  c.now_ns = 5000;
  c.factor = 2;
  for (std::uint16_t i = 1; i <= 5; ++i) {
    NodeSnapshot node;
    node.node = NodeId{i};
    node.server = i < 5;
    c.nodes.push_back(node);
  }
  c.segments = {{NodeId{1}, SegmentId{7}, {{NodeId{2}, true}, {NodeId{3}, true}}},
                {NodeId{2}, SegmentId{0}, {{NodeId{3}, true}, {NodeId{4}, true}}}};
  c.tablets = {{1, 0, NodeId{1}}, {1, 0x8000, NodeId{2}}};
  return c;
}

void expect_finding(const ClusterSnapshot& cluster, const std::string& part) {
  const Findings findings = check_convergence(cluster);
  ASSERT_EQ(findings.size(), 1U) << describe(findings);
  EXPECT_EQ(findings[0].kind, FindingKind::kNotConverged);
  EXPECT_NE(findings[0].text.find(part), std::string::npos) << findings[0].text;
}

TEST(Convergence, AHealedClusterHasNoFindings) {
  EXPECT_EQ(describe(check_convergence(healed())), "");
  // given a server that stayed away, whose segments and tablets others have now
  ClusterSnapshot c = healed();
  c.nodes[3].alive = false;
  c.segments[1].replicas[1] = {NodeId{1}, true};
  c.segments.push_back({NodeId{4}, SegmentId{1}, {}});
  EXPECT_EQ(describe(check_convergence(c)), "");
  // given a client that died with open requests, and a third replica that is not whole
  c.nodes[4].alive = false;
  c.nodes[4].open_operations = 3;
  c.segments[0].replicas.push_back({NodeId{4}, false});
  EXPECT_EQ(describe(check_convergence(c)), "");
}

TEST(Convergence, WhatIsMissingIsTold) {
  ClusterSnapshot c = healed();
  c.nodes[4].open_operations = 3;
  expect_finding(c, "4000 ns after the faults: client 5 has 3 operations without an answer");
  c = healed();
  c.nodes[2].recovering = true;
  expect_finding(c, "server 3 is still recovering");
  c = healed();
  c.segments[0].replicas.pop_back();
  expect_finding(c, "segment 7 of master 1 has 1 replicas instead of 2");
  c = healed();
  c.segments[0].replicas[0].whole = false;
  expect_finding(c, "server 2 has not all of it");
  c = healed();
  c.nodes[3].alive = false;
  expect_finding(c, "segment 0 of master 2 has 1 replicas instead of 2; server 4 does not live");
  c = healed();
  c.tablets[1].server = kNoNode;
  expect_finding(c, "tablet 8000 of table 1 is on no server");
  c.tablets[1].server = NodeId{5};
  expect_finding(c, "is on server 5, which does not live");
}

TEST(Convergence, ReplicasAreOnDistinctMachines) {
  // given two replicas on one server; on one machine; on the master's
  ClusterSnapshot c = healed();
  c.segments[0].replicas[1] = {NodeId{2}, true};
  expect_finding(c, "server 2 is on a machine that has it already");
  c = healed();
  c.nodes[1].machine = c.nodes[2].machine = 9;
  c.segments[1].replicas[0] = {NodeId{1}, true};
  expect_finding(c, "segment 7 of master 1 has 1 replicas instead of 2; server 3 is on a machine");
  c = healed();
  c.segments[1].replicas[0] = {NodeId{2}, true};
  expect_finding(c, "server 2 is on a machine that has it already");
}

}  // namespace
}  // namespace slipstream
