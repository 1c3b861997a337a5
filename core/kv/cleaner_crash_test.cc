// A master that cleans its small log, and its backups, joined by hand: every op and every event waits until a seeded
// scheduler picks it. At any step the master may die: what its backups hold then is all that was ever acknowledged.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/kv/master.h"
#include "core/log/certificate_walk.h"
#include "core/replication/backup.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kTable = 3;
constexpr std::size_t kSegment = 4096;
constexpr Channel kFirst = 10;
constexpr Channel kClientChannel = kFirstAccepted + 100;
constexpr NodeId kPrimary{1};
constexpr std::uint64_t kKeys = 90;
constexpr std::uint64_t kWindow = 12;  // requests without an answer

ConstBytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }
TabletMap all_ours() { return TabletMap({{kTable, 0, ~std::uint64_t{0}, kPrimary}}); }

LogOptions log_options(std::uint64_t seed) {
  LogOptions options{kSegment, 16 * kSegment};
  options.disk_expansion = static_cast<std::uint32_t>(100 + seed % 3 * 50);
  return options;
}

class Bench {
 public:
  Bench(Policy policy, std::uint64_t seed)
      : policy_(policy),
        rng_(seed, "cleaner-crash-test"),
        options_(log_options(seed)),
        memory_(options_.memory_bytes),
        peers_(kPrimary, kFirst, 5),
        master_(options_, replication(), kPrimary, seed, Region{0, memory_}, peers_) {
    std::vector<NodeId> servers{kPrimary};
    for (std::uint16_t i = 0; i < 4; ++i) {
      servers.push_back(NodeId{static_cast<std::uint16_t>(i + 2)});
      auto side = std::make_unique<Side>();
      side->region.resize(replica_region_bytes(12, kSegment));
      side->backup = std::make_unique<Backup>(replication(), options_, Region{0, side->region});
      sides_.push_back(std::move(side));
    }
    peers_.set_servers(servers);
    master_.replicas().start();
    master_.store().set_tablets(all_ours());
  }

  void step() {
    ++now_;
    const std::uint64_t what = rng_.below(100);
    // Now and then one of the backups is slow for a while.
    if (now_ % 200 == 0) slow_ = rng_.below(3 * sides_.size());
    std::size_t i = rng_.below(sides_.size());
    if (i == slow_ && !rng_.chance(1, 20)) i = (i + 1) % sides_.size();
    std::vector<std::byte> request;
    if (what < 20 && open_.size() < kWindow) {
      request = make_request();
    } else if (what < 25 && !refused_.empty()) {
      request = refused_.front();
      refused_.pop_front();
    } else if (what < 60) {
      deliver_to_backup(i);
    } else if (what < 94) {
      deliver_to_primary(i);
    } else {
      backup_turn(i, [](Backup&, Outbox&) {});
      finish_storage(i);
    }
    if (!request.empty()) {
      Master::Request r{kClientChannel, 1, {}, 0};
      ASSERT_TRUE(parse(request, r.message));
      sent_[r.message.header.id] = request;
      master_.execute(std::span(&r, 1), out_);
    }
    peers_.advance(now_);
    master_.advance(now_, out_);
    ASSERT_EQ(master_.trouble(), "") << master_.describe();
    collect();
  }

  // What a recovery would find and replay.
  void crash() {
    std::map<std::uint64_t, std::vector<std::byte>> best;  // the longest valid bytes of each segment
    for (const auto& side : sides_) {
      for (const FoundReplica& found : side->backup->replicas()) add(best, found.record.segment, found.buffer);
      for (const auto& [segment, frame] : side->frames)
        add(best, segment, ConstBytes(frame).first(std::min(frame.size(), kSegment)));
    }
    std::vector<std::uint64_t> named;
    for (const auto& [segment, bytes] : best) {
      for_each_entry(bytes, [&, id = segment](EntryType type, ConstBytes contents, std::size_t) {
        if (type != EntryType::kDigest) return;
        head_ = id;
        named.resize(contents.size() / sizeof(std::uint64_t));
        std::memcpy(named.data(), contents.data(), contents.size());
      });
    }
    if (named.empty()) return;
    std::vector<std::byte> memory(64 * kSegment);
    const LogOptions fresh{kSegment, memory.size(), false};
    Log log(fresh, kPrimary, Region{0, memory});
    KvStore store(log, kPrimary);
    store.set_tablets(all_ours());
    SideLog side(log);
    KvStore::Removed removed;
    Outbox out;
    for (const std::uint64_t segment : named) {
      ASSERT_TRUE(best.contains(segment)) << segment << " is named by " << head_ << ": " << master_.describe();
      for_each_entry(best[segment], [&](EntryType type, ConstBytes contents, std::size_t) {
        ASSERT_EQ(store.replay(type, contents, removed, side, out), KvStore::Replayed::kDone);
      });
    }
    for (const auto& [key, states] : states_) check(key, states, store);
    ++crashes_;
  }

  const Master& master() const { return master_; }
  std::uint64_t crashes() const { return crashes_; }
  std::uint64_t answered() const { return answered_; }

 private:
  struct Transit {
    OpKind kind{};
    std::vector<std::byte> bytes;
    RemoteKey key = 0;
    std::uint64_t offset = 0;
    Ticket ticket = 0;
  };
  struct ToPrimary {
    EventKind kind{};
    std::vector<std::byte> bytes;
    Ticket ticket = 0;
  };
  struct Side {
    std::vector<std::byte> region;
    std::unique_ptr<Backup> backup;
    std::deque<Transit> to_backup;
    std::deque<ToPrimary> to_primary;
    std::map<RemoteKey, Bytes> grants;
    std::deque<StorageOp> storing;
    std::map<std::uint64_t, std::vector<std::byte>> frames;  // by segment
    bool up = false;
    Outbox out;
  };
  // What a key may be: after each mutation of it that was executed, the acknowledged ones told apart.
  struct State {
    std::uint64_t version = 0;
    bool exists = false;
    std::string value;
    bool acknowledged = false;
  };

  ReplicationOptions replication() const {
    ReplicationOptions o;
    o.policy = policy_;
    o.factor = 2;
    o.buffers = 12;
    o.retry_ns = 5;
    return o;
  }

  static void add(std::map<std::uint64_t, std::vector<std::byte>>& best, std::uint64_t segment, ConstBytes bytes) {
    const std::size_t valid = walk_certificates(bytes, {kPrimary, SegmentId{segment}, 0}).valid_bytes();
    std::vector<std::byte>& longest = best[segment];
    if (valid > longest.size()) longest.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(valid));
  }

  std::vector<std::byte> make_request() {
    const std::string key = "k" + std::to_string(rng_.below(kKeys));
    const bool removes = rng_.chance(1, 6);
    const std::string value = removes ? "" : std::string(20 + rng_.below(220), static_cast<char>('a' + rng_.below(26)));
    RpcHeader header;
    header.opcode = Opcode::kKeyValue;
    header.id = ++sequence_;
    open_[sequence_] = {key, value, removes};
    KvRequest kv;
    kv.client = 1;
    kv.items = 1;
    kv.acked_below = open_.begin()->first;
    KvItemHeader item;
    item.kind = removes ? KvKind::kRemove : KvKind::kWrite;
    item.key_bytes = static_cast<std::uint16_t>(key.size());
    item.value_bytes = static_cast<std::uint32_t>(value.size());
    item.table = kTable;
    item.sequence = sequence_;
    std::vector<std::byte> bytes(sizeof(header) + sizeof(kv) + sizeof(item));
    store(bytes.data(), header);
    store(bytes.data() + sizeof(header), kv);
    store(bytes.data() + sizeof(header) + sizeof(kv), item);
    bytes.insert(bytes.end(), bytes_of(key).begin(), bytes_of(key).end());
    bytes.insert(bytes.end(), bytes_of(value).begin(), bytes_of(value).end());
    return bytes;
  }

  // An answer tells the version; states are in the order of versions.
  void on_answer(const RpcMessage& message) {
    KvItemAnswer answer;
    ASSERT_TRUE(read_body(message.body, answer));
    const std::uint64_t id = message.header.id;
    if (answer.status == Status::kLogFull) return refused_.push_back(sent_.at(id));
    const Asked asked = open_.at(id);
    open_.erase(id);
    sent_.erase(id);
    ++answered_;
    if (answer.status == Status::kNotFound) return;
    ASSERT_EQ(answer.status, Status::kOk);
    std::vector<State>& states = states_[asked.key];
    states.push_back({answer.version, !asked.removes, asked.value, true});
    for (std::size_t i = states.size() - 1; i > 0 && states[i - 1].version > states[i].version; --i) {
      std::swap(states[i - 1], states[i]);
    }
  }

  // At least the newest acknowledged state; a newer one may be there that was on its way.
  void check(const std::string& key, const std::vector<State>& states, KvStore& store) {
    KvItemHeader item;
    item.key_bytes = static_cast<std::uint16_t>(key.size());
    item.table = kTable;
    Outbox out;
    const ItemResult read = store.execute(0, 0, item, bytes_of(key), {}, key_hash(kTable, bytes_of(key)), out);
    const State& last = states.back();
    const bool is_under_way =
        std::any_of(open_.begin(), open_.end(), [&](const auto& asked) { return asked.second.key == key; });
    if (read.status == Status::kNotFound) {
      ASSERT_TRUE(!last.exists || is_under_way) << key << " is lost: " << master_.describe();
      return;
    }
    const std::string value(reinterpret_cast<const char*>(read.value.data()), read.value.size());
    if (last.exists && read.version == last.version) {
      ASSERT_EQ(value, last.value);
      return;
    }
    ASSERT_GT(read.version, last.version) << key << " is old: " << master_.describe();
    ASSERT_TRUE(std::any_of(open_.begin(), open_.end(), [&](const auto& asked) {
      return asked.second.key == key && !asked.second.removes && asked.second.value == value;
    })) << key;
  }

  template <typename F>
  void backup_turn(std::size_t i, F&& f) {
    Side& side = *sides_[i];
    f(*side.backup, side.out);
    side.backup->advance(side.out);
    for (bool again = true; again;) {
      const std::vector<Op> ops(side.out.ops().begin(), side.out.ops().end());
      for (const StorageOp& op : side.out.storage_ops()) side.storing.push_back(op);
      std::vector<std::vector<std::byte>> heads;
      for (const Op& op : ops) heads.emplace_back(op.head.begin(), op.head.end());
      side.out.clear();
      again = false;
      for (std::size_t k = 0; k < ops.size(); ++k) {
        const Op& op = ops[k];
        again = again || op.kind == OpKind::kGrant || op.kind == OpKind::kWithdraw;
        if (op.kind == OpKind::kGrant) {
          side.grants[++keys_] = op.local;
          side.backup->on_granted(op.channel, op.ticket, keys_, side.out);
        } else if (op.kind == OpKind::kWithdraw) {
          side.grants.erase(op.key);
          side.backup->on_withdrawn(op.channel, op.ticket, side.out);
        } else {
          side.to_primary.push_back({EventKind::kMessage, heads[k], 0});
        }
      }
    }
  }

  void deliver_to_backup(std::size_t i) {
    Side& side = *sides_[i];
    if (side.to_backup.empty()) return;
    const Transit op = side.to_backup.front();
    side.to_backup.pop_front();
    if (op.kind == OpKind::kWrite) {
      const auto grant = side.grants.find(op.key);
      ASSERT_TRUE(grant != side.grants.end() && op.offset + op.bytes.size() <= grant->second.size());
      std::copy(op.bytes.begin(), op.bytes.end(), grant->second.begin() + static_cast<std::ptrdiff_t>(op.offset));
      side.to_primary.push_back({EventKind::kAcked, {}, op.ticket});
      return;
    }
    RpcMessage message;
    ASSERT_TRUE(parse(op.bytes, message));
    backup_turn(
        i, [&](Backup& b, Outbox& out) { b.on_request(static_cast<Channel>(kFirstAccepted + i), 1, message, out); });
  }

  void deliver_to_primary(std::size_t i) {
    Side& side = *sides_[i];
    if (side.to_primary.empty()) return;
    const ToPrimary event = side.to_primary.front();
    side.to_primary.pop_front();
    const auto channel = static_cast<Channel>(kFirst + i);
    if (event.kind == EventKind::kConnected) {
      side.up = true;
      side.backup->on_connected(static_cast<Channel>(kFirstAccepted + i), kPrimary);
      peers_.on_connected(channel);
      master_.replicas().on_connected(channel);
    } else if (event.kind == EventKind::kAcked) {
      master_.replicas().on_acked(channel, event.ticket, now_, out_);
    } else {
      RpcMessage message;
      ASSERT_TRUE(parse(event.bytes, message));
      if (message.header.opcode == Opcode::kBackupLost) FAIL() << "a replica does not verify";
      master_.replicas().on_answer(channel, message, now_, out_);
    }
  }

  void finish_storage(std::size_t i) {
    Side& side = *sides_[i];
    if (side.storing.empty()) return;
    const StorageOp op = side.storing.front();
    side.storing.pop_front();
    const std::uint64_t segment = segment_of_frame(op.frame);
    if (op.kind == StorageOpKind::kFree) {
      side.frames.erase(segment);
      return;
    }
    std::vector<std::byte>& frame = side.frames[segment];
    frame.insert(frame.end(), op.source.begin(), op.source.end());
    const std::uint64_t size = frame.size();
    backup_turn(i, [&](Backup& b, Outbox& out) { b.on_stored(op.frame, size, out); });
  }

  void collect() {
    for (const Op& op : out_.ops()) {
      if (op.channel == kClientChannel) {
        const std::vector<std::byte> bytes(op.head.begin(), op.head.end());
        RpcMessage message;
        ASSERT_TRUE(parse(bytes, message));
        on_answer(message);
        continue;
      }
      Side& side = *sides_[op.channel - kFirst];
      if (op.kind == OpKind::kConnect) {
        side.to_primary.push_back({EventKind::kConnected, {}, 0});
        continue;
      }
      Transit transit{op.kind, {op.head.begin(), op.head.end()}, op.key, op.offset, op.ticket};
      for (const Slice& slice : op.body) transit.bytes.insert(transit.bytes.end(), slice.data, slice.data + slice.size);
      side.to_backup.push_back(std::move(transit));
    }
    out_.clear();
  }

  struct Asked {
    std::string key;
    std::string value;
    bool removes = false;
  };
  Policy policy_;
  Rng rng_;
  LogOptions options_;
  std::vector<std::byte> memory_;
  PeerLinks peers_;
  Master master_;
  std::vector<std::unique_ptr<Side>> sides_;
  std::map<std::uint64_t, Asked> open_;                   // by sequence, which is the request's id, too
  std::map<std::uint64_t, std::vector<std::byte>> sent_;  // of them
  std::deque<std::vector<std::byte>> refused_;            // to be asked for again
  std::map<std::string, std::vector<State>> states_;
  Outbox out_;
  TimeNs now_ = 0;
  RemoteKey keys_ = 100;
  std::uint64_t sequence_ = 0;
  std::uint64_t head_ = 0;
  std::size_t slow_ = 0;
  std::uint64_t crashes_ = 0;
  std::uint64_t answered_ = 0;
};

TEST(CleanerCrash, WhatWasAcknowledgedIsOnTheBackupsAtEveryStep) {
  for (const Policy policy : {Policy::kTailwind, Policy::kRpc}) {
    std::uint64_t cleanings = 0;
    std::uint64_t crashes = 0;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      // given a log of 16 segments under load, and a master that may die at any step
      SCOPED_TRACE(testing::Message() << name(policy) << " seed " << seed);
      Bench bench(policy, seed);
      Cleaner::Phase last = Cleaner::Phase::kIdle;
      for (int i = 0; i < 9000; ++i) {
        bench.step();
        // expect, at each step of a cleaning and now and then between, all that was acknowledged
        const Cleaner::Phase phase = bench.master().cleaner().phase();
        if (phase != last || (phase != Cleaner::Phase::kIdle && i % 4 == 0) || i % 64 == 0) bench.crash();
        last = phase;
        ASSERT_FALSE(HasFatalFailure());
      }
      EXPECT_GT(bench.answered(), 500u);
      cleanings += bench.master().cleaner().cleanings();
      crashes += bench.crashes();
    }
    EXPECT_GT(cleanings, 20u);
    EXPECT_GT(crashes, 2000u);
  }
}

}  // namespace
}  // namespace slipstream
