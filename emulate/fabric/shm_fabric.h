// Shared memory as a network. The initiator of an op does what a NIC would do: it copies the bytes to the peer's
// memory. One thread drives a fabric; peers may be in this process or in others.
//
// Costs: a message is two small copies' worth of memory traffic, an op with a ticket an acknowledgement at the next
// poll; a batch of ops costs one locked instruction per channel (the peer's bell), and two more when it writes or reads
// memory: they announce the copies, and end them.
//
// Lives of a node: a life that ends without a word leaves its files. The next one copies what is durable into files of
// its own: the peers' mappings of the old ones lead nowhere. It marks the old control block first, and peers look at
// that mark before they report an acknowledgement; so an acknowledged write is in the memory that the next life finds.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/base/ring.h"
#include "emulate/fabric/anonymous_memory.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/shared_file.h"
#include "emulate/fabric/shm_channel.h"
#include "emulate/fabric/shm_layout.h"

namespace slipstream::emulate {

class ShmFabric final : public RealFabric {
 public:
  explicit ShmFabric(const ShmOptions& options);
  ~ShmFabric() override;

  Region create_region(std::string_view name, std::size_t bytes, Access access) override;
  void post(std::span<const Op> ops) override;
  std::size_t poll(std::span<Event> events) override;

  int wake_descriptor() const override { return wake_.get(); }
  bool arm() override;
  void disarm() override;
  TimeNs longest_sleep_ns() const override;
  std::uint64_t network_bytes() const override;

 private:
  using ChannelPtr = std::shared_ptr<ShmChannel>;
  struct LocalRegion {
    std::shared_ptr<SharedFile> file;  // its number is its place in Control::regions
    Bytes memory;
  };
  // A connect that the peer has not been told of.
  struct Knock {
    Channel channel = 0;
    std::uint64_t serial = 0;
    TimeNs give_up_at = 0;
  };
  // A withdrawal, or with key 0 a revocation, that waits for the other end's copies to end.
  struct Ending {
    ChannelPtr channel;
    Channel number = 0;
    RemoteKey key = 0;
    Ticket ticket = 0;
    std::uint32_t mark = 0;
  };

  void take_over_from(const SharedFile& old);
  ChannelPtr& slot(Channel number);
  ShmChannel* find(Channel number);  // nullptr: never used, or dead
  std::string path(std::string_view name) const;
  std::string link_path(std::uint16_t from, std::uint64_t serial) const;

  // Channels coming and going.
  void connect(const Op& op);
  bool knock(ShmChannel& channel, std::uint64_t serial);
  void knock_again(TimeNs now);
  void answer_knocks();
  void accept(const shm::Mail& mail);
  std::shared_ptr<ShmPeer> peer(NodeId node);
  void add(const ChannelPtr& channel);
  void revoke(Channel number);
  void end(ShmChannel& channel);  // no event
  void down(ShmChannel& channel);
  void forget_retired();
  void housekeeping();
  void bury(ShmPeer& who);
  bool buried(ShmChannel& channel);

  // One op, or what is left of one.
  void carry_out(const Op& op);
  void settle(ShmChannel& channel, OpKind kind, Ticket ticket, Progress progress);
  void work_off_backlogs();
  void grant(const Op& op);
  void withdraw(const Op& op);
  void finish_endings();

  void mark_ready(ShmChannel& channel);
  void publish_touched();
  void ring(ShmChannel& channel);
  void wake(ShmPeer& who);
  void flush_ack(ShmChannel& channel);

  // The parts of a poll.
  void release_views();
  void listen();
  std::size_t take_local(std::span<Event> events);
  std::size_t take_acks(std::span<Event> events);
  std::size_t take_messages(std::span<Event> events);
  std::size_t take_from(ShmChannel& channel, std::span<Event> events, bool& more);

  const std::string directory_;
  const NodeId node_;
  const std::size_t ring_bytes_;
  const TimeNs patience_ns_;
  std::shared_ptr<SharedFile> control_file_;
  FileDescriptor owner_lock_;
  FileDescriptor wake_;
  shm::Control* control_ = nullptr;
  std::vector<LocalRegion> regions_;      // grantable
  std::vector<AnonymousMemory> private_;  // local: no file, no peer ever maps it

  std::vector<std::shared_ptr<ShmPeer>> peers_;
  std::vector<ChannelPtr> near_;  // by number: picked by the node,
  std::vector<ChannelPtr> far_;   // from kFirstAccepted up
  std::vector<ShmChannel*> by_bell_;
  std::vector<std::uint32_t> free_bells_;
  std::vector<Knock> knocks_;
  std::vector<Ending> endings_;
  std::vector<ChannelPtr> retired_;  // dead; views of them may be in use until the next poll

  Ring<Event> local_;               // events that need nothing of a ring
  std::vector<ShmChannel*> acks_;   // channels with an acknowledgement to report
  std::vector<ShmChannel*> ready_;  // channels that may have something to receive
  std::vector<ShmChannel*> held_;   // channels with views in use
  std::vector<ShmChannel*> touched_;
  std::vector<ShmChannel*> backlogs_;
  std::uint64_t next_tag_ = 1;
  std::uint64_t next_serial_;
  std::uint64_t next_grant_ = 1;
  std::uint64_t bytes_of_dead_ = 0;
  std::uint32_t polls_ = 0;
  TimeNs looked_at_ = 0;
  bool look_now_ = false;
};

}  // namespace slipstream::emulate
