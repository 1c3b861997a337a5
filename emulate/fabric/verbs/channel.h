// One end of a verbs channel: its queue pair, the ring it receives into, what waits to be sent, and the keys it may
// use. VerbsFabric owns the channels, decides when one dies, and turns what happens here into events.
//
// Sending: ops become work requests that are chained and posted once a batch (flush()). Only the last of a chain asks
// for a completion, and only when somebody waits for one or the send queue would fill up; completions are cumulative.
// Small messages of a batch share a SEND. A SEND is posted only when the other end has a slot for it, so its card never
// has to say "receiver not ready".
#pragma once

#include <infiniband/verbs.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/ring.h"
#include "core/fabric/fabric.h"
#include "emulate/fabric/backlog.h"
#include "emulate/fabric/verbs/device.h"
#include "emulate/fabric/verbs/mirrored_memory.h"
#include "emulate/fabric/verbs/receive_ring.h"
#include "emulate/fabric/verbs/windows.h"
#include "emulate/fabric/verbs/wire.h"

namespace slipstream::emulate::verbs {

struct Link;

// What a fabric lends to its channels.
struct Surroundings {
  const Device* device = nullptr;
  Windows* windows = nullptr;
  ibv_cq* queue = nullptr;
  std::size_t ring_bytes = 0;
  std::uint32_t (*local_key)(const void* fabric, const std::byte* data, std::size_t bytes) = nullptr;
  const void* fabric = nullptr;
};

class VerbsChannel {
 public:
  enum class State : std::uint8_t { kConnecting, kUp, kDead };

  static constexpr std::uint32_t kSendDepth = 256;
  // Completions that a channel may cause at once: a completion queue has room for all of them.
  static std::uint32_t completions(std::size_t ring_bytes) {
    return kSendDepth + static_cast<std::uint32_t>(ring_bytes / kSlotBytes);
  }

  // Makes the queue pair and posts the ring. `id` comes back in the high half of every completion's wr_id. Throws with
  // cause and remedy.
  VerbsChannel(Channel number, NodeId peer, std::uint32_t id, const Surroundings& around);
  ~VerbsChannel() { kill(); }
  VerbsChannel(const VerbsChannel&) = delete;
  VerbsChannel& operator=(const VerbsChannel&) = delete;
  Greeting greeting() const;
  // From here on it can receive and send. False: the device refuses.
  bool meet(const Greeting& peer);

  // Until then ops wait: its card would drop what comes.
  void other_end_is_ready() { is_ready_ = true; }

  // kSend, kWrite, kRead, kGrant, kWithdraw: now, or when there is room. Throws when memory cannot be granted.
  void post(const Op& op);
  // To be answered before anything else that waits: the other end's grant or withdrawal.
  void answer(FrameKind kind, RemoteKey key) { owed_.push_back({kind, key}); }
  // What waits and now has room; gives slots back when many are free.
  void work_off();
  bool has_waiting() const { return !backlog_.empty() || !owed_.empty() || owes_slots(); }
  void flush();
  // The device has refused something: the channel must die.
  bool is_broken() const { return broken_; }

  // What was waited for and is done by the completion of the request `index`, one by one; false: no more.
  struct Done {
    enum class Kind : std::uint8_t { kAck, kRead };
    Kind kind = Kind::kAck;
    std::uint64_t request = 0;
    Ticket ticket = 0;
  };
  bool take_done(std::uint32_t index, Done& done);
  void on_received(const ibv_wc& completion);

  ReceiveRing& ring() { return ring_; }
  // Ends the life of views: their slots are the other end's again.
  void release() { broken_ = !ring_.release(*pair_) || broken_; }

  // The other end's grants to this one.
  void learn(const GrantFrame& grant) { known_.push_back(grant); }
  void unlearn(RemoteKey key);
  // The other end has answered a grant, a withdrawal: the op's ticket; nullopt: nobody asked, the channel must die.
  std::optional<Ticket> on_learned(RemoteKey key);
  std::optional<Ticket> on_withdrawn(RemoteKey key);

  // Nothing passes any more, in either direction, when this returns.
  void kill();
  WriteOrder write_order() const;

  std::uint64_t bytes_sent() const { return bytes_sent_; }
  const Channel number;
  const NodeId peer;
  const std::uint32_t id;
  State state = State::kConnecting;
  Link* link = nullptr;
  Ticket ack = 0;  // to be reported
  bool ack_listed = false;
  bool is_deserted = false;  // the other end has gone; it is down when all frames were taken
  bool dirty = false;        // listed as posted to since the last flush
  bool waiting = false;      // listed as having something that waits
  bool ready = false;        // listed as having frames to take
  bool held = false;         // listed as having views in use

 private:
  static constexpr std::size_t kChain = 32;
  static constexpr std::size_t kMostPieces = 16;  // of a gather list

  enum class Progress : std::uint8_t { kDone, kNoRoom };
  struct Owed {
    FrameKind kind;
    RemoteKey key;
  };

  std::uint32_t send_room() const { return kSendDepth - static_cast<std::uint32_t>(posted_ - completed_) - chained_; }
  std::uint32_t credits() const { return ring_.slots() + returned_to_us_ - static_cast<std::uint32_t>(sends_); }
  bool owes_slots() const { return ring_.released() - told_ >= ring_.slots() / 4; }

  void make_pair();
  // Requests of the chain.
  ibv_send_wr& add(ibv_wr_opcode opcode);
  void add_piece(const std::byte* data, std::size_t bytes, std::uint32_t key);  // to the last request
  void wait_for(Done::Kind kind, Ticket ticket);
  std::uint32_t key_of(const std::byte* data, std::size_t bytes) const {
    return around_.local_key(around_.fabric, data, bytes);
  }
  // SENDs.
  bool open_send(std::uint32_t keep);
  void close_send();
  std::byte* stage(std::size_t bytes);
  void copy(const void* data, std::size_t bytes);
  void append_body(const std::byte* data, std::size_t bytes, std::size_t by_reference_from);
  std::byte* begin_frame(const FrameHeader& header, std::size_t copied, std::size_t pieces);
  Progress send_small(const Op& op, std::size_t bytes);
  Progress send_long(Backlog::Entry& entry);
  void append_part(const Backlog::Entry& entry, std::size_t from, std::size_t bytes);
  Progress send_control(FrameKind kind, ConstBytes body);
  // Ops.
  Progress carry_out(const Op& op);
  Progress carry_out_front();
  Progress access(const Op& op);
  void refuse(Ticket ticket);
  Progress grant(Bytes memory, Ticket ticket);
  Progress withdraw(RemoteKey key, Ticket ticket);
  const GrantFrame* look_up(RemoteKey key);
  std::vector<Grant>::iterator find_grant(RemoteKey key);

  const Surroundings around_;
  ReceiveRing ring_;
  MirroredMemory staging_;  // one slot for each SEND that the other end may hold
  Owned<ibv_mr> staging_key_;
  Owned<ibv_qp> pair_;
  std::uint32_t first_packet_ = 0;
  std::uint32_t most_inline_ = 0;
  std::size_t most_pieces_ = 0;
  std::size_t most_bytes_ = 0;  // of one request
  bool is_ready_ = false;       // the other end
  bool broken_ = false;

  // The chain, and the SEND at its end.
  std::array<ibv_send_wr, kChain> requests_{};
  std::array<std::array<ibv_sge, kMostPieces>, kChain> pieces_{};
  std::uint32_t chained_ = 0;
  bool chain_is_waited_for_ = false;
  bool send_open_ = false;
  std::size_t send_bytes_ = 0;
  std::size_t staged_ = 0;

  std::uint64_t posted_ = 0;     // requests, without those of the chain
  std::uint64_t completed_ = 0;  // of them
  std::uint64_t asked_ = 0;      // the last one that asked for a completion
  std::uint64_t sends_ = 0;      // SENDs, with those of the chain
  std::uint32_t returned_to_us_ = 0;
  std::uint64_t reads_until_ = 0;  // requests up to this one may be RDMA reads under way
  Ring<Done> waited_for_;
  Backlog backlog_;
  std::vector<Owed> owed_;
  std::uint64_t told_ = 0;  // slots given back, as the other end knows
  std::uint64_t bytes_sent_ = 0;

  std::vector<GrantFrame> known_;
  std::size_t last_known_ = 0;
  std::vector<Grant> granted_;
  Windows::Free free_windows_;
  std::uint32_t next_key_ = 1;
};

}  // namespace slipstream::emulate::verbs
