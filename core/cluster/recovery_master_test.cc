// A recovery master whose sources fail while it replays.
#include "core/cluster/recovery_master.h"

#include <gtest/gtest.h>

#include "core/base/crc32c.h"
#include "core/log/certificate_walk.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kTable = 1;
constexpr std::uint32_t kClient = 9;
constexpr std::size_t kSegment = 4 * kKiB;
constexpr NodeId kSelf{1};
constexpr ServerId kDead{NodeId{2}, 1};
constexpr std::uint64_t kLast = ~std::uint64_t{0};
const std::string kKey = "key";

ConstBytes key() { return std::as_bytes(std::span(kKey)); }

template <typename Header>
std::vector<std::byte> entry(EntryType type, Header header, ConstBytes rest) {
  std::vector<std::byte> contents(sizeof(header));
  store(contents.data(), header);
  contents.insert(contents.end(), rest.begin(), rest.end());
  header.crc = crc32c(0xffffffff, ConstBytes(contents).subspan(sizeof(header.crc)));
  store(contents.data(), header);
  std::vector<std::byte> bytes(kEntryHeaderBytes + contents.size());
  put_entry(bytes.data(), type, contents);
  return bytes;
}

std::vector<std::byte> object(std::uint64_t version, std::uint64_t counter) {
  ObjectHeader header;
  header.key_bytes = static_cast<std::uint16_t>(kKey.size());
  header.table = kTable;
  header.version = version;
  std::vector<std::byte> rest(key().begin(), key().end());
  const auto value = std::as_bytes(std::span(&counter, 1));
  rest.insert(rest.end(), value.begin(), value.end());
  return entry(EntryType::kObject, header, rest);
}

std::vector<std::byte> completion(std::uint64_t sequence, std::uint64_t version, std::uint64_t counter) {
  CompletionRecord record;
  record.client = kClient;
  record.sequence = sequence;
  record.acked_below = 1;
  record.table = kTable;
  record.key_hash = key_hash(kTable, key());
  record.version = version;
  record.counter = counter;
  return entry(EntryType::kCompletion, record, {});
}

// It reads from the backup of its own node, which the test plays, and so is the coordinator.
class Bench {
 public:
  Bench()
      : memory_(16 * kSegment),
        peers_(kSelf, 10, 5),
        master_({kSegment, memory_.size()}, {.policy = Policy::kNone, .factor = 0}, kSelf, 1, Region{0, memory_},
                peers_),
        coordinator_({}, kSelf, NodeId{0}, 1, 3),
        recovery_({}, 1000, kSelf, master_, peers_) {
    const std::vector<NodeId> servers{kSelf, kDead.node};
    peers_.set_servers(servers);
    master_.replicas().start();
    coordinator_.on_connected();
    View view;
    view.servers = {{{kSelf, 1}, true}, {kDead, false}};
    view.dead = {{kDead, 0, true, {{1, 1}}}};
    view.tablets = {{kTable, 0, kLast, kDead, {kSelf, 1}}};
    recovery_.on_view(view, 1, out_);
  }

  // What it asks the backup for, in this turn.
  std::vector<RpcMessage> turn() {
    recovery_.advance(now_ += 500, coordinator_, out_);
    asked_ = std::exchange(recovery_.own_requests(), {});
    std::vector<RpcMessage> messages(asked_.size());
    for (std::size_t i = 0; i < asked_.size(); ++i) EXPECT_TRUE(parse(asked_[i], messages[i]));
    return messages;
  }
  // One segment, of so many bytes.
  void plan(std::uint32_t bytes) {
    std::vector<std::byte> body(sizeof(PlanSegment) + 8);
    store(body.data(), PlanSegment{77, bytes, 1});
    store(body.data() + sizeof(PlanSegment), static_cast<std::uint16_t>(kSelf));
    recovery_.on_plan({about_dead(Opcode::kPlan), body});
  }
  void say_that_the_loss_is_known() { recovery_.on_reported({about_dead(Opcode::kRecovered), {}}, out_); }
  void answer(const RpcMessage& request, const std::vector<std::vector<std::byte>>& entries, std::uint32_t next) {
    std::vector<std::byte> body(sizeof(RecoveryDataAnswer));
    for (const auto& e : entries) body.insert(body.end(), e.begin(), e.end());
    store(body.data(), RecoveryDataAnswer{next, static_cast<std::uint32_t>(body.size() - sizeof(RecoveryDataAnswer))});
    recovery_.on_data(kOwnNode, {request.header, body}, now_, out_);
  }
  void refuse(const RpcMessage& request) {
    RpcHeader header = request.header;
    header.status = Status::kLost;
    recovery_.on_data(kOwnNode, {header, {}}, now_, out_);
  }
  // Once the tablet is its own.
  ItemResult increment(std::uint64_t sequence) {
    master_.store().set_tablets(TabletMap({{kTable, 0, kLast, kSelf}}));
    KvItemHeader item;
    item.kind = KvKind::kIncrement;
    item.key_bytes = static_cast<std::uint16_t>(kKey.size());
    item.table = kTable;
    item.argument = 4;
    item.sequence = sequence;
    return master_.store().execute(kClient, 1, item, key(), {}, key_hash(kTable, key()), out_);
  }

 private:
  static RpcHeader about_dead(Opcode opcode) {
    RpcHeader header;
    header.opcode = opcode;
    header.id = std::uint64_t{index(kDead.node)} << 16 | kDead.life;
    return header;
  }

  std::vector<std::byte> memory_;
  PeerLinks peers_;
  Master master_;
  CoordinatorLink coordinator_;
  RecoveryMaster recovery_;
  std::vector<std::vector<std::byte>> asked_;
  Outbox out_;
  TimeNs now_ = 0;
};

TEST(RecoveryMaster, KeepsNothingOfAPlanWhoseHeadWasLonger) {
  // given a head whose last operation, an increment, was acknowledged by nobody and lies on one replica only; its
  // completion record is replayed, and then the replica is gone
  Bench b;
  b.turn();
  b.plan(500);
  std::vector<RpcMessage> asked = b.turn();
  ASSERT_EQ(asked.size(), 1u);
  b.answer(asked[0], {completion(2, 86, 68)}, 1);
  for (int i = 0; i < 2; ++i) {
    asked = b.turn();
    ASSERT_EQ(asked.size(), 1u);
    b.refuse(asked[0]);
  }
  b.turn();
  b.say_that_the_loss_is_known();
  // when it is told to go by another replica, which ends before that operation
  b.turn();
  b.plan(200);
  asked = b.turn();
  ASSERT_EQ(asked.size(), 1u);
  RecoveryData body;
  ASSERT_TRUE(read_body(asked[0].body, body));
  EXPECT_EQ(body.bytes, 200u);
  EXPECT_EQ(body.cursor, 0u);
  b.answer(asked[0], {completion(1, 81, 64), object(81, 64)}, 0);
  b.turn();
  // expect the increment to be executed when its client asks again, and what was acknowledged not to be
  const ItemResult again = b.increment(1);
  EXPECT_EQ(again.version, 81u);
  EXPECT_EQ(again.counter, 64u);
  const ItemResult executed = b.increment(2);
  EXPECT_EQ(executed.version, 82u);
  EXPECT_EQ(executed.counter, 68u);
}

}  // namespace
}  // namespace slipstream
