// A fabric that fails on purpose, around any other: channels die, a channel's last write is torn or lands late,
// messages are lost, come twice or late, nothing passes to or from a peer, a bit of memory is inverted. With no fault
// asked for it is transparent.
//
// - A channel's death is made by revoking it underneath; the node sees kDown, as does its peer.
// - A torn write: some of its bytes land, in pieces written one by one, then the channel dies. Earlier writes are
// whole.
// - A late write: the node is told that the channel is dead at once, and may use its number again. The channel lives on
//   underneath until the write's time has come (its first kLateBytes at most), unless an end revokes it before.
// - Faults of messages are made at the receiving end, after the acknowledgement. A late message may come behind younger
//   ones, and a message may come twice: weaker than point 9 of the contract, as on a datagram transport. Both come with
//   a later poll of the same fabric, never after the channel's end.
// - A cut: what is posted towards the peer, or comes from it (messages, acknowledgements, answers of reads), vanishes,
//   as does a late write. A channel that lost something is silent that way for good, and dies `patience_ns` later, when
//   a transport would give up; one that lost nothing survives. A dial fails after that time; one that is under way when
//   the cut begins, at once. A partition needs a cut at both of its ends: what the peer writes into memory here is for
//   its own wrapper to keep away.
// - A bit flip: of the durable regions, a byte that is not 0 is drawn, and a bit of it inverted, as soon as there is
// one.
//
// The same seed and the same calls give the same faults. The wrapper has no clock: who asks for faults at times calls
// advance() before each poll.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/rng.h"
#include "core/fabric/fabric.h"

namespace slipstream {

enum class FabricFault : std::uint8_t {
  kChannelLoss,   // the op is not carried out, its channel dies
  kTornByte,      // kWrite: all up to some byte lands. Other ops: as kChannelLoss
  kTornBlocks64,  // kWrite: any subset of its 64-byte blocks, counted from the start of the grant
  kTornBlocks128,
  kTornAnywhere,  // kWrite: any subset of its bytes, in a limited number of pieces
  // At times only:
  kLateWrite,
  kMessageLoss,
  kMessageTwice,
  kCutOut,  // nothing passes to the peer
  kCutIn,   // nothing comes from the peer
  kBitFlip,
};

struct FaultyOptions {
  // At the n-th send, write or read posted to this fabric, counted from 1.
  struct At {
    std::uint64_t op = 0;
    FabricFault fault = FabricFault::kChannelLoss;
  };
  // A channel loss: of all channels with the peer, then. A cut: from then on. A torn or late write, a message lost or
  // doubled: the next one from then on, to or from the peer.
  struct Timed {
    TimeNs at_ns = 0;
    FabricFault fault = FabricFault::kChannelLoss;
    NodeId peer = kNoNode;  // kNoNode: any
    TimeNs lasts_ns = 0;    // kLateWrite: until it lands; kCutOut, kCutIn
    std::uint64_t salt = 0;
  };

  std::uint64_t seed = 1;
  std::vector<At> schedule;  // rising
  std::vector<Timed> timed;  // rising
  // Chances in a million: for each op posted,
  std::uint32_t channel_loss_ppm = 0;
  std::uint32_t torn_write_ppm = 0;  // of writes; the kind of tear is drawn too
  // for each message received.
  std::uint32_t message_loss_ppm = 0;
  std::uint32_t message_twice_ppm = 0;
  std::uint32_t message_late_ppm = 0;
  TimeNs patience_ns = 100 * kMillisecond;  // of a channel whose ops or acknowledgements were cut off
  std::uint32_t longest_delay_polls = 16;   // late messages and second copies come 1 to so many polls later
};

class FaultyFabric final : public Fabric {
 public:
  static constexpr std::size_t kLateBytes = kMiB;  // of one late write

  // `node` keeps the draws of several nodes' fabrics apart.
  FaultyFabric(Fabric& inner, const FaultyOptions& options, NodeId node);

  Region create_region(std::string_view name, std::size_t bytes, Access access) override;
  void post(std::span<const Op> ops) override;
  WriteOrder write_order() const override { return inner_.write_order(); }
  std::size_t poll(std::span<Event> events) override;

  // What is due at this time happens: now, or to the next op or message.
  void advance(TimeNs now);
  // When the next call of advance() has something to do; kNever: it has not.
  TimeNs next_due() const;

  // A poll would bring something that does not come from the network: messages held back, an end of a channel.
  bool holds_events() const { return !late_.empty() || !own_events_.empty(); }
  std::uint64_t faults() const { return faults_; }

 private:
  using Timed = FaultyOptions::Timed;

  // By the number that the channel has underneath.
  struct Line {
    NodeId peer = kNoNode;
    Channel number = 0;      // at the node
    bool alive = false;      // underneath
    Ticket highest = 0;      // posted
    bool doomed = false;     // takes no more ops; dies once `last_words` are acknowledged
    bool undead = false;     // the node believes it dead; it waits for its late write
    Ticket last_words = 0;   // the last piece of a torn or late write
    int own_revokes = 0;     // posted underneath by this wrapper, not answered
    bool told = false;       // the node knows that the channel is dead
    bool undialled = false;  // the dial was cut off
    // Something was cut off, out or in: nothing passes that way any more.
    std::array<bool, 2> silent{};
    TimeNs dies_ns = kNever;  // of that
  };
  struct Cut {
    bool out = false;
    NodeId peer = kNoNode;  // kNoNode: all
    TimeNs until_ns = kNever;
  };
  struct Late {
    std::uint64_t due = 0;  // number of the poll
    Event event;
    std::vector<std::byte> bytes;
  };
  struct LateWrite {
    TimeNs due_ns = 0;
    Channel channel = 0;
    RemoteKey key = 0;
    std::uint64_t offset = 0;
    Slice bytes;
  };

  bool transparent() const { return !posts_fail_ && !messages_fail_; }
  Channel underneath(Channel number) const;
  Channel number_for(const Op& connect);
  void pass(const Op& op);
  bool draw(const Op& op, FabricFault& fault, Timed& timed);
  bool take_armed(std::vector<Timed>& armed, NodeId peer, Timed& taken);
  void fail(const Op& op, FabricFault fault, const Timed& timed);
  void tear(Line& line, const Op& op, FabricFault fault, Rng& rng);
  void write_piece(Line& line, const Op& op, std::size_t from, std::size_t to);
  void hold_write(Line& line, const Op& op, const Timed& timed);
  void land(const LateWrite& write);
  bool flip_bit(const Timed& timed);  // false: there is none
  void begin_cut(const Timed& timed);
  bool is_cut(bool out, NodeId peer) const;
  bool cut_off(Line& line, bool out);  // true: what is about to pass does not
  void end_silent();
  void tell_down(Line& line);
  void revoke_underneath(Channel channel, Line& line);
  void post_passing();
  std::size_t take_own(std::span<Event> events);
  std::size_t take_late(std::span<Event> events);
  bool keep(Event& event);  // false: the node must not see it now
  bool keep_message(const Event& event);
  void hold(const Event& event, bool second);
  void forget(Channel channel);

  Fabric& inner_;
  const FaultyOptions options_;
  const bool posts_fail_;
  const bool messages_fail_;
  const NodeId node_;
  Rng rng_;
  std::map<Channel, Line> lines_;
  std::map<Channel, Channel> renamed_;  // numbers of the node that are taken underneath by an undead channel
  Channel next_name_ = kFirstAccepted - 1;
  std::vector<Op> passing_;
  std::vector<std::unique_ptr<Slice[]>> pieces_;  // bodies of `passing_`
  std::vector<Late> late_;
  std::vector<std::vector<std::byte>> in_view_;  // until the next poll
  std::vector<Event> own_events_;
  std::vector<Bytes> durable_;
  Region late_memory_;  // of the late writes; each has its part
  std::size_t late_used_ = 0;
  std::vector<LateWrite> late_writes_;
  std::vector<Timed> armed_writes_;
  std::vector<Timed> armed_messages_;
  std::vector<Timed> flips_;     // due
  std::vector<Cut> cuts_;        // now
  TimeNs next_end_ns_ = kNever;  // of a silent line; no later than the first
  TimeNs look_for_bits_at_ns_ = 0;
  TimeNs now_ns_ = 0;      // as of the last advance()
  std::size_t timed_ = 0;  // of options_.timed that were due
  std::uint64_t ops_ = 0;
  std::size_t scheduled_ = 0;
  std::uint64_t polls_ = 0;
  std::uint64_t faults_ = 0;
};

}  // namespace slipstream
