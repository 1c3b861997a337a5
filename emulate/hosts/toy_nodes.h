// Nodes for the tests of the hosts: a referee (node 0) goes through rounds with each of its players. In round k it
// writes a pattern of k into the player's memory, one-sided, and sends k behind it; the player checks that the pattern
// is there (a message does not overtake a write) and answers. The run ends when all players have answered the last
// round.
#pragma once

#include <signal.h>

#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "emulate/hosts/plan.h"

namespace slipstream::emulate {

inline constexpr std::size_t kToyBytes = 4096;

struct ToyOptions {
  std::uint16_t players = 3;
  std::uint64_t rounds = 1000;
  std::uint16_t acting_player = 1;  // node id of the one who, in its round `act_round`, does this:
  std::uint64_t act_round = 0;      // 0: never
  enum class Act : std::uint8_t { kDie, kFail, kAbort, kHang, kFallSilent } act = Act::kDie;
};

// All bytes tell the round.
inline void write_pattern(std::uint64_t round, Bytes memory) {
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(round * 31 + i);
}
inline bool has_pattern(std::uint64_t round, ConstBytes memory) {
  for (std::size_t i = 0; i < memory.size(); ++i) {
    if (memory[i] != static_cast<std::byte>(round * 31 + i)) return false;
  }
  return true;
}

inline std::uint64_t number_in(ConstBytes bytes) {
  std::uint64_t number = 0;
  if (bytes.size() == sizeof(number)) std::memcpy(&number, bytes.data(), sizeof(number));
  return number;
}
inline void send_number(Outbox& out, Channel channel, std::uint64_t number, std::uint64_t answers = 0) {
  std::memcpy(out.send(channel, sizeof(number), answers), &number, sizeof(number));
}

class ToyNode : public Node {
 public:
  void step(TimeNs, std::span<const Event> events, Outbox& out) override {
    for (const Event& event : events) on_event(event, out);
    if (events.empty()) on_start(out);
  }
  TimeNs deadline() const override { return deadline_; }
  std::string trouble() const override { return trouble_; }
  std::uint64_t state_hash() const override { return 0; }

 protected:
  virtual void on_event(const Event& event, Outbox& out) = 0;
  virtual void on_start(Outbox&) {}
  std::string trouble_;
  TimeNs deadline_ = kNever;
};

class ToyPlayer final : public ToyNode {
 public:
  ToyPlayer(const ToyOptions& options, NodeId id, Fabric& fabric)
      : options_(options), id_(id), memory_(fabric.create_region("replica", kToyBytes, Access::kGrantable)) {}
  std::string describe() const override { return fmt::format("player {} in round {}", index(id_), round_); }

 private:
  void on_event(const Event& event, Outbox& out) override {
    out.enter(Role::kBackup);
    if (event.kind == EventKind::kConnected) out.grant(event.channel, memory_.memory, 1);
    if (event.kind == EventKind::kGranted) send_number(out, event.channel, event.key);
    if (event.kind != EventKind::kMessage) return;
    round_ = number_in(event.bytes);
    if (round_ == 1) out.mark(Mark::kWindowStart);
    out.work(Work::kMessageIn);
    if (!has_pattern(round_, memory_.memory)) trouble_ = fmt::format("round {} is not in memory", round_);
    if (round_ == options_.act_round && index(id_) == options_.acting_player) {
      switch (options_.act) {
        case ToyOptions::Act::kDie: raise(SIGKILL); break;
        case ToyOptions::Act::kFail: trouble_ = "it fails as told"; break;
        case ToyOptions::Act::kAbort: SLIP_CHECK(false, "it aborts as told"); break;
        case ToyOptions::Act::kHang:
          for (volatile bool on = true; on;) {
          }
          break;
        case ToyOptions::Act::kFallSilent: return;
      }
    }
    send_number(out, event.channel, round_, event.tag);
  }

  ToyOptions options_;
  NodeId id_;
  Region memory_;
  std::uint64_t round_ = 0;
};

class ToyReferee final : public ToyNode {
 public:
  ToyReferee(const ToyOptions& options, Fabric& fabric)
      : options_(options),
        source_(fabric.create_region("source", kToyBytes * options.players, Access::kLocal)),
        sides_(options.players) {
    deadline_ = 0;
  }
  bool done() const override { return finished_ == options_.players; }
  std::string describe() const override {
    return fmt::format("referee, {} of {} finished", finished_, options_.players);
  }

 private:
  struct Side {
    RemoteKey key = 0;
    std::uint64_t round = 0;
    bool answered = false;
    bool acked = false;
  };

  void on_start(Outbox& out) override {
    deadline_ = kNever;
    out.mark(Mark::kWindowStart);
    for (std::uint16_t i = 0; i < options_.players; ++i)
      out.connect(static_cast<Channel>(i + 1), NodeId{static_cast<std::uint16_t>(i + 1)});
  }

  void on_event(const Event& event, Outbox& out) override {
    out.enter(Role::kCoordinator);
    if (event.kind == EventKind::kDown) trouble_ = fmt::format("player-{} is gone", event.channel);
    if (event.kind != EventKind::kMessage && event.kind != EventKind::kAcked) return;
    Side& side = sides_.at(event.channel - 1u);
    if (event.kind == EventKind::kAcked) {
      side.acked = event.ticket == side.round;
    } else if (event.is_answer) {
      side.answered = true;
    } else {
      side.key = number_in(event.bytes);
      side.acked = side.answered = true;
    }
    if (side.acked && side.answered) start_round(event.channel, side, out);
  }

  void start_round(Channel channel, Side& side, Outbox& out) {
    if (side.round == options_.rounds) {
      ++finished_;
      if (done()) out.mark(Mark::kWindowEnd);
      return;
    }
    ++side.round;
    side.acked = side.answered = false;
    const Bytes from = source_.memory.subspan(kToyBytes * (channel - 1u), kToyBytes);
    write_pattern(side.round, from);
    out.write(channel, {from.data(), from.size()}, side.key, 0, side.round);
    send_number(out, channel, side.round);
  }

  ToyOptions options_;
  Region source_;
  std::vector<Side> sides_;
  std::uint16_t finished_ = 0;
};

inline RunPlan toy_plan(const ToyOptions& options) {
  RunPlan plan;
  plan.nodes = static_cast<std::uint16_t>(options.players + 1);
  plan.seed = 5;
  plan.make = [options](NodeId id, Fabric& fabric, const Storage&) -> std::unique_ptr<Node> {
    if (index(id) == 0) return std::make_unique<ToyReferee>(options, fabric);
    return std::make_unique<ToyPlayer>(options, id, fabric);
  };
  plan.kind = [](NodeId id) { return index(id) == 0 ? NodeKind::kCoordinator : NodeKind::kServer; };
  plan.name = [](NodeId id) { return index(id) == 0 ? std::string("referee") : fmt::format("player-{}", index(id)); };
  plan.stats = [](const Node&) { return nullptr; };
  return plan;
}

}  // namespace slipstream::emulate
