// One end of a shm channel: the message rings, the one-sided copies and their rights. ShmFabric owns the channels,
// decides when one dies, and turns what happens here into events.
//
// A batch of ops becomes visible at once: publish() sets the ring's tail and ends the announcement of copies.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/fabric/fabric.h"
#include "emulate/fabric/backlog.h"
#include "emulate/fabric/shared_file.h"
#include "emulate/fabric/shm_layout.h"

namespace slipstream::emulate {

// A peer as this fabric sees it: its control block, whether it lives, and how to wake it.
struct ShmPeer {
  NodeId node = kNoNode;
  std::shared_ptr<SharedFile> file;
  shm::Control* control = nullptr;
  FileDescriptor wake;  // its named pipe
  bool dead = false;
  std::vector<std::shared_ptr<SharedFile>> regions;  // mapped when first used
};

enum class Progress : std::uint8_t { kDone, kNoRoom, kRefused };

class ShmChannel {
 public:
  enum class State : std::uint8_t { kConnecting, kUp, kDead };

  // `side` 0: the end that made the link.
  ShmChannel(Channel number, NodeId peer, int side, std::shared_ptr<SharedFile> link);

  // Sends, or as much of it as there is room for.
  Progress send(const Op& op);
  Progress copy(const Op& op, const std::string& run_directory);  // kWrite, kRead
  Progress carry_out_front(const std::string& run_directory);     // of the backlog

  // A message or a piece of one; false when there is none. `whole`: `bytes` is a message.
  bool receive(ConstBytes& bytes, bool& is_answer, bool& whole);
  // The last message was put together from pieces: no more may be received before its view ends.
  bool assembled() const { return assembled_; }
  // Makes what was received since the last release the other end's again.
  void release();

  // Ends a batch: what was posted becomes visible. True: there are messages in it.
  bool publish();
  // What was copied is there before whatever this end looks at next.
  void end_copies();
  // A new life of the peer's node has taken its memory over. What was copied before a "no", and end_copies(), is in it.
  bool peer_is_over() const { return peer->control->over.load(std::memory_order_seq_cst) != 0; }
  // Nothing may land through the channel any more, once quiet() holds. Both hold for good.
  void close();
  bool quiet() const;  // no copy of the other end is under way that began before close()
  bool closed_by_peer() const { return theirs_->closed.load(std::memory_order_acquire) != 0; }

  // The granter's side. A withdrawn grant's memory is still once copies_ended(mark) holds.
  RemoteKey grant(std::uint64_t key_serial, std::uint32_t region, std::uint64_t offset, std::uint64_t bytes);
  bool withdraw(RemoteKey key);      // false: there is no such grant
  void forget_grant(RemoteKey key);  // after copies_ended(): its slot may be used again
  std::uint32_t copy_mark() const { return theirs_->writing.load(std::memory_order_seq_cst); }
  bool copies_ended(std::uint32_t mark) const { return mark % 2 == 0 || copy_mark() != mark; }

  std::uint64_t life() const { return link_->life; }  // of the node that connected
  shm::Side& mine() { return *mine_; }
  const shm::Side& theirs() const { return *theirs_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  std::uint64_t take_bytes_sent() { return std::exchange(bytes_sent_, 0); }
  // Gives the incoming ring's memory back; no view of it may be in use.
  void drop_ring();

  const Channel number;
  const NodeId peer_node;
  State state = State::kConnecting;
  std::shared_ptr<ShmPeer> peer;  // nullptr until it is known
  std::uint32_t bell = 0;
  std::uint64_t serial = 0;  // side 0: of the link's file, while the peer has not taken it
  Backlog backlog;
  Ticket ack = 0;  // to be reported
  bool ack_listed = false;
  bool touched = false;  // posted to since the last publish
  bool ready = false;    // listed as having something to receive
  bool held = false;     // listed as having views in use
  bool backlog_listed = false;

 private:
  struct KnownGrant {
    RemoteKey key = 0;
    Bytes memory;
  };

  std::byte* room(std::size_t bytes);
  void skip_to_start();
  void start_batch();
  bool has_space(std::size_t bytes);
  Progress send_pieces(Backlog::Entry& entry);
  Progress copy_slices(bool is_read, std::span<const Slice> body, Bytes local, RemoteKey key, std::uint64_t offset,
                       const std::string& run_directory);
  bool begin_copies();
  const KnownGrant* look_up(RemoteKey key, const std::string& run_directory);

  std::shared_ptr<SharedFile> file_;
  shm::Link* link_;
  shm::Side* mine_;
  shm::Side* theirs_;
  shm::Grant* granted_;       // by this end
  const shm::Grant* grants_;  // by the other
  std::byte* out_;
  std::byte* in_;
  std::size_t ring_bytes_;
  std::size_t in_at_;          // offset of `in_` in the file
  std::uint64_t out_end_ = 0;  // where the next record goes
  std::uint64_t out_published_ = 0;
  std::uint64_t out_released_ = 0;  // as last seen
  std::uint64_t batch_bytes_ = 0;   // a decaying maximum of what one batch puts on the ring
  std::uint64_t in_begin_ = 0;
  std::uint64_t in_end_ = 0;  // as last seen
  bool copying_ = false;      // announced
  std::uint64_t bytes_sent_ = 0;
  std::vector<KnownGrant> known_;
  std::vector<std::uint16_t> free_grants_;
  std::size_t fresh_grant_ = 0;
  std::vector<std::byte> assembly_;
  bool assembled_ = false;
};

}  // namespace slipstream::emulate
