#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/cluster/wire.h"
#include "core/kv/wire.h"
#include "core/node/client_node.h"
#include "core/node/cluster.h"
#include "core/node/report.h"

namespace slipstream {
namespace {

TEST(ClusterOptions, NodesAreCoordinatorServersClients) {
  ClusterOptions o;
  o.servers = 3;
  o.clients = 2;
  EXPECT_EQ(node_count(o), 6);
  EXPECT_EQ(node_name(o, NodeId{0}), "coordinator");
  EXPECT_EQ(node_name(o, NodeId{3}), "server-2");
  EXPECT_EQ(node_name(o, NodeId{5}), "client-1");
}

TEST(ClusterOptions, WhatCannotWorkIsNamed) {
  // given options that work
  EXPECT_EQ(problem_with(ClusterOptions{}), "");
  const auto problem = [](auto&& change) {
    ClusterOptions o;
    change(o);
    return problem_with(o);
  };
  // expect each impossible change to be told with the option's name
  const auto starts = [](const std::string& text, const std::string& with) {
    return text.compare(0, with.size(), with) == 0;
  };
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.servers = 0; }), "cluster.servers"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.clients = 0; }), "cluster.clients"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.replication.factor = 4; }), "replication.factor"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.replication.buffers = 5; }), "replication.buffers"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.replication.window = 0; }), "replication.window"));
  EXPECT_TRUE(
      starts(problem([](ClusterOptions& o) { o.replication.max_write_bytes = 2 * kMiB; }), "replication.max_write"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.log.segment_bytes = 16 * kMiB; }), "cluster.segment"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.log.memory_bytes = 20 * kMiB; }), "cluster.log_memory"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.workload.records = 100'000'000; }), "cluster.log_memory"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.workload.value_bytes = 2 * kMiB; }), "workload.value"));
  EXPECT_TRUE(starts(problem([](ClusterOptions& o) { o.workload.outstanding = 5000; }), "workload.outstanding"));
  // and a factor to matter only where something is replicated
  EXPECT_EQ(problem([](ClusterOptions& o) {
              o.replication.policy = Policy::kNone;
              o.servers = 1;
            }),
            "");
}

TEST(Report, BytesAndBack) {
  NodeReport report;
  report.node = NodeId{4};
  report.kind = NodeKind::kClient;
  report.ledger.add(Role::kClient, Work::kIssue, 7);
  report.client.completed = 5;
  report.client.latency[1].add(1234, 3);
  std::vector<std::byte> bytes = encode(report);
  const NodeReport back = decode_report(bytes);
  EXPECT_EQ(back.ledger, report.ledger);
  EXPECT_EQ(back.client.completed, 5u);
  EXPECT_EQ(back.client.latency[1].count(), 3u);
  EXPECT_EQ(back.client.latency[1].max_ns(), 1234);
  // expect a report cut short, or with a changed byte, to be refused
  EXPECT_THROW(decode_report(ConstBytes(bytes).first(bytes.size() - 1)), std::runtime_error);
  bytes[100] ^= std::byte{1};
  EXPECT_THROW(decode_report(bytes), std::runtime_error);
}

TEST(Report, MetricsDivideByWhatWasServed) {
  // given a server that executed 100 writes and 300 reads, and a client that completed 400 operations in 2 ms
  NodeReport server;
  server.ledger.add(Role::kPrimary, Work::kMutation, 100);
  server.ledger.add(Role::kPrimary, Work::kRead, 300);
  server.ledger.add(Role::kBackup, Work::kMessageIn, 150);
  server.ledger.add(Role::kBackup, Work::kControlMessageIn, 2);
  server.ledger.add(Role::kBackup, Work::kCopyBytes, 20000);
  server.cpu_ns[static_cast<std::size_t>(Role::kPrimary)] = 80000;
  NodeReport client;
  client.kind = NodeKind::kClient;
  client.ledger.add(Role::kClient, Work::kIssue, 400);
  client.client.completed = 400;
  client.client.window_start_ns = kMillisecond;
  client.client.window_end_ns = 3 * kMillisecond;
  const NodeReport both[] = {server, client};
  std::map<std::string, double> m;
  for (const Metric& metric : summarize(ClusterOptions{}, both)) m[metric.name] = metric.value;
  // expect rates over the window, backups' figures per write, the primary's per operation served
  EXPECT_DOUBLE_EQ(m.at("throughput_ops_per_s"), 200000);
  EXPECT_DOUBLE_EQ(m.at("backup_messages_per_op"), 1.5);
  EXPECT_DOUBLE_EQ(m.at("backup_control_messages_per_op"), 0.02);
  EXPECT_DOUBLE_EQ(m.at("backup_copied_bytes_per_op"), 200);
  EXPECT_DOUBLE_EQ(m.at("primary_cpu_ns_per_op"), 200);
}

TEST(Report, LatencyOfOperationsThatBeganWhileARecoveryWentOn) {
  // given a window of 200 ms, a recovery from 50 ms to 99 ms of it, and an operation of 100 us in every millisecond;
  // one in ten of those that begin meanwhile waits until 100 ms, and one in ten is about a tablet that is recovered
  NodeReport coordinator;
  coordinator.kind = NodeKind::kCoordinator;
  coordinator.deaths = 1;
  coordinator.recoveries[0] = {{NodeId{1}, 1}, 51 * kMillisecond, 60 * kMillisecond, 100 * kMillisecond, 4096};
  NodeReport server;
  server.scan_ns = 2 * kMillisecond;
  server.scanned_bytes = 3000;
  NodeReport client;
  client.kind = NodeKind::kClient;
  ClientStats& stats = client.client;
  stats.window_start_ns = kMillisecond;
  stats.window_end_ns = 201 * kMillisecond;
  for (TimeNs ms = 1; ms < 201; ++ms) {
    const TimeNs start = ms * kMillisecond;
    const TimeNs end = ms > 50 && ms < 100 && ms % 10 == 1 ? 100 * kMillisecond : start + 100 * kMicrosecond;
    stats.timeline.add(stats.window_start_ns, stats.window_end_ns, end, end - start,
                       ms > 50 && ms < 100 && ms % 10 == 2);
  }
  const NodeReport all[] = {coordinator, server, client};
  std::map<std::string, double> m;
  for (const Metric& metric : summarize(ClusterOptions{}, all)) m[metric.name] = metric.value;
  // expect the 44 operations that do not concern it and no other, to the width of a bucket
  EXPECT_DOUBLE_EQ(m.at("recovery_foreground_ops"), 44);
  EXPECT_NEAR(m.at("recovery_latency_us_p50"), 100, 6);
  EXPECT_NEAR(m.at("recovery_latency_us_p99"), 49000, 2500);
  EXPECT_DOUBLE_EQ(m.at("recovery_scan_ms"), 2);
  EXPECT_DOUBLE_EQ(m.at("recovery_scanned_bytes"), 3000);
}

// A client driven by hand: coordinator and the one server answer from a script.
class ClientBench {
 public:
  explicit ClientBench(const ClusterOptions& options) : options_(options), client_(options, NodeId{2}) {}

  // One turn at `now` with everything that was answered; returns the requests for the server that it sent.
  void turn(TimeNs now) {
    std::vector<Event> events;
    std::deque<std::vector<std::byte>> bytes;
    bytes.swap(messages_);
    events.swap(events_);
    for (std::size_t i = 0, m = 0; i < events.size(); ++i) {
      if (events[i].kind == EventKind::kMessage) events[i].bytes = bytes[m++];
    }
    client_.step(now, events, out_);
    for (const Op& op : out_.ops()) take(op);
    marks_.insert(marks_.end(), out_.marks().begin(), out_.marks().end());
    out_.clear();
  }
  // Answers all requests that wait.
  void serve() {
    for (const std::vector<std::byte>& request : requests_) answer_kv(request);
    requests_.clear();
  }
  std::size_t waiting() const { return requests_.size(); }
  const ClientNode& client() const { return client_; }
  const std::vector<Mark>& marks() const { return marks_; }

 private:
  void take(const Op& op) {
    if (op.kind == OpKind::kConnect) {
      Event connected;
      connected.kind = EventKind::kConnected;
      connected.channel = op.channel;
      events_.push_back(connected);
      return;
    }
    RpcMessage message;
    ASSERT_TRUE(parse(op.head, message));
    if (message.header.opcode == Opcode::kKeyValue) {
      channel_ = op.channel;
      requests_.emplace_back(op.head.begin(), op.head.end());
      return;
    }
    std::vector<std::byte> bytes(sizeof(RpcHeader));
    RpcHeader header = message.header;
    header.is_answer = 1;
    std::memcpy(bytes.data(), &header, sizeof(header));
    if (header.opcode == Opcode::kEnlist) {
      View view;
      view.epoch = 1;
      view.servers.push_back({{NodeId{1}, 1}, true});
      view.tablets.push_back({1, 0, ~std::uint64_t{0}, {NodeId{1}, 1}, kNoServerId});
      const HelloAnswer hello{0, 1, 1};
      const auto raw = std::as_bytes(std::span(&hello, 1));
      bytes.insert(bytes.end(), raw.begin(), raw.end());
      encode(view, bytes);
    }
    reply(op.channel, std::move(bytes));
  }
  void answer_kv(const std::vector<std::byte>& request) {
    RpcMessage message;
    ASSERT_TRUE(parse(request, message));
    KvRequest kv;
    ASSERT_TRUE(read_body(message.body, kv));
    std::vector<std::byte> bytes(sizeof(RpcHeader) + kv.items * sizeof(KvItemAnswer));
    RpcHeader header = message.header;
    header.is_answer = 1;
    std::memcpy(bytes.data(), &header, sizeof(header));
    const KvItemAnswer ok;
    for (std::uint32_t i = 0; i < kv.items; ++i) {
      std::memcpy(bytes.data() + sizeof(header) + i * sizeof(ok), &ok, sizeof(ok));
    }
    reply(channel_, std::move(bytes));
  }
  void reply(Channel channel, std::vector<std::byte> bytes) {
    Event event;
    event.channel = channel;
    event.is_answer = true;
    events_.push_back(event);
    messages_.push_back(std::move(bytes));
  }

  ClusterOptions options_;
  ClientNode client_;
  Outbox out_;
  Channel channel_ = 0;
  std::vector<Event> events_;
  std::deque<std::vector<std::byte>> messages_;
  std::vector<std::vector<std::byte>> requests_;
  std::vector<Mark> marks_;
};

ClusterOptions one_client() {
  ClusterOptions o;
  o.servers = 1;
  o.clients = 1;
  o.replication.policy = Policy::kNone;
  o.workload.records = 100;
  o.warmup_ns = kMillisecond;
  o.duration_ns = 10 * kMillisecond;
  return o;
}

TEST(ClientNode, OpenLoopCountsFromTheIntendedArrival) {
  // given an arrival every 100 us, room for 4 requests, and a server that stands still for 8 ms of the window
  ClusterOptions o = one_client();
  o.workload.arrivals = Arrivals::kFixed;
  o.workload.rate_ops_per_s = 10000;
  o.workload.outstanding = 4;
  ClientBench bench(o);
  TimeNs now = 0;
  for (; now < 3 * kMillisecond; now += 10 * kMicrosecond) {
    bench.turn(now);
    bench.serve();
  }
  for (; now < 11 * kMillisecond; now += 10 * kMicrosecond) bench.turn(now);
  EXPECT_EQ(bench.waiting(), 4u);
  for (int i = 0; i < 200 && !bench.client().done(); ++i, now += 10 * kMicrosecond) {
    bench.serve();
    bench.turn(now);
  }
  // expect every arrival of the window among the latencies, those that waited for room with their whole wait
  ASSERT_TRUE(bench.client().done());
  const Histogram& h = bench.client().stats().latency[static_cast<std::size_t>(OperationType::kUpdate)];
  EXPECT_EQ(h.count(), 100u);
  EXPECT_GT(h.max_ns(), 7 * kMillisecond);
  EXPECT_GT(h.quantile_ns(0.5), 2 * kMillisecond);
}

TEST(ClientNode, ClosedLoopKeepsItsOutstandingAndCountsTheWindowOnly) {
  ClusterOptions o = one_client();
  o.workload.outstanding = 7;
  ClientBench bench(o);
  TimeNs now = 0;
  std::size_t most = 0;
  for (; !bench.client().done() && now < 100 * kMillisecond; now += 10 * kMicrosecond) {
    bench.turn(now);
    most = std::max(most, bench.waiting());
    bench.serve();
  }
  // expect 7 in flight, one answered set per turn: 1000 turns of the window, each with 7 completions
  ASSERT_TRUE(bench.client().done());
  EXPECT_EQ(most, 7u);
  EXPECT_NEAR(static_cast<double>(bench.client().stats().completed), 7000, 14);
  EXPECT_EQ(bench.marks(), (std::vector<Mark>{Mark::kWindowStart, Mark::kWindowEnd}));
  EXPECT_EQ(bench.client().stats().failed, 0u);
}

}  // namespace
}  // namespace slipstream
