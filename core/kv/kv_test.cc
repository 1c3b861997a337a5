// Two masters and a client, joined by hand: messages may be lost, doubled and delayed at will, tablets may move between
// answers. Every mutation takes effect exactly once, and every answer is true.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/kv/kv_client.h"
#include "core/kv/master.h"
#include "core/log/certificate_walk.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kTable = 3;

ConstBytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string text_of(ConstBytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// A store with a log of its own, without a network.
struct StoreFixture {
  StoreFixture()
      : memory(4 * kMiB), log({64 * kKiB, memory.size()}, NodeId{1}, Region{0, memory}), store(log, NodeId{1}) {
    store.set_tablets(TabletMap({{kTable, 0, ~std::uint64_t{0}, NodeId{1}}}));
  }
  ItemResult run(KvKind kind, const std::string& key, const std::string& value = "",
                 std::uint64_t argument = kAnyVersion, std::uint64_t repeat_of = 0) {
    KvItemHeader item;
    item.kind = kind;
    item.key_bytes = static_cast<std::uint16_t>(key.size());
    item.value_bytes = static_cast<std::uint32_t>(value.size());
    item.table = kTable;
    item.argument = argument;
    item.sequence = is_mutation(kind) ? (repeat_of != 0 ? repeat_of : ++sequence) : 0;
    return store.execute(1, acked_below, item, bytes_of(key), bytes_of(value), key_hash(kTable, bytes_of(key)), out);
  }
  std::vector<std::byte> memory;
  Log log;
  KvStore store;
  Outbox out;
  std::uint64_t sequence = 0;
  std::uint64_t acked_below = 1;
};

TEST(KvStore, ReadsWritesConditionsRemoves) {
  StoreFixture f;
  // given a new object
  EXPECT_EQ(f.run(KvKind::kRead, "a").status, Status::kNotFound);
  const ItemResult first = f.run(KvKind::kWrite, "a", "one", 0);
  EXPECT_EQ(first.status, Status::kOk);
  EXPECT_EQ(text_of(f.run(KvKind::kRead, "a").value), "one");
  // expect conditions to hold: "must not exist", another version, the right version
  EXPECT_EQ(f.run(KvKind::kWrite, "a", "x", 0).status, Status::kVersionMismatch);
  const ItemResult mismatch = f.run(KvKind::kWrite, "a", "x", first.version + 7);
  EXPECT_EQ(mismatch.status, Status::kVersionMismatch);
  EXPECT_EQ(mismatch.version, first.version);
  const ItemResult second = f.run(KvKind::kWrite, "a", "two", first.version);
  EXPECT_GT(second.version, first.version);
  EXPECT_EQ(f.run(KvKind::kRemove, "a", "", first.version).status, Status::kVersionMismatch);
  const ItemResult removed = f.run(KvKind::kRemove, "a");
  EXPECT_EQ(removed.status, Status::kOk);
  EXPECT_EQ(f.run(KvKind::kRead, "a").status, Status::kNotFound);
  EXPECT_EQ(f.run(KvKind::kRemove, "a").status, Status::kNotFound);
  // and versions to rise across the removal
  EXPECT_GT(f.run(KvKind::kWrite, "a", "three").version, removed.version);
}

TEST(KvStore, IncrementsCountFromZeroAndRefuseOtherValues) {
  StoreFixture f;
  EXPECT_EQ(f.run(KvKind::kIncrement, "n", "", 5).counter, 5u);
  EXPECT_EQ(f.run(KvKind::kIncrement, "n", "", ~std::uint64_t{0}).counter, 4u);
  EXPECT_EQ(f.run(KvKind::kWrite, "s", "text").status, Status::kOk);
  EXPECT_EQ(f.run(KvKind::kIncrement, "s", "", 1).status, Status::kNotANumber);
  EXPECT_EQ(text_of(f.run(KvKind::kRead, "s").value), "text");
}

TEST(KvStore, ARepeatAnswersTheSameAndDoesNothing) {
  StoreFixture f;
  const ItemResult once = f.run(KvKind::kIncrement, "n", "", 5);
  const std::uint64_t sequence = f.sequence;
  const ItemResult failed = f.run(KvKind::kWrite, "n", "x", 0);
  const std::uint64_t failed_sequence = f.sequence;
  const LogPosition position = f.log.appended_position();
  // given the same requests again, expect the first answers, and nothing new in the log
  const ItemResult again = f.run(KvKind::kIncrement, "n", "", 5, sequence);
  EXPECT_EQ(again.counter, once.counter);
  EXPECT_EQ(again.version, once.version);
  EXPECT_EQ(f.run(KvKind::kWrite, "n", "x", 0, failed_sequence).status, failed.status);
  EXPECT_EQ(f.log.appended_position(), position);
  // and once the client has said that it knows the answer, nothing at all
  f.acked_below = failed_sequence + 1;
  EXPECT_TRUE(f.run(KvKind::kIncrement, "n", "", 5, sequence).drop);
  EXPECT_EQ(f.log.appended_position(), position);
}

TEST(KvStore, ASequenceBeyondTheWindowIsRefused) {
  StoreFixture f;
  EXPECT_EQ(f.run(KvKind::kWrite, "a", "x", kAnyVersion, kMutationWindow).status, Status::kOk);
  EXPECT_EQ(f.run(KvKind::kWrite, "a", "x", kAnyVersion, kMutationWindow + 1).status, Status::kBadRequest);
}

TEST(KvStore, AgreesWithAModelOverManyKeysAndGrowth) {
  StoreFixture f;
  Rng rng(1, "store-model");
  std::map<std::string, std::pair<std::string, std::uint64_t>> model;
  for (int i = 0; i < 15000; ++i) {
    const std::string key = "key" + std::to_string(rng.below(4000));
    const auto known = model.find(key);
    f.acked_below = f.sequence + 1;
    const std::uint64_t what = rng.below(10);
    if (what < 4) {
      const ItemResult read = f.run(KvKind::kRead, key);
      ASSERT_EQ(read.status, known == model.end() ? Status::kNotFound : Status::kOk);
      if (known != model.end()) {
        ASSERT_EQ(text_of(read.value), known->second.first);
        ASSERT_EQ(read.version, known->second.second);
      }
    } else if (what < 9) {
      const std::string value(rng.below(60), static_cast<char>('a' + rng.below(26)));
      const ItemResult write = f.run(KvKind::kWrite, key, value);
      ASSERT_EQ(write.status, Status::kOk);
      model[key] = {value, write.version};
    } else {
      const ItemResult remove = f.run(KvKind::kRemove, key);
      ASSERT_EQ(remove.status, known == model.end() ? Status::kNotFound : Status::kOk);
      model.erase(key);
    }
    ASSERT_EQ(f.store.objects(), model.size());
  }
}

TEST(KvStore, ObjectAndCompletionRecordShareABatch) {
  StoreFixture f;
  Rng rng(2, "batches");
  for (int i = 0; i < 400; ++i) {
    f.acked_below = f.sequence + 1;
    f.run(rng.chance(1, 4) ? KvKind::kRemove : KvKind::kWrite, "k" + std::to_string(rng.below(20)), "value");
    if (rng.chance(1, 3)) f.log.seal(f.out);
  }
  f.log.seal(f.out);
  // expect, in what is certified, a completion record right behind every object and tombstone
  const Segment& segment = f.log.slot(0);
  const ConstBytes valid = segment.memory.first(walk_certificates(segment.memory, segment.identity).valid_bytes());
  EntryType last = EntryType::kSegmentHeader;
  int pairs = 0;
  for_each_entry(valid, [&](EntryType type, ConstBytes, std::size_t) {
    if (last == EntryType::kObject || last == EntryType::kTombstone) {
      EXPECT_EQ(type, EntryType::kCompletion);
      ++pairs;
    }
    last = type;
  });
  EXPECT_GT(pairs, 100);
}

// Client and masters (policy none) with a network that loses, doubles and delays.
class Lossy {
 public:
  Lossy(std::uint64_t seed, std::uint64_t lose, std::uint64_t twice)
      : rng_(seed, "lossy"),
        lose_(lose),
        twice_(twice),
        client_({.client_id = 9, .max_operations = 16, .timeout_ns = 50}, 10) {
    ReplicationOptions replication;
    replication.policy = Policy::kNone;
    for (std::uint16_t i = 0; i < 2; ++i) {
      memory_.emplace_back(4 * kMiB);
      masters_.push_back(std::make_unique<Master>(LogOptions{64 * kKiB, 4 * kMiB}, replication, NodeId(i), seed,
                                                  Region{0, memory_.back()}, peers_));
    }
    set_tablets(split_evenly(kTable, std::vector<NodeId>{NodeId{0}, NodeId{1}}), true);
    client_.on_connected(10, 0, out_);
    client_.on_connected(11, 0, out_);
    out_.clear();
  }
  // `tell`: also the client.
  void set_tablets(std::vector<Tablet> tablets, bool tell) {
    for (auto& master : masters_) master->store().set_tablets(TabletMap(tablets));
    latest_ = tablets;
    if (tell) client_.set_tablets(TabletMap(std::move(tablets)), now_, out_);
  }
  void submit(std::uint64_t cookie, std::span<const KvItem> items) {
    client_.submit(cookie, items, now_, out_);
    collect_client();
  }
  // Delivers or loses one message in transit, or lets time pass; returns true when an operation completed.
  bool step() {
    ++now_;
    client_.advance(now_, out_);
    collect_client();
    if (client_.needs_tablets(now_)) client_.set_tablets(TabletMap(latest_), now_, out_);
    if (transit_.empty()) return false;
    const std::size_t i = rng_.below(transit_.size());
    const Transit message = transit_[i];
    if (!rng_.chance(twice_, 100)) transit_.erase(transit_.begin() + static_cast<std::ptrdiff_t>(i));
    if (rng_.chance(lose_, 100)) return false;
    return message.to_server ? serve(message) : answer(message);
  }

  KvClient& client() { return client_; }
  Rng& rng() { return rng_; }
  std::size_t objects() const { return masters_[0]->store().objects() + masters_[1]->store().objects(); }

 private:
  struct Transit {
    bool to_server = false;
    std::uint16_t server = 0;
    std::vector<std::byte> bytes;
  };
  void collect_client() {
    for (const Op& op : out_.ops()) {
      if (op.kind == OpKind::kSend) {
        transit_.push_back({true, static_cast<std::uint16_t>(op.channel - 10), {op.head.begin(), op.head.end()}});
      }
    }
    out_.clear();
  }
  bool serve(const Transit& message) {
    Master::Request request{kFirstAccepted, 1, {}, 0};
    EXPECT_TRUE(parse(message.bytes, request.message));
    masters_[message.server]->execute(std::span(&request, 1), server_out_);
    masters_[message.server]->advance(now_, server_out_);
    for (const Op& op : server_out_.ops())
      transit_.push_back({false, message.server, {op.head.begin(), op.head.end()}});
    server_out_.clear();
    return false;
  }
  bool answer(const Transit& message) {
    held_ = message.bytes;  // results are views of it
    RpcMessage rpc;
    EXPECT_TRUE(parse(held_, rpc));
    return client_.on_answer(static_cast<Channel>(10 + message.server), rpc, now_, out_);
  }

  Rng rng_;
  std::uint64_t lose_;
  std::uint64_t twice_;
  std::vector<std::vector<std::byte>> memory_;
  PeerLinks peers_{NodeId{0}, 2, kMillisecond};  // of policy none: never used
  std::vector<std::unique_ptr<Master>> masters_;
  std::vector<Tablet> latest_;
  KvClient client_;
  Outbox out_;
  Outbox server_out_;
  std::vector<Transit> transit_;
  std::vector<std::byte> held_;
  TimeNs now_ = 0;
};

TEST(ExactlyOnce, IncrementsUnderLossDuplicationAndDelay) {
  std::uint64_t retries = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Lossy net(seed, 20, 20);
    std::map<std::string, std::vector<std::uint64_t>> seen;
    std::map<std::uint64_t, std::string> open;
    int submitted = 0;
    int completed = 0;
    while (completed < 300) {
      if (submitted < 300 && net.client().can_submit()) {
        const std::string key = "counter" + std::to_string(net.rng().below(5));
        const KvItem item{KvKind::kIncrement, kTable, bytes_of(key), {}, 1};
        open[static_cast<std::uint64_t>(submitted)] = key;
        net.submit(static_cast<std::uint64_t>(submitted++), std::span(&item, 1));
      }
      if (!net.step()) continue;
      ASSERT_EQ(net.client().results()[0].status, Status::kOk);
      seen[open.at(net.client().cookie())].push_back(load<std::uint64_t>(net.client().results()[0].value.data()));
      open.erase(net.client().cookie());
      ++completed;
    }
    // expect each counter to have taken each value from 1 to its number of increments exactly once
    for (auto& [key, values] : seen) {
      std::sort(values.begin(), values.end());
      for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], i + 1) << key << " seed " << seed;
    }
    retries += net.client().retries();
  }
  EXPECT_GT(retries, 100u);
}

TEST(KvClient, MultiOperationsAreSplitOverServersAndComeBackInOrder) {
  Lossy net(7, 15, 15);
  std::vector<std::string> keys;
  std::vector<std::string> values;
  for (int i = 0; i < 40; ++i) {
    keys.push_back("multi" + std::to_string(i));
    values.push_back("value of " + std::to_string(i));
  }
  std::vector<KvItem> items;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    items.push_back({KvKind::kWrite, kTable, bytes_of(keys[i]), bytes_of(values[i]), kAnyVersion});
  }
  // given a multi-write of keys on both servers, then a multi-read of the same and one absent key
  net.submit(1, items);
  while (!net.step()) {
  }
  EXPECT_EQ(net.client().results().size(), keys.size());
  EXPECT_EQ(net.objects(), keys.size());
  for (KvItem& item : items) item = {KvKind::kRead, kTable, item.key, {}, kAnyVersion};
  const std::string absent = "absent";
  items[3].key = bytes_of(absent);
  net.submit(2, items);
  while (!net.step()) {
  }
  // expect one result for each item, in the order of the items
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const KvResult& result = net.client().results()[i];
    EXPECT_EQ(result.status, i == 3 ? Status::kNotFound : Status::kOk);
    if (i != 3) {
      EXPECT_EQ(text_of(result.value), values[i]);
    }
  }
}

TEST(KvClient, AWrongServerIsCorrectedByTheMap) {
  Lossy net(8, 0, 0);
  // given tablets that changed places before anything was written, and a client that was not told
  net.set_tablets(split_evenly(kTable, std::vector<NodeId>{NodeId{1}, NodeId{0}}), false);
  const std::vector<std::string> keys{"a", "b", "c", "d", "e", "f"};
  std::vector<KvItem> items;
  for (const std::string& key : keys) items.push_back({KvKind::kIncrement, kTable, bytes_of(key), {}, 2});
  net.submit(1, items);
  for (int i = 0; i < 1000 && !net.step(); ++i) {
  }
  // expect the whole operation to complete, each item executed once
  ASSERT_EQ(net.client().results().size(), keys.size());
  for (const KvResult& result : net.client().results()) {
    ASSERT_EQ(result.status, Status::kOk);
    EXPECT_EQ(load<std::uint64_t>(result.value.data()), 2u);
  }
}

TEST(KvClient, AnAnswerThatIsTooLongComesInPieces) {
  Lossy net(9, 5, 5);
  // given 60 objects of 50 KB, three times what an answer can hold
  std::vector<std::string> keys;
  std::vector<std::string> values;
  for (int i = 0; i < 60; ++i) {
    keys.push_back("large" + std::to_string(i));
    values.emplace_back(50000, static_cast<char>('a' + i % 26));
    const KvItem write{KvKind::kWrite, kTable, bytes_of(keys.back()), bytes_of(values.back()), kAnyVersion};
    net.submit(1, std::span(&write, 1));
    while (!net.step()) {
    }
    ASSERT_EQ(net.client().results()[0].status, Status::kOk);
  }
  std::vector<KvItem> items;
  for (const std::string& key : keys) items.push_back({KvKind::kRead, kTable, bytes_of(key), {}, kAnyVersion});
  net.submit(2, items);
  while (!net.step()) {
  }
  // expect all values all the same, each with its item
  ASSERT_EQ(net.client().results().size(), keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(text_of(net.client().results()[i].value), values[i]) << i;
}

TEST(Master, MalformedRequestsAreRefusedWhole) {
  ReplicationOptions replication;
  replication.policy = Policy::kNone;
  std::vector<std::byte> memory(4 * kMiB);
  PeerLinks peers(NodeId{1}, 2, kMillisecond);
  Master master({64 * kKiB, memory.size()}, replication, NodeId{1}, 1, Region{0, memory}, peers);
  master.store().set_tablets(TabletMap({{kTable, 0, ~std::uint64_t{0}, NodeId{1}}}));
  Rng rng(3, "garbage");
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    // given a request of random bytes, or one that promises more than it holds
    std::vector<std::byte> bytes(sizeof(RpcHeader) + rng.below(120));
    for (auto& b : bytes) b = static_cast<std::byte>(rng.chance(1, 2) ? 0 : rng.next());
    Master::Request request{kFirstAccepted, 1, {}, 0};
    ASSERT_TRUE(parse(bytes, request.message));
    Outbox out;
    master.execute(std::span(&request, 1), out);
    master.advance(0, out);
    // expect one answer at the most, never a crash, and nothing done where the request is refused
    EXPECT_LE(out.ops().size(), 1u);
    RpcMessage answer;
    if (!out.ops().empty() && parse(out.ops()[0].head, answer) && answer.header.status == Status::kBadRequest) {
      ++refused;
      EXPECT_EQ(out.ledger().get(out.role(), Work::kMutation) + out.ledger().get(out.role(), Work::kRead), 0u);
    }
  }
  EXPECT_GT(refused, 500);
}

void expect_exactly(HashIndex& index, const std::map<EntryRef, KeyHash>& model, EntryRef up_to) {
  EXPECT_EQ(index.size(), model.size());
  for (EntryRef ref = 1; ref <= up_to; ++ref) {
    const auto known = model.find(ref);
    const KeyHash hash = known == model.end() ? 0 : known->second;
    const bool found = index.find(hash, [ref](EntryRef r) { return r == ref; }) != nullptr;
    EXPECT_EQ(found, known != model.end());
  }
}

TEST(HashIndex, FindsWhatItHoldsThroughGrowthAndCollisions) {
  HashIndex index(4);
  std::map<EntryRef, KeyHash> model;
  Rng rng(5, "index");
  for (EntryRef ref = 1; ref <= 3000; ++ref) {
    // given hashes that collide in bucket and tag often
    const KeyHash hash = rng.chance(1, 2) ? rng.next() : rng.below(4) << 40 | rng.below(4);
    index.insert(hash, ref, [&](EntryRef r) { return model.at(r); });
    model[ref] = hash;
    if (rng.chance(1, 3)) {
      const EntryRef victim = 1 + rng.below(ref);
      const auto known = model.find(victim);
      if (known != model.end()) {
        index.erase(index.find(known->second, [victim](EntryRef r) { return r == victim; }));
        model.erase(known);
      }
    }
  }
  // expect exactly what was not erased
  expect_exactly(index, model, 3000);
}

TEST(HashIndex, IsWholeAtEveryMomentOfItsGrowth) {
  HashIndex index(300);
  std::map<EntryRef, KeyHash> model;
  Rng rng(6, "index");
  for (EntryRef ref = 1; ref <= 2000; ++ref) {
    index.insert(model[ref] = rng.next(), ref, [&](EntryRef r) { return model.at(r); });
    if (ref % 16 != 0) continue;
    expect_exactly(index, model, ref);
    if (ref % 160 != 0) continue;
    // given that a part of all is erased, perhaps while buckets are moved
    const auto is_erased = [](EntryRef r) { return r % 16 == 3; };
    index.erase_if(is_erased);
    std::erase_if(model, [&](const auto& known) { return is_erased(known.first); });
    expect_exactly(index, model, ref);
  }
}

}  // namespace
}  // namespace slipstream
