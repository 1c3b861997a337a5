// One primary and its backups, joined by hand: every op and every event waits until a seeded scheduler picks it, so any
// legal interleaving can come up. The rules of replica_manager.h are checked at every step.
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/replication/backup.h"
#include "core/replication/replica_manager.h"

namespace slipstream {
namespace {

constexpr std::size_t kSegment = 4096;
constexpr Channel kFirst = 10;
constexpr NodeId kPrimary{1};

struct Scenario {
  Policy policy = Policy::kTailwind;
  std::uint16_t factor = 2;
  std::uint16_t backups = 4;
  std::uint32_t buffers = 4;
  std::uint32_t window = 1;
  std::size_t max_write = 1 * kMiB;
  bool kills = false;
};

class Bench {
 public:
  Bench(const Scenario& s, std::uint64_t seed)
      : scenario_(s),
        rng_(seed, "replication-test"),
        memory_(64 * kSegment),
        log_({.segment_bytes = kSegment, .memory_bytes = memory_.size()}, kPrimary, Region{0, memory_}),
        peers_(kPrimary, kFirst, 5),
        manager_(options(), kPrimary, log_, peers_, seed) {
    std::vector<NodeId> servers{kPrimary};
    for (std::uint16_t i = 0; i < s.backups; ++i) {
      servers.push_back(NodeId{static_cast<std::uint16_t>(i + 2)});
      auto side = std::make_unique<Side>();
      side->region.resize(replica_region_bytes(s.buffers, kSegment));
      side->backup = std::make_unique<Backup>(options(), LogOptions{kSegment, memory_.size()}, Region{0, side->region});
      sides_.push_back(std::move(side));
    }
    peers_.set_servers(servers);
    manager_.start();
  }

  ReplicationOptions options() const {
    ReplicationOptions o;
    o.policy = scenario_.policy;
    o.factor = scenario_.factor;
    o.window = scenario_.window;
    o.buffers = scenario_.buffers;
    o.max_write_bytes = scenario_.max_write;
    o.retry_ns = 5;
    return o;
  }

  // Appends an entry of random bytes; false when the log is full.
  bool append() {
    const std::size_t size = rng_.below(300);
    std::byte* const at = log_.append(kEntryHeaderBytes + size, out_);
    if (at == nullptr) return false;
    store(at, EntryHeader(EntryType::kObject, size));
    for (std::size_t i = 0; i < size; ++i) at[kEntryHeaderBytes + i] = static_cast<std::byte>(rng_.next());
    return true;
  }

  // One random step: append, deliver something, lose a channel, let time pass.
  void step(bool may_append) {
    ++now_;
    const std::uint64_t what = rng_.below(100);
    const std::size_t i = rng_.below(sides_.size());
    if (what < 25 && may_append) {
      append();
    } else if (what < 60) {
      deliver_to_backup(i);
    } else if (what < 95) {
      deliver_to_primary(i);
    } else if (what < 97 && scenario_.kills && sides_[i]->up) {
      kill(i);
    } else {
      backup_turn(i, [](Backup&, Outbox&) {});
      finish_withdrawal(i);
      finish_storage(i);
    }
    peers_.advance(now_);
    manager_.advance(now_, out_);
    collect();
    check_durable();
  }

  void settle() {
    for (int n = 0; n < 200000 && !settled(); ++n) step(false);
  }
  bool settled() const {
    if (!manager_.idle()) return false;
    for (const auto& side : sides_) {
      if (!side->to_backup.empty() || !side->to_primary.empty() || side->backup->needs_turn() ||
          !side->storing.empty() || !side->withdrawing.empty()) {
        return false;
      }
    }
    return true;
  }

  // Nothing is cleaned here: a segment lies in the slot of its number.
  const Segment& segment_of(std::uint64_t segment) const { return log_.slot(static_cast<std::uint32_t>(segment)); }

  // Whole copies of the segment's sealed bytes among buffers and stored frames.
  std::size_t copies(std::uint64_t segment) const {
    const Segment& s = segment_of(segment);
    const ConstBytes sealed = s.memory.first(s.sealed);
    std::size_t n = 0;
    for (const auto& side : sides_) {
      bool here = false;
      for (const FoundReplica& found : side->backup->replicas()) {
        if (found.record.segment != segment) continue;
        here = here || walk_certificates(found.buffer, s.identity).valid_bytes() == s.sealed;
        if (here) {
          EXPECT_TRUE(std::equal(sealed.begin(), sealed.end(), found.buffer.begin()));
        }
      }
      const auto frame = side->frames.find(segment);
      here = here || (frame != side->frames.end() && frame->second.size() >= sealed.size() &&
                      std::equal(sealed.begin(), sealed.end(), frame->second.begin()));
      n += here ? 1 : 0;
    }
    return n;
  }

  Log& log() { return log_; }
  ReplicaManager& manager() { return manager_; }
  std::uint64_t data_messages() const { return data_messages_; }
  std::uint64_t copied() const { return copied_; }
  std::uint64_t rejections() const { return rejections_; }
  std::uint64_t kills() const { return kills_; }
  std::uint64_t found_closed() const { return found_closed_; }
  std::string troubles() const {
    std::string all = manager_.trouble();
    for (const auto& side : sides_) all += side->backup->trouble();
    return all;
  }

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
    std::deque<Op> withdrawing;
    std::map<std::uint64_t, std::vector<std::byte>> frames;  // by segment; what storage holds
    bool up = false;
    Outbox out;
  };

  // Runs something at a backup, then carries out its wishes: grants and withdrawals at once, answers into the channel.
  template <typename F>
  void backup_turn(std::size_t i, F&& f) {
    Side& side = *sides_[i];
    f(*side.backup, side.out);
    side.backup->advance(side.out);
    for (bool again = true; again;) {
      std::vector<Op> ops(side.out.ops().begin(), side.out.ops().end());
      for (const StorageOp& op : side.out.storage_ops()) side.storing.push_back(op);
      std::vector<std::vector<std::byte>> heads;
      for (const Op& op : ops) heads.emplace_back(op.head.begin(), op.head.end());
      copied_ = std::max(copied_, side.out.ledger().get(Role::kClient, Work::kCopyBytes));
      side.out.clear();
      again = false;
      for (std::size_t k = 0; k < ops.size(); ++k) {
        const Op& op = ops[k];
        if (op.kind == OpKind::kGrant) {
          side.grants[++keys_] = op.local;
          side.backup->on_granted(op.channel, op.ticket, keys_, side.out);
          again = true;
        } else if (op.kind == OpKind::kWithdraw) {
          side.grants.erase(op.key);
          if (side.up) side.withdrawing.push_back(op);  // goes unanswered when the channel dies first
        } else if (op.kind == OpKind::kRevoke) {
          side.grants.clear();
          side.backup->on_revoked(op.channel, side.out);
          again = true;
        } else if (side.up) {
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
    data_messages_ += message.header.opcode == Opcode::kBackupWrite ? 1 : 0;
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
      manager_.on_connected(channel);
    } else if (event.kind == EventKind::kDown) {
      peers_.on_down(channel, now_);
      manager_.on_down(channel, now_);
      for (auto& [segment, where] : opened_) {
        if (closed_[segment].count(i) == 0) where.erase(i);
      }
    } else if (event.kind == EventKind::kAcked) {
      manager_.on_acked(channel, event.ticket, now_, out_);
    } else {
      RpcMessage message;
      ASSERT_TRUE(parse(event.bytes, message));
      const bool open = message.header.opcode == Opcode::kBackupOpen;
      rejections_ += message.header.status == Status::kRejected ? 1 : 0;
      if (message.header.opcode > Opcode::kBackupClose) return manager_.on_answer(channel, message, now_, out_);
      if (open && message.header.status == Status::kOk) opened_[message.header.id].insert(i);
      BackupOpenAnswer answer;
      if (open && read_body(message.body, answer) && answer.closed_bytes != 0) {
        closed_[message.header.id].insert(i);
        ++found_closed_;
      }
      if (message.header.opcode == Opcode::kBackupClose) closed_[message.header.id].insert(i);
      manager_.on_answer(channel, message, now_, out_);
    }
  }

  // The channel dies with whatever is in it; a part of the first write on its way lands all the same.
  void kill(std::size_t i) {
    Side& side = *sides_[i];
    ++kills_;
    if (!side.to_backup.empty() && side.to_backup.front().kind == OpKind::kWrite) {
      const Transit& op = side.to_backup.front();
      const auto grant = side.grants.find(op.key);
      if (grant != side.grants.end()) {
        std::copy_n(op.bytes.begin(), rng_.below(op.bytes.size() + 1),
                    grant->second.begin() + static_cast<std::ptrdiff_t>(op.offset));
      }
    }
    side.up = false;
    side.to_backup.clear();
    side.to_primary.clear();
    side.withdrawing.clear();
    side.to_primary.push_back({EventKind::kDown, {}, 0});
    backup_turn(i, [&](Backup& b, Outbox& out) { b.on_channel_down(static_cast<Channel>(kFirstAccepted + i), out); });
  }

  void finish_withdrawal(std::size_t i) {
    Side& side = *sides_[i];
    if (side.withdrawing.empty()) return;
    const Op op = side.withdrawing.front();
    side.withdrawing.pop_front();
    backup_turn(i, [&](Backup& b, Outbox& out) { b.on_withdrawn(op.channel, op.ticket, out); });
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
    // A frame is stored once: the closed segment's bytes, then its record.
    std::vector<std::byte>& frame = side.frames[segment];
    EXPECT_LE(frame.size(), kSegment) << "frame " << segment << " stored twice";
    frame.insert(frame.end(), op.source.begin(), op.source.end());
    const std::uint64_t size = frame.size();
    backup_turn(i, [&](Backup& b, Outbox& out) { b.on_stored(op.frame, size, out); });
  }

  // Puts the primary's wishes on their way, checking the rules as they leave.
  void collect() {
    for (const Op& op : out_.ops()) {
      const std::size_t i = op.channel - kFirst;
      Side& side = *sides_[i];
      if (op.kind == OpKind::kConnect) {
        side.to_primary.push_back({EventKind::kConnected, {}, 0});
        continue;
      }
      if (!side.up) continue;  // dead, and the primary has not heard of it yet
      Transit transit{op.kind, {op.head.begin(), op.head.end()}, op.key, op.offset, op.ticket};
      for (const Slice& slice : op.body) transit.bytes.insert(transit.bytes.end(), slice.data, slice.data + slice.size);
      check_rules(op, transit);
      side.to_backup.push_back(std::move(transit));
    }
    out_.clear();
  }

  void check_rules(const Op& op, const Transit& transit) {
    if (op.kind == OpKind::kWrite) {
      const auto at = static_cast<std::size_t>(op.body[0].data - memory_.data());
      return check_fill(at / kSegment, at % kSegment + op.body[0].size);
    }
    RpcMessage message;
    ASSERT_TRUE(parse(transit.bytes, message));
    const std::uint64_t segment = message.header.id;
    if (message.header.opcode == Opcode::kBackupOpen) {
      // opens in order
      if (segment > 0) {
        EXPECT_EQ(opened_[segment - 1].size(), scenario_.factor) << "open of " << segment;
        EXPECT_GE(holders(segment - 1, segment_of(segment - 1).opening), scenario_.factor) << "open of " << segment;
      }
    } else if (message.header.opcode == Opcode::kBackupClose) {
      // the successor is durably open first
      EXPECT_EQ(opened_[segment + 1].size(), scenario_.factor) << "close of " << segment;
      EXPECT_GE(holders(segment + 1, segment_of(segment + 1).opening), scenario_.factor);
    } else if (message.header.opcode == Opcode::kBackupWrite) {
      BackupWrite write;
      ASSERT_TRUE(read_body(message.body, write));
      check_fill(write.segment, write.offset + write.length);
    }
  }

  // nothing past the opening batch before the predecessor is closed everywhere
  void check_fill(std::uint64_t segment, std::size_t end) {
    if (segment == 0 || end <= segment_of(segment).opening) return;
    EXPECT_EQ(closed_[segment - 1].size(), scenario_.factor) << "filling " << segment;
  }

  // Backups that hold at least `bytes` valid bytes of the segment.
  std::size_t holders(std::uint64_t segment, std::size_t bytes) const {
    std::size_t n = 0;
    for (const auto& side : sides_) {
      std::size_t most = side->frames.count(segment) > 0 ? kSegment : 0;
      for (const FoundReplica& found : side->backup->replicas()) {
        if (found.record.segment != segment) continue;
        most = std::max(most, walk_certificates(found.buffer, segment_of(segment).identity).valid_bytes());
      }
      n += most >= bytes ? 1 : 0;
    }
    return n;
  }

  // What is called durable is on `factor` backups, certified.
  void check_durable() {
    const LogPosition durable = manager_.durable_position();
    EXPECT_LE(durable, log_.appended_position() + (std::uint64_t{1} << 24));
    if (durable == checked_ || log_.segments().size() == 0) return;
    checked_ = durable;
    const std::uint64_t segment = durable >> 24;
    if (segment < log_.segments().size()) {
      EXPECT_GE(holders(segment, durable & 0xffffff), scenario_.factor);
    }
    if (segment > 0) {
      EXPECT_GE(holders(segment - 1, segment_of(segment - 1).sealed), scenario_.factor);
    }
  }

  Scenario scenario_;
  Rng rng_;
  std::vector<std::byte> memory_;
  Log log_;
  PeerLinks peers_;
  ReplicaManager manager_;
  std::vector<std::unique_ptr<Side>> sides_;
  std::map<std::uint64_t, std::set<std::size_t>> opened_;
  std::map<std::uint64_t, std::set<std::size_t>> closed_;
  Outbox out_;
  TimeNs now_ = 0;
  RemoteKey keys_ = 100;
  LogPosition checked_ = 0;
  std::uint64_t data_messages_ = 0;
  std::uint64_t copied_ = 0;
  std::uint64_t rejections_ = 0;
  std::uint64_t kills_ = 0;
  std::uint64_t found_closed_ = 0;
};

// Runs many seeds of a scenario; every segment ends up whole on `factor` backups.
struct Totals {
  std::uint64_t data_messages = 0;
  std::uint64_t copied = 0;
  std::uint64_t rejections = 0;
  std::uint64_t kills = 0;
  std::uint64_t found_closed = 0;
};
Totals run(const Scenario& scenario, int seeds = 25, int steps = 3000) {
  Totals totals;
  for (int seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE(seed);
    Bench bench(scenario, static_cast<std::uint64_t>(seed));
    for (int i = 0; i < steps; ++i) bench.step(true);
    bench.settle();
    EXPECT_TRUE(bench.settled()) << bench.manager().describe();
    EXPECT_EQ(bench.troubles(), "");
    EXPECT_GT(bench.log().segments().size(), 3u);
    EXPECT_GE(bench.manager().durable_position(), bench.log().appended_position());
    for (std::uint64_t s = 0; s < bench.log().segments().size(); ++s) {
      EXPECT_GE(bench.copies(s), scenario.factor) << "segment " << s << " " << bench.manager().describe();
    }
    totals.data_messages += bench.data_messages();
    totals.copied += bench.copied();
    totals.rejections += bench.rejections();
    totals.kills += bench.kills();
    totals.found_closed += bench.found_closed();
  }
  return totals;
}

TEST(Replication, TailwindKeepsTheRulesAndLeavesBackupsIdle) {
  // given any interleaving, expect the rules to hold, and backups that handle no message and copy no byte per write
  const Totals totals = run({.policy = Policy::kTailwind});
  EXPECT_EQ(totals.data_messages, 0u);
  EXPECT_EQ(totals.copied, 0u);
}

TEST(Replication, RpcKeepsTheRules) {
  const Totals totals = run({.policy = Policy::kRpc});
  EXPECT_GT(totals.data_messages, 0u);
  EXPECT_GT(totals.copied, 0u);
}

TEST(Replication, SeveralWritesInFlightAndSmallWrites) {
  run({.policy = Policy::kTailwind, .window = 4, .max_write = 100});
  run({.policy = Policy::kRpc, .window = 4, .max_write = 100});
}

TEST(Replication, ARefusedOpenGoesElsewhereOrWaits) {
  // given as many replicas as backups and barely enough buffers, expect rejections, and progress all the same
  const Totals totals = run({.policy = Policy::kTailwind, .factor = 3, .backups = 3, .buffers = 2});
  EXPECT_GT(totals.rejections, 0u);
}

TEST(Replication, ALostChannelStartsItsReplicasAgain) {
  for (const Policy policy : {Policy::kTailwind, Policy::kRpc}) {
    // given channels that die with half a write in them, expect every segment whole on enough backups in the end
    const Totals totals = run({.policy = policy, .factor = 2, .backups = 4, .buffers = 16, .window = 2, .kills = true});
    EXPECT_GT(totals.kills, 100u);
    // and where there is no other backup to go to, replicas that were closed behind the primary's back to be found so
    const Totals same = run({.policy = policy, .factor = 2, .backups = 2, .buffers = 4, .window = 2, .kills = true});
    EXPECT_GT(same.found_closed, 0u);
  }
}

// A request to a backup; `behind` follows its body.
template <typename Body>
void request(Backup& backup, Channel channel, Opcode opcode, const Body& body, Outbox& out, ConstBytes behind = {}) {
  std::vector<std::byte> bytes(sizeof(RpcHeader) + sizeof(body) + behind.size());
  RpcHeader header;
  header.opcode = opcode;
  header.id = 7;
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), &body, sizeof(body));
  std::copy(behind.begin(), behind.end(), bytes.end() - static_cast<std::ptrdiff_t>(behind.size()));
  RpcMessage message;
  EXPECT_TRUE(parse(bytes, message));
  out.clear();
  backup.on_request(channel, 1, message, out);
}

BackupOpen open_of(std::uint64_t segment) {
  BackupOpen open;
  open.segment = segment;
  open.master = 1;
  open.capacity = kSegment;
  return open;
}

TEST(Backup, WhatComesLateOnAnEarlierChannelCountsForNothing) {
  // given a primary that opened a segment, lost its channel, dialled anew and opened another, and an inventory and a
  // free of before that arrive only then
  std::vector<std::byte> region(replica_region_bytes(4, kSegment));
  ReplicationOptions options;
  options.buffers = 4;
  Backup backup(options, {kSegment, 16 * kSegment}, Region{0, region});
  constexpr Channel kEarlier = kFirstAccepted;
  constexpr Channel kLater = kFirstAccepted + 1;
  const std::uint64_t before = index(first_segment(1));
  Outbox out;
  backup.on_connected(kEarlier, kPrimary);
  request(backup, kEarlier, Opcode::kBackupOpen, open_of(before), out);
  backup.on_connected(kLater, kPrimary);
  request(backup, kLater, Opcode::kBackupOpen, open_of(before + 1), out);
  ASSERT_EQ(backup.replicas().size(), 2u);
  BackupInventory inventory;
  inventory.master = 1;
  inventory.life = 1;
  inventory.segments = 1;
  const ConstBytes listed = std::as_bytes(std::span(&before, 1));
  request(backup, kEarlier, Opcode::kBackupInventory, inventory, out, listed);
  EXPECT_EQ(out.dismissed().size(), 1u);
  BackupSegment freed;
  freed.segment = before + 1;
  freed.master = 1;
  request(backup, kEarlier, Opcode::kBackupFree, freed, out);
  // expect both to be there; and the same inventory, of now, to be followed
  EXPECT_EQ(backup.replicas().size(), 2u);
  request(backup, kLater, Opcode::kBackupInventory, inventory, out, listed);
  EXPECT_EQ(backup.replicas().size(), 1u);
}

TEST(Backup, AReplicaGivenUpWhileItsMasterDiesHoldsNoQuestionUp) {
  // given two open replicas of which one is freed, and the master's death before its access is withdrawn
  std::vector<std::byte> region(replica_region_bytes(4, kSegment));
  ReplicationOptions options;
  options.buffers = 4;
  Backup backup(options, {kSegment, 16 * kSegment}, Region{0, region});
  constexpr Channel kAsker = kFirstAccepted + 1;
  const std::uint64_t first = index(first_segment(1));
  Outbox out;
  backup.on_connected(kFirstAccepted, kPrimary);
  backup.on_connected(kAsker, NodeId{2});
  for (std::uint64_t i = 0; i < 2; ++i) {
    BackupOpen open = open_of(first + i);
    open.flags = kOpenOneSided;
    request(backup, kFirstAccepted, Opcode::kBackupOpen, open, out);
    ASSERT_EQ(out.ops().back().kind, OpKind::kGrant);
    backup.on_granted(kFirstAccepted, out.ops().back().ticket, RemoteKey{i + 1}, out);
  }
  BackupSegment freed;
  freed.segment = first;
  freed.master = 1;
  request(backup, kFirstAccepted, Opcode::kBackupFree, freed, out);
  ReplicasOf question;
  question.master = 1;
  question.life = 1;
  request(backup, kAsker, Opcode::kReplicasOf, question, out);
  EXPECT_TRUE(backup.is_scanning());
  out.clear();
  // expect the other one to be scanned, and the question answered, once the revocation has ended all access
  backup.on_revoked(kFirstAccepted, out);
  for (int turns = 0; backup.needs_turn() && turns < 100; ++turns) backup.advance(out);
  EXPECT_FALSE(backup.needs_turn());
  EXPECT_EQ(backup.free_buffers(), 3u);
  ASSERT_FALSE(out.ops().empty());
  EXPECT_EQ(out.ops().back().channel, kAsker);
}

TEST(Backup, CloseRefusesAWrongEnd) {
  // given an open replica whose bytes never came
  std::vector<std::byte> region(replica_region_bytes(2, kSegment));
  ReplicationOptions options;
  options.buffers = 2;
  Backup backup(options, {kSegment, 16 * kSegment}, Region{0, region});
  backup.on_connected(kFirstAccepted, kPrimary);
  Outbox out;
  const auto ask = [&](Opcode opcode, const auto& body) {
    request(backup, kFirstAccepted, opcode, body, out);
    RpcHeader answer;
    std::memcpy(&answer, out.ops().back().head.data(), sizeof(answer));
    return answer.status;
  };
  BackupOpen open = open_of(7);
  ASSERT_EQ(ask(Opcode::kBackupOpen, open), Status::kOk);
  // expect nobody to open another master's segment
  open.master = 2;
  EXPECT_EQ(ask(Opcode::kBackupOpen, open), Status::kBadRequest);
  // expect a close to be refused, and a write that does not continue the replica, or leads outside it, too
  BackupClose close;
  close.segment = 7;
  close.master = 1;
  close.length = 100;
  EXPECT_EQ(ask(Opcode::kBackupClose, close), Status::kBadRequest);
  BackupWrite write;
  write.segment = 7;
  write.master = 1;
  write.offset = 8;
  EXPECT_EQ(ask(Opcode::kBackupWrite, write), Status::kBadRequest);
  write.offset = 0;
  write.length = kSegment;  // longer than the bytes that came
  EXPECT_EQ(ask(Opcode::kBackupWrite, write), Status::kBadRequest);
  EXPECT_EQ(backup.replicas().size(), 1u);
}

TEST(Backup, BitRotBehindACloseIsToldAndNotFlushed) {
  // given a closed replica in which a byte changes before it is verified
  Bench bench({.policy = Policy::kTailwind}, 3);
  std::vector<std::byte> region(replica_region_bytes(1, kSegment));
  ReplicationOptions options;
  options.buffers = 1;
  Backup backup(options, {kSegment, 16 * kSegment}, Region{0, region});
  backup.on_connected(kFirstAccepted, kPrimary);
  while (bench.log().segments().size() < 2) bench.append();
  const Segment& segment = bench.log().slot(0);
  Outbox out;
  request(backup, kFirstAccepted, Opcode::kBackupOpen, open_of(0), out);
  const Bytes buffer = Bytes(region).subspan(region.size() - kSegment);
  std::copy(segment.memory.begin(), segment.memory.end(), buffer.begin());
  BackupClose close;
  close.length = segment.sealed;
  close.crc = segment.crc;
  close.master = 1;
  request(backup, kFirstAccepted, Opcode::kBackupClose, close, out);
  buffer[200] ^= std::byte{4};
  while (backup.needs_turn()) backup.advance(out);
  // expect its primary to be told, the buffer to be free, and nothing to reach storage
  RpcHeader told;
  std::memcpy(&told, out.ops().back().head.data(), sizeof(told));
  EXPECT_EQ(told.opcode, Opcode::kBackupLost);
  EXPECT_EQ(backup.free_buffers(), 1u);
  EXPECT_TRUE(out.storage_ops().empty());
}

}  // namespace
}  // namespace slipstream
