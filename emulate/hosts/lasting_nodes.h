// Nodes for the tests of later lives: a referee (node 0) goes through rounds with each of its players, as in
// toy_nodes.h, but connects again to a player that is gone, for as long as it takes. A player tells at each meeting
// what it found of its lives before: the round in its durable memory, and the frames in its storage, of which each life
// adds one. The referee knows what must be there. The run ends after `until_ns`, once every player has answered a round
// that began after that.
//
// Longer than usual: both sides of one conversation, to be read together.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "emulate/hosts/toy_nodes.h"

namespace slipstream::emulate {

struct LastingOptions {
  std::uint16_t players = 3;
  TimeNs until_ns = 300 * kMillisecond;
  std::uint64_t meetings = 1;  // of player 1, before the run ends
  bool keeps_memory = true;
  bool keeps_storage = true;
  bool players_stay_away = false;       // a player that is gone then is not waited for, met before or not
  std::uint16_t retiring_player = 0;    // node id; 0: none does
  std::uint64_t retires_in_round = 20;  // of its life
};

// What a player says when it is met.
struct Hello {
  static constexpr std::uint64_t kTorn = ~std::uint64_t{0};

  RemoteKey key = 0;
  std::uint64_t round = 0;   // whole in its memory; 0: it is all zeroes
  std::uint64_t frames = 0;  // found when its life began
};

// The memory of a player in a round: the round's number, then its pattern.
inline void write_round(std::uint64_t round, Bytes memory) {
  write_pattern(round, memory);
  std::memcpy(memory.data(), &round, sizeof round);
}
inline std::uint64_t round_in(ConstBytes memory) {
  std::uint64_t round = 0;
  std::memcpy(&round, memory.data(), sizeof round);
  std::vector<std::byte> whole(memory.size());
  if (round != 0) write_round(round, whole);
  return std::equal(memory.begin(), memory.end(), whole.begin()) ? round : Hello::kTorn;
}

class LastingPlayer final : public ToyNode {
 public:
  LastingPlayer(const LastingOptions& options, NodeId id, Fabric& fabric, const Storage& storage)
      : memory_(fabric.create_region("replica", kToyBytes, Access::kDurable)),
        scratch_(fabric.create_region("scratch", kToyBytes, Access::kGrantable)) {
    found_.round = round_in(memory_.memory);
    found_.frames = storage.frames().size();
    if (round_in(scratch_.memory) != 0) trouble_ = "memory that is not durable was found again";
    write_round(7, scratch_.memory);
    if (index(id) == options.retiring_player) retires_in_round_ = options.retires_in_round;
  }
  bool retired() const override { return retires_in_round_ != 0 && answered_ >= retires_in_round_; }
  std::string describe() const override { return fmt::format("player, {} rounds in this life", answered_); }

 private:
  void on_event(const Event& event, Outbox& out) override {
    out.enter(Role::kBackup);
    if (event.kind == EventKind::kStorageFailed) trouble_ = "no frame could be stored";
    if (event.kind == EventKind::kStored) answer(out);
    if (event.kind == EventKind::kConnected) out.grant(event.channel, memory_.memory, 1);
    if (event.kind == EventKind::kGranted) {
      Hello hello = found_;
      hello.key = event.key;
      hello.round = round_in(memory_.memory);
      std::memcpy(out.send(event.channel, sizeof hello, 0), &hello, sizeof hello);
    }
    if (event.kind != EventKind::kMessage) return;
    round_ = number_in(event.bytes);
    channel_ = event.channel;
    tag_ = event.tag;
    if (round_in(memory_.memory) != round_) trouble_ = fmt::format("round {} is not in memory", round_);
    if (answered_ > 0) return answer(out);
    StorageOp op;
    op.frame = found_.frames + 1;
    op.source = scratch_.memory;
    out.store(op);
  }

  void answer(Outbox& out) {
    ++answered_;
    send_number(out, channel_, round_, tag_);
  }

  Region memory_;
  Region scratch_;
  Hello found_;
  Channel channel_ = 0;
  std::uint64_t tag_ = 0;
  std::uint64_t round_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t retires_in_round_ = 0;
};

class LastingReferee final : public ToyNode {
 public:
  LastingReferee(const LastingOptions& options, Fabric& fabric)
      : options_(options),
        source_(fabric.create_region("source", kToyBytes * options.players, Access::kLocal)),
        progress_(fabric.create_region("progress", sizeof(std::uint64_t) * options.players, Access::kDurable)),
        sides_(options.players) {
    deadline_ = 0;
    for (std::size_t i = 0; i < sides_.size(); ++i) {
      sides_[i].round = sides_[i].answered = progress(i);
      sides_[i].may_be_torn = true;  // a life before may have died in the middle of a write
    }
  }
  void step(TimeNs now, std::span<const Event> events, Outbox& out) override {
    out.enter(Role::kCoordinator);
    now_ = now;
    for (const Event& event : events) on_event(event, out);
    if (now < deadline_) return;
    deadline_ = kNever;
    for (std::size_t i = 0; i < sides_.size(); ++i) {
      Side& side = sides_[i];
      if (side.state != Side::State::kGone) continue;
      side.state = Side::State::kConnecting;
      out.connect(channel_of(i), NodeId{static_cast<std::uint16_t>(i + 1)});
    }
  }
  bool done() const override {
    return sides_[0].meetings >= options_.meetings &&
           std::all_of(sides_.begin(), sides_.end(), [](const Side& s) { return s.finished; });
  }
  std::string describe() const override {
    std::string text = "referee";
    for (const Side& s : sides_) {
      text += fmt::format(", {} of {}, met {}, {}{}", s.answered, s.round, s.meetings,
                          s.state == Side::State::kGone      ? "gone"
                          : s.state == Side::State::kPlaying ? "here"
                                                             : "dialled",
                          s.finished ? ", finished" : "");
    }
    return text;
  }

 private:
  struct Side {
    enum class State : std::uint8_t { kGone, kConnecting, kPlaying } state = State::kGone;
    RemoteKey key = 0;
    std::uint64_t round = 0;
    std::uint64_t answered = 0;  // the last round that was
    bool acked = false;
    bool may_be_torn = false;  // a write was under way when the player was gone
    bool finished = false;
    std::uint64_t meetings = 0;
    std::uint64_t frames = 0;  // found by the player's life before
  };

  static Channel channel_of(std::size_t side) { return static_cast<Channel>(side + 1); }
  std::uint64_t progress(std::size_t side) const {
    std::uint64_t round = 0;
    std::memcpy(&round, progress_.memory.data() + side * sizeof round, sizeof round);
    return round;
  }

  void note_progress(std::size_t side) {
    const std::uint64_t round = sides_[side].answered;
    std::memcpy(progress_.memory.data() + side * sizeof round, &round, sizeof round);
  }

  void on_event(const Event& event, Outbox& out) override {
    if (event.kind == EventKind::kDown) return on_down(sides_.at(event.channel - 1u));
    if (event.kind != EventKind::kMessage && event.kind != EventKind::kAcked) return;
    const std::size_t i = event.channel - 1u;
    Side& side = sides_.at(i);
    if (event.kind == EventKind::kAcked) {
      side.acked = event.ticket == side.round;
    } else if (event.is_answer) {
      side.answered = side.round;
      note_progress(i);
    } else {
      meet(side, event.bytes);
      note_progress(i);
    }
    if (side.acked && side.answered == side.round) start_round(i, side, out);
  }

  void on_down(Side& side) {
    side.may_be_torn = side.may_be_torn || (side.state == Side::State::kPlaying && !side.acked);
    side.state = Side::State::kGone;
    side.finished = side.finished || (options_.players_stay_away && now_ > options_.until_ns);
    deadline_ = std::min(deadline_, now_ + kMillisecond);
  }

  // What it found must be what was acknowledged, or the write that was under way.
  void meet(Side& side, ConstBytes bytes) {
    Hello hello;
    std::memcpy(&hello, bytes.data(), std::min(bytes.size(), sizeof hello));
    const bool is_whole = hello.round == side.round || (hello.round + 1 == side.round && !side.acked);
    const bool is_torn = hello.round == Hello::kTorn || hello.round == side.round + 1;
    const bool is_empty = hello.round == 0 && !options_.keeps_memory;
    if (!is_whole && !is_empty && !(is_torn && side.may_be_torn)) {
      trouble_ = fmt::format("round {} was found after round {}, acknowledged {}", hello.round, side.round, side.acked);
    }
    if (side.meetings > 0 && options_.keeps_storage && hello.frames < side.frames) {
      trouble_ = fmt::format("{} frames were found after {}", hello.frames, side.frames);
    }
    if (!options_.keeps_storage && hello.frames != 0) trouble_ = fmt::format("{} frames were kept", hello.frames);
    if (is_whole || hello.round == side.round + 1) side.round = hello.round;
    side.frames = hello.frames;
    side.key = hello.key;
    side.state = Side::State::kPlaying;
    side.acked = true;
    side.answered = side.round;
    ++side.meetings;
  }

  void start_round(std::size_t i, Side& side, Outbox& out) {
    side.finished = side.finished || now_ > options_.until_ns;
    ++side.round;
    side.acked = side.may_be_torn = false;
    const Bytes from = source_.memory.subspan(kToyBytes * i, kToyBytes);
    write_round(side.round, from);
    out.write(channel_of(i), {from.data(), from.size()}, side.key, 0, side.round);
    send_number(out, channel_of(i), side.round);
  }

  LastingOptions options_;
  Region source_;
  Region progress_;
  std::vector<Side> sides_;
  TimeNs now_ = 0;
};

inline RunPlan lasting_plan(const LastingOptions& options) {
  ToyOptions toy;
  toy.players = options.players;
  RunPlan plan = toy_plan(toy);
  plan.make = [options](NodeId id, Fabric& fabric, const Storage& storage) -> std::unique_ptr<Node> {
    if (index(id) == 0) return std::make_unique<LastingReferee>(options, fabric);
    return std::make_unique<LastingPlayer>(options, id, fabric, storage);
  };
  return plan;
}

}  // namespace slipstream::emulate
