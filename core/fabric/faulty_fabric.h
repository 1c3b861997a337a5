// A fabric that fails on purpose, around any other: channels die at an op, a channel's last write is torn, messages are
// lost, come twice or late. With no fault asked for it is transparent.
//
// - A channel's death is made by revoking it underneath; the node sees kDown, as does its peer.
// - A torn write: some of its bytes land, in pieces written one by one, then the channel dies. Earlier writes are
// whole.
// - Faults of messages are made at the receiving end, after the acknowledgement. A late message may come behind younger
//   ones, and a message may come twice: weaker than point 9 of the contract, as on a datagram transport. Both come with
//   a later poll of the same fabric, never after the channel's end.
//
// The same seed and the same calls give the same faults.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "core/base/rng.h"
#include "core/fabric/fabric.h"

namespace slipstream {

enum class Fault : std::uint8_t {
  kChannelLoss,   // the op is not carried out, its channel dies
  kTornByte,      // kWrite: all up to some byte lands. Other ops: as kChannelLoss
  kTornBlocks64,  // kWrite: any subset of its 64-byte blocks, counted from the start of the grant
  kTornBlocks128,
};

struct FaultyOptions {
  // At the n-th send, write or read posted to this fabric, counted from 1.
  struct At {
    std::uint64_t op = 0;
    Fault fault = Fault::kChannelLoss;
  };

  std::uint64_t seed = 1;
  std::vector<At> schedule;  // rising
  // Chances in a million: for each op posted,
  std::uint32_t channel_loss_ppm = 0;
  std::uint32_t torn_write_ppm = 0;  // of writes; the kind of tear is drawn too
  // for each message received.
  std::uint32_t message_loss_ppm = 0;
  std::uint32_t message_twice_ppm = 0;
  std::uint32_t message_late_ppm = 0;
  std::uint32_t longest_delay_polls = 16;  // late messages and second copies come 1 to so many polls later
};

class FaultyFabric final : public Fabric {
 public:
  // `node` keeps the draws of several nodes' fabrics apart.
  FaultyFabric(Fabric& inner, const FaultyOptions& options, NodeId node);

  Region create_region(std::string_view name, std::size_t bytes, Access access) override;
  void post(std::span<const Op> ops) override;
  std::size_t poll(std::span<Event> events) override;

  // Messages that wait for a later poll.
  bool holds_messages() const { return !late_.empty(); }
  std::uint64_t faults() const { return faults_; }

 private:
  struct Line {
    NodeId peer = kNoNode;
    Ticket highest = 0;     // posted
    bool doomed = false;    // takes no more ops; dies once `last_words` are acknowledged
    Ticket last_words = 0;  // the last piece of a torn write
    int own_revokes = 0;    // posted underneath by this wrapper, not answered
    bool told = false;      // the node knows that the channel is dead
  };
  struct Late {
    std::uint64_t due = 0;  // number of the poll
    Event event;
    std::vector<std::byte> bytes;
  };

  bool transparent() const { return !posts_fail_ && !messages_fail_; }
  void pass(const Op& op);
  bool draw(const Op& op, Fault& fault);
  void fail(const Op& op, Fault fault);
  void tear(Line& line, const Op& op, Fault fault);
  void revoke_underneath(Channel channel, Line& line);
  std::size_t take_late(std::span<Event> events);
  bool keep(Event& event);  // false: the node must not see it now
  bool keep_message(const Event& event);
  void hold(const Event& event, bool second);
  void forget(Channel channel);

  Fabric& inner_;
  const FaultyOptions options_;
  const bool posts_fail_;
  const bool messages_fail_;
  Rng rng_;
  std::map<Channel, Line> lines_;
  std::vector<Op> passing_;
  std::vector<std::unique_ptr<Slice[]>> pieces_;  // bodies of `passing_`
  std::vector<Late> late_;
  std::vector<std::vector<std::byte>> in_view_;  // until the next poll
  std::uint64_t ops_ = 0;
  std::size_t scheduled_ = 0;
  std::uint64_t polls_ = 0;
  std::uint64_t faults_ = 0;
};

}  // namespace slipstream
