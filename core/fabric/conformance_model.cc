// Conformance: a random mix of everything, compared with a model of what each channel must bring.
#include <algorithm>
#include <cstring>
#include <deque>
#include <set>
#include <utility>

#include "core/fabric/conformance_stage.h"

namespace slipstream::conformance {

namespace {

constexpr std::size_t kGranted = 8 * kKiB;
constexpr std::size_t kLongest = 3000;
constexpr std::size_t kMostUnacknowledged = 64;
constexpr std::size_t kNodes = 3;

// One direction of messages on a channel: what was sent and not yet seen.
struct Flow {
  std::deque<std::string> under_way;
};

// What was read must be what the model held when the read was posted: ops of a channel take effect in post order, and
// nobody else writes to the range.
struct PendingRead {
  Ticket ticket = 0;
  Bytes into;
  std::string expected;
};

// A channel from node `from` to node `to`, which grants a range of its own to it.
struct Pair {
  std::size_t from = 0;
  std::size_t to = 0;
  Link link;
  Bytes source;
  Bytes sink;
  Bytes target;
  std::string model;
  RemoteKey key = 0;
  Flow there;
  Flow back;
  std::deque<PendingRead> reads;
  Ticket posted = 0;
  Ticket answered = 0;
  Ticket posted_back = 0;
  Ticket answered_back = 0;
};

class ModelRun {
 public:
  ModelRun(const MakeFabricBench& make, std::uint64_t seed) : stage_(make, kNodes), rng_(seed, "conformance-model") {
    for (std::size_t from = 0; from < kNodes; ++from) {
      for (std::size_t to = 0; to < kNodes; ++to) {
        if (from == to) continue;
        Pair& p = pairs_.emplace_back();
        p.from = from;
        p.to = to;
        p.source = stage_[from].region(16 * kKiB);
        p.sink = stage_[from].region(kMostUnacknowledged * kLongest);
        p.target = stage_[to].region(kGranted + 2 * 64);
        fill(p.source, from);
        fill(p.target, to + 10);
        p.model = text(p.target);
        open(p);
      }
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      Pair& p = pairs_[rng_.below(pairs_.size())];
      const std::uint64_t dice = rng_.below(1000);
      if (dice < 250) {
        send(p);
      } else if (dice < 400) {
        send_back(p);
      } else if (dice < 620) {
        write(p);
      } else if (dice < 680) {
        read(p);
      } else if (dice < 682) {
        replace(p);
      } else if (dice < 850) {
        stage_.bench().pump();
      } else {
        take(rng_.below(kNodes), 1 + rng_.below(40));
      }
    }
    for (Pair& p : pairs_) EXPECT_TRUE(until([&] { return quiet(p); })) << "something never came";
    for (Pair& p : pairs_) EXPECT_TRUE(text(p.target) == p.model);
  }

 private:
  void open(Pair& p) {
    p.link = stage_.connect(stage_[p.from], stage_[p.to]);
    p.key = stage_.grant(stage_[p.to], p.link.far, p.target.subspan(64, kGranted));
    check_seen();
  }

  void send(Pair& p) {
    if (p.posted - p.answered >= kMostUnacknowledged) return;
    const std::string head = pattern(rng_.next(), rng_.below(200));
    const Slice body{p.source.data() + rng_.below(4096), rng_.below(2) * rng_.below(kLongest)};
    p.there.under_way.push_back(head + text({body.data, body.size}));
    stage_[p.from].send(p.link.near, head, ++p.posted, {&body, 1});
  }

  void send_back(Pair& p) {
    if (p.posted_back - p.answered_back >= kMostUnacknowledged) return;
    p.back.under_way.push_back(pattern(rng_.next(), rng_.below(400)));
    stage_[p.to].send(p.link.far, p.back.under_way.back(), ++p.posted_back);
  }

  void write(Pair& p) {
    if (p.posted - p.answered >= kMostUnacknowledged) return;
    const std::size_t size = rng_.below(kLongest);
    const std::size_t at = rng_.below(kGranted - size + 1);
    const ConstBytes from = ConstBytes(p.source).subspan(rng_.below(8192), size);
    if (size > 0) std::memcpy(p.model.data() + 64 + at, from.data(), size);
    stage_[p.from].write(p.link.near, from, p.key, at, ++p.posted);
  }

  void read(Pair& p) {
    if (p.posted - p.answered >= kMostUnacknowledged || p.reads.size() == kMostUnacknowledged) return;
    const std::size_t size = rng_.below(kLongest);
    const std::size_t at = rng_.below(kGranted - size + 1);
    ++p.posted;
    const Bytes into = p.sink.subspan(p.posted % kMostUnacknowledged * kLongest, size);
    p.reads.push_back({p.posted, into, p.model.substr(64 + at, size)});
    stage_[p.from].read(p.link.near, into, p.key, at, p.posted);
  }

  // One end revokes, the other sees the channel down; then a new channel takes its place. What the memory holds is
  // unknown until then, and still afterwards.
  void replace(Pair& p) {
    const bool near = rng_.chance(1, 2);
    if (near) {
      stage_[p.from].revoke(p.link.near);
    } else {
      stage_[p.to].revoke(p.link.far);
    }
    const EventKind here = near ? EventKind::kRevoked : EventKind::kDown;
    const EventKind there = near ? EventKind::kDown : EventKind::kRevoked;
    ended_.insert({p.from, p.to});
    EXPECT_TRUE(until([&] {
      return seen_.count({p.from, p.link.near, here}) > 0 && seen_.count({p.to, p.link.far, there}) > 0;
    }));
    ended_.erase({p.from, p.to});
    p.there.under_way.clear();
    p.back.under_way.clear();
    p.reads.clear();
    p.answered = p.posted;
    p.answered_back = p.posted_back;
    p.model = text(p.target);
    open(p);
  }

  bool quiet(const Pair& p) const {
    return p.there.under_way.empty() && p.back.under_way.empty() && p.reads.empty() && p.answered == p.posted &&
           p.answered_back == p.posted_back;
  }

  bool until(const std::function<bool()>& condition) {
    return stage_.until([&] {
      check_seen();
      return condition() || testing::Test::HasFailure();
    });
  }

  void take(std::size_t node, std::size_t most) {
    stage_[node].poll(most);
    check_seen();
  }

  void check_seen() {
    for (std::size_t node = 0; node < kNodes; ++node) {
      for (const Seen& s : stage_[node].seen) check(node, s);
      stage_[node].seen.clear();
    }
  }

  void check(std::size_t node, const Seen& s) {
    seen_.insert({node, s.channel, s.kind});
    for (Pair& p : pairs_) {
      if (p.from == node && p.link.near == s.channel) {
        check_near(p, s);
      } else if (p.to == node && p.link.far == s.channel) {
        check_far(p, s);
      }
    }
  }

  void check_near(Pair& p, const Seen& s) {
    if (s.kind == EventKind::kMessage) {
      expect_next(p.back, s);
    } else if (s.kind == EventKind::kReadDone) {
      ASSERT_FALSE(p.reads.empty());
      EXPECT_EQ(p.reads.front().ticket, s.ticket);
      EXPECT_TRUE(text(p.reads.front().into) == p.reads.front().expected);
      p.answered = std::max(p.answered, s.ticket);
      p.reads.pop_front();
    } else if (s.kind == EventKind::kAcked) {
      EXPECT_LE(s.ticket, p.posted);
      p.answered = std::max(p.answered, s.ticket);
    } else if (s.kind != EventKind::kConnected && s.kind != EventKind::kGranted) {
      EXPECT_TRUE(ended_.count({p.from, p.to})) << "unexpected " << name(s.kind);
    }
  }

  void check_far(Pair& p, const Seen& s) {
    if (s.kind == EventKind::kMessage) {
      expect_next(p.there, s);
    } else if (s.kind == EventKind::kAcked) {
      EXPECT_LE(s.ticket, p.posted_back);
      p.answered_back = std::max(p.answered_back, s.ticket);
    } else if (s.kind != EventKind::kConnected && s.kind != EventKind::kGranted) {
      EXPECT_TRUE(ended_.count({p.from, p.to})) << "unexpected " << name(s.kind);
    }
  }

  void expect_next(Flow& flow, const Seen& s) {
    ASSERT_FALSE(flow.under_way.empty()) << "a message that was never sent";
    EXPECT_TRUE(flow.under_way.front() == s.bytes);
    flow.under_way.pop_front();
  }

  struct Key {
    std::size_t node;
    Channel channel;
    EventKind kind;
    auto operator<=>(const Key&) const = default;
  };

  Stage stage_;
  Rng rng_;
  std::deque<Pair> pairs_;
  std::set<Key> seen_;
  std::set<std::pair<std::size_t, std::size_t>> ended_;  // from, to
};

void a_random_mix_follows_the_model(const MakeFabricBench& make) {
  // Given random sends, writes, reads, polls and replaced channels, expect what a model of each channel expects.
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ModelRun(make, seed).run(6000);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace

const CaseList& model_cases() {
  static const CaseList kCases = {{"a_random_mix_follows_the_model", a_random_mix_follows_the_model}};
  return kCases;
}

}  // namespace slipstream::conformance
