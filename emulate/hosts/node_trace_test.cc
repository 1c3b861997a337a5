#include "emulate/hosts/node_trace.h"

#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "emulate/hosts/lasting_nodes.h"
#include "emulate/hosts/packed.h"
#include "emulate/hosts/processes.h"

namespace slipstream::emulate {
namespace {

class NodeTraceFile : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/slipstream-trace-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file() const { return folder_ + "/trace-1"; }

  std::string folder_;
};

std::vector<std::byte> message(std::uint64_t id) {
  RpcHeader header;
  header.opcode = Opcode::kPing;
  header.id = id;
  std::vector<std::byte> bytes(sizeof(header) + 100);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

TEST_F(NodeTraceFile, ATurnIsWrittenDownAndALaterLifeGoesOnBehindIt) {
  // given a node that is connected, takes a message, answers with another and writes
  const std::vector<std::byte> in = message(7);
  const std::vector<std::byte> out = message(8);
  const Slice slice{out.data(), 50};
  std::vector<Event> events(2);
  events[0].kind = EventKind::kConnected;
  events[0].channel = kFirstAccepted;
  events[0].peer = NodeId{2};
  events[1].kind = EventKind::kMessage;
  events[1].channel = kFirstAccepted;
  events[1].bytes = in;
  std::vector<Op> ops(2);
  ops[0].channel = ops[1].channel = kFirstAccepted;
  ops[0].head = out;
  ops[1].kind = OpKind::kWrite;
  ops[1].body = {&slice, 1};
  ops[1].offset = 4096;
  for (int life = 0; life < 2; ++life) {
    NodeTrace trace(file(), NodeId{1});
    trace.saw({1000, 1200, 1500, events, ops});
  }
  // expect four records of each life, in order
  bool full = true;
  const std::vector<TraceRecord> records = read_trace(file(), full);
  EXPECT_FALSE(full);
  ASSERT_EQ(records.size(), 8u);
  const TraceKind kinds[] = {TraceKind::kMessageDelivered, TraceKind::kTurn, TraceKind::kMessageSent,
                             TraceKind::kWritePosted};
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].kind, kinds[i % 4]);
    EXPECT_EQ(records[i].node, 1);
    if (i % 4 != 1) {
      EXPECT_EQ(records[i].peer, 2);
    }
  }
  EXPECT_EQ(records[0].bytes, 116u);
  EXPECT_EQ(records[1].lasts_ns, 500);
  EXPECT_EQ(records[1].events, 2u);
  EXPECT_EQ(records[3].bytes, 50u);
  EXPECT_EQ(records[3].offset, 4096u);
  EXPECT_NE(records[0].id, records[2].id);
}

TEST_F(NodeTraceFile, AFullFileSaysSo) {
  // given room for five records and more turns than that, also in a later life
  for (int life = 0; life < 2; ++life) {
    NodeTrace trace(file(), NodeId{1}, 5);
    for (TimeNs at = 0; at < 4; ++at) trace.saw({at, at, at, {}, {}});
  }
  // expect the first five, and to be told
  bool full = false;
  const std::vector<TraceRecord> records = read_trace(file(), full);
  EXPECT_TRUE(full);
  ASSERT_EQ(records.size(), 5u);
  EXPECT_EQ(records[3].time_ns, 3);
  EXPECT_EQ(records[4].time_ns, 0);
}

struct Recorder : Observer {
  void saw(const TraceEvent& event) override {
    EXPECT_GE(event.time, last) << "out of order";
    last = event.time;
    ++kinds[event.kind];
    if (event.kind == TraceKind::kMessageSent) sent.insert(event.id);
    if (event.kind == TraceKind::kMessageDelivered) delivered += sent.contains(event.id) ? 1 : 0;
  }
  TimePs last = 0;
  std::map<TraceKind, int> kinds;
  std::set<std::uint64_t> sent;
  int delivered = 0;
};

TEST(NodeTraces, OfARunTellDeathsAndMessagesOfAllLives) {
  // given a run in processes in which a node is killed and lives again, and one is paused
  LastingOptions lasting;
  lasting.until_ns = 300 * kMillisecond;
  EmulateOptions options;
  options.hosts = HostKind::kProcesses;
  Fault crash;
  crash.at_ns = 60 * kMillisecond;
  crash.node = NodeId{1};
  crash.lasts_ns = 20 * kMillisecond;
  Fault pause = crash;
  pause.kind = FaultKind::kPause;
  pause.node = NodeId{2};
  pause.at_ns = 120 * kMillisecond;
  Fault loss = pause;
  loss.kind = FaultKind::kChannelLoss;
  loss.at_ns = 150 * kMillisecond;
  options.faults.faults = {crash, pause, loss};
  Recorder seen;
  options.observer = &seen;
  EXPECT_EQ(run_processes(lasting_plan(lasting), options).trouble, "");
  // expect each to be told once, and messages that arrived under the number with which they left
  EXPECT_EQ(seen.kinds[TraceKind::kDied], 1);
  EXPECT_EQ(seen.kinds[TraceKind::kRestarted], 1);
  EXPECT_EQ(seen.kinds[TraceKind::kPaused], 1);
  EXPECT_EQ(seen.kinds[TraceKind::kResumed], 1);
  EXPECT_EQ(seen.kinds[TraceKind::kFault], 1);
  EXPECT_GT(seen.kinds[TraceKind::kTurn], 10);
  EXPECT_GT(seen.kinds[TraceKind::kMessageSent], 10);
  EXPECT_GT(seen.kinds[TraceKind::kMessageDelivered], 10);
}

TEST(NodeTraces, OfAPackedRunAreThere) {
  LastingOptions lasting;
  lasting.until_ns = 100 * kMillisecond;
  EmulateOptions options;
  Recorder seen;
  options.observer = &seen;
  EXPECT_EQ(run_packed(lasting_plan(lasting), options).trouble, "");
  EXPECT_GT(seen.kinds[TraceKind::kTurn], 10);
  EXPECT_GT(seen.delivered, 10);
}

}  // namespace
}  // namespace slipstream::emulate
