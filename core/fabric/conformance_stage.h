// What the conformance cases share: players that drive one fabric each and remember every event, and a stage that lets
// all of them go on in turn until something holds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/rng.h"
#include "core/fabric/conformance.h"

namespace slipstream::conformance {

// An event as it was seen: a message's bytes are copied, for the view ends with the next poll.
struct Seen {
  EventKind kind = EventKind::kMessage;
  Channel channel = 0;
  NodeId peer = kNoNode;
  bool is_answer = false;
  std::string bytes;
  std::uint64_t tag = 0;
  Ticket ticket = 0;
  RemoteKey key = 0;
};

class Player {
 public:
  Player(NodeId id, Fabric& fabric) : id_(id), fabric_(fabric) {}

  NodeId id() const { return id_; }
  Fabric& fabric() { return fabric_; }

  // One op each.
  void send(Channel channel, std::string_view head, Ticket ticket = 0, std::span<const Slice> body = {},
            std::uint64_t answers = 0);
  void write(Channel channel, ConstBytes from, RemoteKey key, std::uint64_t offset, Ticket ticket = 0);
  void read(Channel channel, Bytes into, RemoteKey key, std::uint64_t offset, Ticket ticket);
  void connect(Channel channel, NodeId peer);
  void revoke(Channel channel);
  void grant(Channel channel, Bytes memory, Ticket ticket);
  void withdraw(Channel channel, RemoteKey key, Ticket ticket);

  // One poll of at most `most` events into `seen`.
  void poll(std::size_t most = 64);

  std::size_t count(EventKind kind, Channel channel) const;
  bool has(EventKind kind, Channel channel) const { return count(kind, channel) > 0; }
  std::vector<std::string> messages(Channel channel) const;
  Ticket acked(Channel channel) const;  // the highest ticket acknowledged on the channel
  const Seen* last(EventKind kind, Channel channel) const;

  Bytes region(std::size_t bytes);  // zeroed memory of its own
  Bytes durable(std::string_view name, std::size_t bytes);
  Channel next_channel() { return next_channel_++; }

  std::vector<Seen> seen;
  bool alive = true;

 private:
  NodeId id_;
  Fabric& fabric_;
  Channel next_channel_ = 100;  // lower ones are for cases that pick their own
  std::uint32_t regions_ = 0;
};

struct Link {
  Channel near = 0;  // at the node that connected
  Channel far = 0;   // at the other
};

class Stage {
 public:
  Stage(const MakeFabricBench& make, std::uint16_t nodes);

  Player& operator[](std::size_t i) { return *players_[i]; }
  FabricBench& bench() { return *bench_; }

  // Lets everybody go on until the condition holds; false when it does not come true.
  bool until(const std::function<bool()>& condition);
  // The same without the polls of one player.
  bool until_without(const Player& silent, const std::function<bool()>& condition);

  // A new channel from `a` to `b`; {0, 0} and a failure when it does not come up.
  Link connect(Player& a, Player& b);
  // A grant of `b` to the peer of its channel; 0 and a failure when it does not come.
  RemoteKey grant(Player& b, Channel channel, Bytes memory);
  // Lets everything under way come to an end: messages there and back on fresh channels between all living nodes.
  void settle();
  // Dies as by kill -9; false when the bench cannot do that.
  bool kill(Player& player);
  // Its next life is stage[i], a new player; false when the bench cannot do that.
  bool restart(std::size_t i);

 private:
  void turn(const Player* silent);

  std::unique_ptr<FabricBench> bench_;
  std::vector<std::unique_ptr<Player>> players_;
  Ticket next_ticket_ = 1'000'000;
};

std::string text(ConstBytes bytes);
ConstBytes bytes_of(std::string_view text);
// `size` bytes that differ from seed to seed and from place to place.
std::string pattern(std::uint64_t seed, std::size_t size);
void fill(Bytes memory, std::uint64_t seed);

// The cases of each file.
using CaseList = std::vector<std::pair<const char*, void (*)(const MakeFabricBench&)>>;
const CaseList& channel_cases();
const CaseList& message_cases();
const CaseList& memory_cases();
const CaseList& fault_cases();
const CaseList& life_cases();
const CaseList& model_cases();

}  // namespace slipstream::conformance
