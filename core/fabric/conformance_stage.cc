#include "core/fabric/conformance_stage.h"

#include <algorithm>
#include <cstring>

namespace slipstream::conformance {

namespace {

// More turns than any implementation needs: a fabric that looks after dead peers every few milliseconds of polling is
// given seconds.
constexpr std::uint64_t kTurns = 4'000'000;
constexpr int kSettleTurns = 200;

}  // namespace

void Player::send(Channel channel, std::string_view head, Ticket ticket, std::span<const Slice> body,
                  std::uint64_t answers) {
  Op op;
  op.kind = OpKind::kSend;
  op.channel = channel;
  op.head = bytes_of(head);
  op.body = body;
  op.ticket = ticket;
  op.answers = answers;
  fabric_.post({&op, 1});
}

void Player::write(Channel channel, ConstBytes from, RemoteKey key, std::uint64_t offset, Ticket ticket) {
  const Slice slice{from.data(), from.size()};
  Op op;
  op.kind = OpKind::kWrite;
  op.channel = channel;
  op.body = {&slice, 1};
  op.key = key;
  op.offset = offset;
  op.ticket = ticket;
  fabric_.post({&op, 1});
}

void Player::read(Channel channel, Bytes into, RemoteKey key, std::uint64_t offset, Ticket ticket) {
  Op op;
  op.kind = OpKind::kRead;
  op.channel = channel;
  op.local = into;
  op.key = key;
  op.offset = offset;
  op.ticket = ticket;
  fabric_.post({&op, 1});
}

void Player::connect(Channel channel, NodeId peer) {
  Op op;
  op.kind = OpKind::kConnect;
  op.channel = channel;
  op.peer = peer;
  fabric_.post({&op, 1});
}

void Player::revoke(Channel channel) {
  Op op;
  op.kind = OpKind::kRevoke;
  op.channel = channel;
  fabric_.post({&op, 1});
}

void Player::grant(Channel channel, Bytes memory, Ticket ticket) {
  Op op;
  op.kind = OpKind::kGrant;
  op.channel = channel;
  op.local = memory;
  op.ticket = ticket;
  fabric_.post({&op, 1});
}

void Player::withdraw(Channel channel, RemoteKey key, Ticket ticket) {
  Op op;
  op.kind = OpKind::kWithdraw;
  op.channel = channel;
  op.key = key;
  op.ticket = ticket;
  fabric_.post({&op, 1});
}

void Player::poll(std::size_t most) {
  Event events[64];
  const std::size_t n = fabric_.poll({events, std::min<std::size_t>(most, 64)});
  for (std::size_t i = 0; i < n; ++i) {
    const Event& e = events[i];
    seen.push_back({e.kind, e.channel, e.peer, e.is_answer, text(e.bytes), e.tag, e.ticket, e.key});
  }
}

std::size_t Player::count(EventKind kind, Channel channel) const {
  return static_cast<std::size_t>(
      std::count_if(seen.begin(), seen.end(), [&](const Seen& s) { return s.kind == kind && s.channel == channel; }));
}

std::vector<std::string> Player::messages(Channel channel) const {
  std::vector<std::string> result;
  for (const Seen& s : seen) {
    if (s.kind == EventKind::kMessage && s.channel == channel) result.push_back(s.bytes);
  }
  return result;
}

Ticket Player::acked(Channel channel) const {
  Ticket highest = 0;
  for (const Seen& s : seen) {
    if (s.kind == EventKind::kAcked && s.channel == channel) highest = std::max(highest, s.ticket);
  }
  return highest;
}

const Seen* Player::last(EventKind kind, Channel channel) const {
  for (std::size_t i = seen.size(); i > 0; --i) {
    if (seen[i - 1].kind == kind && seen[i - 1].channel == channel) return &seen[i - 1];
  }
  return nullptr;
}

Bytes Player::region(std::size_t bytes) {
  return fabric_.create_region("conformance-" + std::to_string(regions_++), bytes, Access::kGrantable).memory;
}

Bytes Player::durable(std::string_view name, std::size_t bytes) {
  return fabric_.create_region(name, bytes, Access::kDurable).memory;
}

Stage::Stage(const MakeFabricBench& make, std::uint16_t nodes) : bench_(make(nodes)) {
  for (std::uint16_t i = 0; i < nodes; ++i) {
    players_.push_back(std::make_unique<Player>(NodeId{i}, bench_->fabric(NodeId{i})));
  }
}

void Stage::turn(const Player* silent) {
  for (auto& player : players_) {
    if (player->alive && player.get() != silent) player->poll();
  }
  bench_->pump();
}

bool Stage::until(const std::function<bool()>& condition) {
  for (std::uint64_t i = 0; i < kTurns; ++i) {
    if (condition()) return true;
    turn(nullptr);
  }
  return condition();
}

bool Stage::until_without(const Player& silent, const std::function<bool()>& condition) {
  for (std::uint64_t i = 0; i < kTurns; ++i) {
    if (condition()) return true;
    turn(&silent);
  }
  return condition();
}

Link Stage::connect(Player& a, Player& b) {
  const Channel near = a.next_channel();
  const std::size_t before = b.seen.size();
  Channel far = 0;
  a.connect(near, b.id());
  const bool up = until([&] {
    for (std::size_t i = before; i < b.seen.size() && far == 0; ++i) {
      const Seen& s = b.seen[i];
      if (s.kind == EventKind::kConnected && s.peer == a.id() && s.channel >= kFirstAccepted) far = s.channel;
    }
    return far != 0 && a.has(EventKind::kConnected, near);
  });
  EXPECT_TRUE(up) << "no channel from node " << index(a.id()) << " to node " << index(b.id());
  return up ? Link{near, far} : Link{};
}

RemoteKey Stage::grant(Player& b, Channel channel, Bytes memory) {
  const Ticket ticket = next_ticket_++;
  b.grant(channel, memory, ticket);
  RemoteKey key = 0;
  const bool granted = until([&] {
    const Seen* const s = b.last(EventKind::kGranted, channel);
    if (s == nullptr || s->ticket != ticket) return false;
    key = s->key;
    return true;
  });
  EXPECT_TRUE(granted) << "no grant on channel " << channel;
  return key;
}

void Stage::settle() {
  for (auto& a : players_) {
    for (auto& b : players_) {
      if (a == b || !a->alive || !b->alive) continue;
      const Link link = connect(*a, *b);
      for (int round = 1; round <= 3; ++round) {
        a->send(link.near, "there");
        ASSERT_TRUE(until([&] { return b->count(EventKind::kMessage, link.far) == static_cast<std::size_t>(round); }));
        b->send(link.far, "back");
        ASSERT_TRUE(until([&] { return a->count(EventKind::kMessage, link.near) == static_cast<std::size_t>(round); }));
      }
    }
  }
  for (int i = 0; i < kSettleTurns; ++i) turn(nullptr);
}

bool Stage::kill(Player& player) {
  if (!bench_->kill(player.id())) return false;
  player.alive = false;
  return true;
}

bool Stage::restart(std::size_t i) {
  const NodeId id = players_[i]->id();
  if (!bench_->restart(id)) return false;
  players_[i] = std::make_unique<Player>(id, bench_->fabric(id));
  return true;
}

std::string text(ConstBytes bytes) {
  return bytes.empty() ? std::string{} : std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

ConstBytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

std::string pattern(std::uint64_t seed, std::size_t size) {
  std::string result(size, '\0');
  fill(std::as_writable_bytes(std::span(result.data(), result.size())), seed);
  return result;
}

void fill(Bytes memory, std::uint64_t seed) {
  for (std::size_t i = 0; i < memory.size(); i += 8) {
    const std::uint64_t word = mix64((seed << 32) + i + 1);
    std::memcpy(memory.data() + i, &word, std::min<std::size_t>(8, memory.size() - i));
  }
}

}  // namespace slipstream::conformance
