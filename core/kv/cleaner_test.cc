// The cleaner under random work, against a model: every read right, what it counts as live equal to what is, and after
// a crash at any turn the same objects, versions and answers from the segments that the digest names. Backups are
// played by the test: what was sealed at the end of a turn is on them.
#include "core/kv/cleaner.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/log/certificate_walk.h"
#include "core/rpc/completion_table.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kTable = 3;
constexpr NodeId kSelf{1};
constexpr std::uint32_t kClients = 3;

ConstBytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string text_of(ConstBytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

TabletMap all_ours() { return TabletMap({{kTable, 0, ~std::uint64_t{0}, kSelf}}); }

struct Known {
  bool exists = false;
  std::string value;
  std::uint64_t version = 0;
};
struct Done {
  KvItemHeader item;
  std::string key;
  std::string value;
  ItemResult result;
};

ReplicationOptions no_replication() {
  ReplicationOptions options;
  options.policy = Policy::kNone;
  return options;
}

class Bench {
 public:
  Bench(const LogOptions& options, std::uint64_t seed)
      : options_(options),
        rng_(seed, "cleaner-test"),
        memory_(options.memory_bytes),
        log_(options, kSelf, Region{0, memory_}),
        store_(log_, kSelf),
        replicas_(no_replication(), kSelf, log_, peers_, seed),
        cleaner_(options, log_, store_, replicas_) {
    store_.set_tablets(all_ours());
  }

  // An operation of a random client; turns pass while there is no room for it. False: there never is.
  bool run(KvKind kind, const std::string& key, const std::string& value, std::uint64_t argument = kAnyVersion) {
    const auto client = static_cast<std::uint32_t>(rng_.below(kClients));
    Done done;
    done.item.kind = kind;
    done.item.key_bytes = static_cast<std::uint16_t>(key.size());
    done.item.value_bytes = static_cast<std::uint32_t>(value.size());
    done.item.table = kTable;
    done.item.argument = argument;
    done.item.sequence = is_mutation(kind) ? ++sequence_[client] : 0;
    done.key = key;
    done.value = value;
    for (;;) {
      done.result = store_.execute(client, acked_below_[client], done.item, bytes_of(key), bytes_of(value),
                                   key_hash(kTable, bytes_of(key)), out_);
      if (done.result.status != Status::kLogFull) break;
      ++refused_;
      turn(true);
      if (cleaner_.is_stuck()) return false;
    }
    check(done);
    done.result.value = {};
    if (!is_mutation(kind)) return true;
    history_[client].push_back(done);
    // The client keeps some answers back.
    if (rng_.chance(1, 8)) {
      const std::uint64_t open = rng_.below(std::min<std::uint64_t>(sequence_[client], 30));
      acked_below_[client] = std::max(acked_below_[client], sequence_[client] - open);
    }
    return true;
  }

  void turn(bool starved = false) {
    ++turns_;
    log_.seal(out_);
    replicas_.advance(0, out_);
    write_replicas();
    cleaner_.advance(starved, out_);
    log_.seal(out_);
    out_.clear();
    write_replicas();
    if (check_every_ != 0 && turns_ % check_every_ == 0) crash();
  }

  // The counters of live bytes, slot by slot and part by part, against the objects that there are.
  void check_counters() {
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> live;
    for (const auto& [key, known] : model_) {
      if (!known.exists) continue;
      const ItemResult read = peek(store_, key);
      ASSERT_EQ(read.status, Status::kOk);
      const std::size_t bytes = kEntryHeaderBytes + sizeof(ObjectHeader) + key.size() + known.value.size();
      live[{slot_of(read.seen), log_.segment_at(read.seen)}] += bytes;
    }
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> counted;
    for (std::uint32_t i = 0; i < log_.slots(); ++i) {
      const Segment& segment = log_.slot(i);
      if (segment.use == SegmentUse::kFree) continue;
      if (segment.usage.live > 0) counted[{i, index(segment.identity.segment)}] += segment.usage.live;
      for (const Part& part : segment.parts) {
        if (part.usage.live > 0) counted[{i, part.segment}] += part.usage.live;
      }
    }
    ASSERT_EQ(live, counted);
  }

  // A fresh store takes what the newest digest names, in any order: it holds the same, and gives the same answers.
  void crash() {
    ASSERT_FALSE(disk_.empty());
    const std::vector<std::uint64_t> named = digest_of(head_);
    std::vector<std::byte> memory(2 * options_.memory_bytes + 64 * options_.segment_bytes);
    const LogOptions fresh{options_.segment_bytes, memory.size(), false};
    Log log(fresh, kSelf, Region{0, memory});
    KvStore store(log, kSelf);
    store.set_tablets(all_ours());
    SideLog side(log);
    KvStore::Removed removed;
    Outbox out;
    std::vector<std::uint64_t> order = named;
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng_.below(i)]);
    for (const std::uint64_t segment : order) {
      ASSERT_FALSE(disk_.at(segment).empty())
          << "segment " << segment << " is named by " << head_ << ", and is nowhere";
      for_each_entry(disk_[segment], [&](EntryType type, ConstBytes contents, std::size_t) {
        ASSERT_EQ(store.replay(type, contents, removed, side, out), KvStore::Replayed::kDone);
      });
    }
    std::size_t objects = 0;
    for (const auto& [key, known] : model_) {
      const ItemResult read = peek(store, key);
      ASSERT_EQ(read.status, known.exists ? Status::kOk : Status::kNotFound) << key << " " << cleaner_.describe();
      if (!known.exists) continue;
      ASSERT_EQ(text_of(read.value), known.value);
      ASSERT_EQ(read.version, known.version);
      ++objects;
    }
    ASSERT_EQ(store.objects(), objects);
    ASSERT_GE(log.safe_version(), safe_version_);
    check_answers(store, out);
    ++crashes_;
  }

  // The part of the memory that live objects take.
  double use() const { return static_cast<double>(live_) / static_cast<double>(options_.memory_bytes); }
  std::uint64_t written() const { return written_; }
  Rng& rng() { return rng_; }
  Log& log() { return log_; }
  KvStore& store() { return store_; }
  const Cleaner& cleaner() const { return cleaner_; }
  std::map<std::string, Known>& model() { return model_; }
  void check_every(std::uint64_t turns) { check_every_ = turns; }
  std::uint64_t crashes() const { return crashes_; }
  std::uint64_t copied() const { return out_.ledger().get(out_.role(), Work::kCleanedBytes); }
  std::uint64_t refused() const { return refused_; }

 private:
  static ItemResult peek(KvStore& store, const std::string& key) {
    KvItemHeader item;
    item.key_bytes = static_cast<std::uint16_t>(key.size());
    item.table = kTable;
    Outbox out;
    return store.execute(0, 0, item, bytes_of(key), {}, key_hash(kTable, bytes_of(key)), out);
  }

  static std::size_t size_of(const std::string& key, const Known& known) {
    return known.exists ? kEntryHeaderBytes + sizeof(ObjectHeader) + key.size() + known.value.size() : 0;
  }

  void check(const Done& done) {
    Known& known = model_[done.key];
    const ItemResult& result = done.result;
    const std::size_t before = size_of(done.key, known);
    switch (done.item.kind) {
      case KvKind::kRead:
        ASSERT_EQ(result.status, known.exists ? Status::kOk : Status::kNotFound);
        if (known.exists) {
          ASSERT_EQ(text_of(result.value), known.value);
          ASSERT_EQ(result.version, known.version);
        }
        return;
      case KvKind::kWrite:
        if (result.status != Status::kOk) return;
        ASSERT_GT(result.version, known.version);
        known = {true, done.value, result.version};
        break;
      case KvKind::kIncrement: {
        const std::uint64_t old = known.exists ? load<std::uint64_t>(bytes_of(known.value).data()) : 0;
        ASSERT_EQ(result.counter, old + done.item.argument);
        ASSERT_GT(result.version, known.version);
        std::string value(sizeof(std::uint64_t), char{0});
        std::memcpy(value.data(), &result.counter, sizeof(result.counter));
        known = {true, value, result.version};
        break;
      }
      case KvKind::kRemove:
        ASSERT_EQ(result.status, known.exists ? Status::kOk : Status::kNotFound);
        if (!known.exists) return;
        ASSERT_GT(result.version, known.version);
        known = {false, {}, result.version};
        safe_version_ = std::max(safe_version_, result.version);
        break;
    }
    live_ += size_of(done.key, known) - before;
    written_ += size_of(done.key, known);
  }

  // No mutation is executed again, and who may still ask gets the first answer.
  void check_answers(KvStore& store, Outbox& out) {
    for (auto& [client, history] : history_) {
      const std::size_t from = history.size() > 100 ? history.size() - 100 : 0;
      for (std::size_t i = from; i < history.size(); ++i) {
        const Done& done = history[i];
        const ItemResult again = store.execute(client, 1, done.item, bytes_of(done.key), bytes_of(done.value),
                                               key_hash(kTable, bytes_of(done.key)), out);
        ASSERT_TRUE(again.drop || (again.status == done.result.status && again.version == done.result.version &&
                                   again.counter == done.result.counter))
            << done.item.sequence;
        if (done.item.sequence >= acked_below_[client]) {
          ASSERT_FALSE(again.drop) << done.item.sequence;
        }
      }
    }
  }

  // Replicas are freed when the cleaner has come to the end of a cleaning.
  void write_replicas() {
    for (std::uint32_t i = 0; i < log_.slots(); ++i) {
      const Segment& segment = log_.slot(i);
      if (segment.use == SegmentUse::kFree || segment.use == SegmentUse::kCompacted) continue;
      const std::uint64_t id = index(segment.identity.segment);
      if (id >= disk_.size()) disk_.resize(id + 1);
      std::vector<std::byte>& replica = disk_[id];
      if (replica.size() == segment.sealed) continue;
      replica.insert(replica.end(), segment.memory.begin() + static_cast<std::ptrdiff_t>(replica.size()),
                     segment.memory.begin() + segment.sealed);
    }
    head_ = index(log_.head().identity.segment);
    if (cleanings_ == cleaner_.cleanings()) return;
    cleanings_ = cleaner_.cleanings();
    std::set<std::uint64_t> there;
    for (const std::uint32_t i : log_.segments()) there.insert(index(log_.slot(i).identity.segment));
    for (const Detached& segment : log_.detached()) there.insert(segment.segment);
    for (std::size_t id = 0; id < disk_.size(); ++id) {
      if (!there.contains(id)) disk_[id].clear();
    }
  }

  std::vector<std::uint64_t> digest_of(std::uint64_t head) const {
    std::vector<std::uint64_t> named;
    for_each_entry(disk_.at(head), [&](EntryType type, ConstBytes contents, std::size_t) {
      if (type != EntryType::kDigest) return;
      for (std::size_t at = 0; at < contents.size(); at += sizeof(std::uint64_t)) {
        named.push_back(load<std::uint64_t>(contents.data() + at));
      }
    });
    return named;
  }

  LogOptions options_;
  Rng rng_;
  std::vector<std::byte> memory_;
  Log log_;
  KvStore store_;
  PeerLinks peers_{kSelf, 2, kMillisecond};
  ReplicaManager replicas_;
  Cleaner cleaner_;
  Outbox out_;
  std::map<std::string, Known> model_;
  std::map<std::uint32_t, std::vector<Done>> history_;
  std::map<std::uint32_t, std::uint64_t> sequence_;
  std::map<std::uint32_t, std::uint64_t> acked_below_{{0, 1}, {1, 1}, {2, 1}};
  std::vector<std::vector<std::byte>> disk_;  // replicas, by segment
  std::uint64_t cleanings_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t safe_version_ = 0;
  std::uint64_t live_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t turns_ = 0;
  std::uint64_t check_every_ = 0;
  std::uint64_t crashes_ = 0;
  std::uint64_t refused_ = 0;
};

struct Mix {
  double use = 0.5;           // of memory, by live objects
  std::uint64_t removes = 0;  // per cent; a removed key is written again later
  std::uint64_t increments = 0;
  std::uint64_t skewed = 0;  // per cent of the writes that go to a tenth of the keys
};

std::string key_of(std::uint64_t n) { return "key-" + std::to_string(n); }
// Every key has its own length of value.
std::string value_of(std::uint64_t n, std::uint64_t salt) {
  return std::string(20 + n * 37 % 180, static_cast<char>('a' + salt % 26));
}

// Fills the memory as far as the mix says, then overwrites until `written` times the memory has been written.
void work(Bench& bench, const Mix& mix, double written) {
  std::uint64_t keys = 0;
  const std::uint64_t counters = mix.increments > 0 ? 50 : 0;
  while (bench.use() < mix.use) {
    ASSERT_TRUE(bench.run(KvKind::kWrite, key_of(keys), value_of(keys, keys))) << bench.cleaner().describe();
    ++keys;
    if (keys % 8 == 0) bench.turn();
  }
  Rng& rng = bench.rng();
  const auto enough =
      static_cast<std::uint64_t>(written * static_cast<double>(bench.log().slots() * bench.log().segment_bytes()));
  while (bench.written() < enough && !testing::Test::HasFatalFailure()) {
    for (std::uint64_t n = 1 + rng.below(8); n > 0; --n) {
      const std::uint64_t what = rng.below(100);
      const std::uint64_t n_key = rng.below(100) < mix.skewed ? rng.below(keys / 10) : rng.below(keys);
      const std::string key = key_of(n_key);
      if (what < mix.removes) {
        ASSERT_TRUE(bench.run(KvKind::kRemove, key, "")) << bench.cleaner().describe();
      } else if (what < mix.removes + mix.increments) {
        ASSERT_TRUE(
            bench.run(KvKind::kIncrement, "counter" + std::to_string(rng.below(counters)), "", 1 + rng.below(9)));
      } else if (rng.chance(1, 4)) {
        ASSERT_TRUE(bench.run(KvKind::kRead, key, ""));
      } else {
        ASSERT_TRUE(bench.run(KvKind::kWrite, key, value_of(n_key, rng.below(26)))) << bench.cleaner().describe();
      }
    }
    bench.turn();
  }
}

LogOptions small_log(std::uint32_t slots = 64, std::size_t segment = 8 * kKiB, std::uint32_t expansion = 200) {
  return {segment, slots * segment, true, expansion};
}

TEST(Cleaner, EveryReadIsRightAtAnyUseOfMemory) {
  for (const double use : {0.5, 0.8, 0.9}) {
    for (const std::uint32_t expansion : {100, 150, 200, 400}) {
      // given uniform overwrites of four times the memory, with removes and increments
      SCOPED_TRACE(testing::Message() << "use " << use << " expansion " << expansion);
      Bench bench(small_log(96, 8 * kKiB, expansion), 1);
      work(bench, {use, 5, 10, 0}, 3);
      ASSERT_FALSE(HasFatalFailure());
      // expect a log that was cleaned, on both levels unless there is but one, and counters that are exact
      EXPECT_GT(bench.cleaner().cleanings(), 2u);
      if (expansion > 100) {
        EXPECT_GT(bench.cleaner().compactions(), 10u);
      }
      bench.check_counters();
      bench.crash();
    }
  }
}

TEST(Cleaner, ACrashAtAnyTurnLosesNothing) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    // given a log of which every turn may be the last
    SCOPED_TRACE(seed);
    const auto expansion = static_cast<std::uint32_t>(100 + 50 * (seed % 4));
    Bench bench(small_log(24, 4 * kKiB + 4 * kKiB * (seed % 2), expansion), 100 + seed);
    bench.check_every(1);
    work(bench, {0.3 + 0.15 * static_cast<double>(seed % 3), 15, 10, seed % 2 * 80}, 3);
    // expect all objects, versions and answers each time
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_GT(bench.cleaner().cleanings(), 2u) << bench.cleaner().describe();
    EXPECT_GT(bench.crashes(), 100u);
    bench.check_counters();
  }
}

TEST(CompletionTable, WhatAnAbandonedReplayBroughtIsNotAnswered) {
  // given a record that was replayed for a recovery that is given up: its object is not here
  CompletionTable table;
  CompletionTable::Client& client = table.client(1);
  ASSERT_TRUE(client.replay(5, 2, {Status::kOk, 86, 68}));
  client.set_place(5, 77);
  MutationResult result;
  ASSERT_EQ(client.look_up(5, 2, result), CompletionTable::Verdict::kRepeat);
  client.forget(5);
  // expect a repeat to be executed, and the next recovery's record to count
  EXPECT_EQ(client.look_up(5, 2, result), CompletionTable::Verdict::kNew);
  EXPECT_TRUE(client.replay(5, 2, {Status::kOk, 9, 7}));
  EXPECT_EQ(client.look_up(5, 2, result), CompletionTable::Verdict::kRepeat);
  EXPECT_EQ(result.version, 9u);
}

}  // namespace
}  // namespace slipstream
