// One node's end of an RDMA network: device, channels, and the bootstrap that brings them up (verbs.h has the options).
//
// A poll looks at the completion queues in user memory; it looks at the bootstrap's sockets, a system call, only now
// and then, or always while one is being set up. Nothing of a batch costs a system call on cards that are driven from
// user space; SoftRoCE takes one for each channel that was posted to.
#pragma once

#include <memory>
#include <vector>

#include "core/base/ring.h"
#include "emulate/fabric/local_region.h"
#include "emulate/fabric/verbs/bootstrap.h"
#include "emulate/fabric/verbs/channel.h"
#include "emulate/fabric/verbs/verbs.h"
#include "emulate/fabric/verbs/windows.h"

namespace slipstream::emulate::verbs {

class VerbsFabric final : public RealFabric {
 public:
  explicit VerbsFabric(const VerbsOptions& options);
  ~VerbsFabric() override;

  Region create_region(std::string_view name, std::size_t bytes, Access access) override;
  void post(std::span<const Op> ops) override;
  std::size_t poll(std::span<Event> events) override;
  WriteOrder write_order() const override { return write_order_; }

  int wake_descriptor() const override { return bootstrap_.descriptor(); }
  bool arm() override;
  void disarm() override;
  TimeNs longest_sleep_ns() const override;
  std::uint64_t network_bytes() const override;

 private:
  using ChannelPtr = std::unique_ptr<VerbsChannel>;
  struct Registered {
    LocalRegion region;
    Owned<ibv_mr> registration;
  };
  struct Queue {
    Owned<ibv_cq> queue;
    std::uint32_t room = 0;  // completions that no channel has a claim on
  };
  // A place for a channel. Its index and generation are the id that completions carry.
  struct Place {
    std::uint16_t generation = 0;
    std::size_t queue = 0;
    ChannelPtr channel;
  };

  static std::uint32_t local_key(const void* fabric, const std::byte* data, std::size_t bytes);

  // Channels coming and going.
  VerbsChannel& make_channel(Channel number, NodeId peer);
  std::size_t queue_with_room();
  VerbsChannel* find(Channel number);
  VerbsChannel* of_completion(std::uint64_t wr_id);
  void connect(const Op& op);
  void look_at_sockets();
  void on_greeting(Link& link);
  void up(VerbsChannel& channel);
  void revoke(Channel number);
  void end(VerbsChannel& channel);
  void down(VerbsChannel& channel);
  void forget_retired();
  void hear_device();

  void flush(VerbsChannel& channel);
  void mark_dirty(VerbsChannel& channel);
  void mark_waiting(VerbsChannel& channel);
  void mark_ready(VerbsChannel& channel);

  // The parts of a poll.
  void release_views();
  bool look_at_completions();  // true: there were some
  void on_completion(const ibv_wc& completion);
  void work_off_waiting();
  std::size_t take_local(std::span<Event> events);
  std::size_t take_acks(std::span<Event> events);
  std::size_t take_messages(std::span<Event> events);
  bool take_frame(VerbsChannel& channel, const Frame& frame, Event& event);

  const VerbsOptions options_;
  const Device device_;
  Bootstrap bootstrap_;
  Owned<ibv_comp_channel> wakes_;
  std::vector<Queue> queues_;
  std::vector<Registered> regions_;
  mutable std::size_t last_region_ = 0;
  Windows windows_;

  std::vector<Place> places_;
  std::vector<std::uint16_t> free_places_;
  std::vector<VerbsChannel*> near_;  // by number; nullptr: never used, or dead
  std::vector<VerbsChannel*> far_;
  std::vector<std::uint16_t> retired_;  // places of dead channels: views of them may be in use until the next poll

  Ring<Event> local_;  // events that need nothing of a ring
  std::vector<VerbsChannel*> acks_;
  std::vector<VerbsChannel*> ready_;
  std::vector<VerbsChannel*> held_;
  std::vector<VerbsChannel*> dirty_;
  std::vector<VerbsChannel*> waiting_;
  std::vector<LinkEvent> link_events_;
  std::uint64_t next_tag_ = 1;
  std::uint64_t bytes_of_dead_ = 0;
  std::uint32_t polls_ = 0;
  bool look_now_ = true;
  WriteOrder write_order_ = WriteOrder::kNone;
};

}  // namespace slipstream::emulate::verbs
