// Kernel sockets as a network: one connection for each channel. What a NIC would do for one-sided ops, the receiving
// fabric does inside poll(): it applies writes, answers reads, and acknowledges; its node is not told.
//
// System calls: one epoll_wait for each poll, one recvmsg for each channel that has something, one sendmsg for each
// channel that was posted to. When a poll brought events its acknowledgements wait for the post of the turn that
// follows, so that they travel with other data; when not, as at a replica, they go at once.
//
// Who connects is a stranger until its greeting has come with the run's secret. A wrong word, or none in time, and the
// connection is closed; the node hears of neither. There are at most kMostStrangers: others wait to be accepted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sys/epoll.h>

#include "core/base/ring.h"
#include "emulate/fabric/local_region.h"
#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/tcp_channel.h"
#include "emulate/fabric/tcp_wire.h"

namespace slipstream::emulate {

class TcpFabric final : public RealFabric {
 public:
  explicit TcpFabric(const TcpOptions& options);

  Region create_region(std::string_view name, std::size_t bytes, Access access) override;
  void post(std::span<const Op> ops) override;
  std::size_t poll(std::span<Event> events) override;

  int wake_descriptor() const override { return epoll_.get(); }
  bool arm() override;
  void disarm() override {}
  TimeNs longest_sleep_ns() const override;
  std::uint64_t network_bytes() const override;

 private:
  using ChannelPtr = std::shared_ptr<TcpChannel>;
  // What parsing a frame came to.
  enum class Parsed : std::uint8_t { kFrame, kIncomplete, kNoRoom, kDead };
  // The events of the poll under way.
  struct Room {
    std::span<Event> events;
    std::size_t n = 0;
    bool full() const { return n == events.size(); }
  };

  ChannelPtr& slot(Channel number);
  TcpChannel* find(Channel number);  // nullptr: never used, or dead

  // Channels coming and going.
  void connect(const Op& op);
  void start_connecting(TcpChannel& channel);
  void try_again();
  void connected(TcpChannel& channel);
  tcp::Greeting greeting_for(NodeId peer) const;
  void accept_all();
  void listen_again();
  void turn_away_the_silent();
  void accepted(TcpChannel& channel, NodeId from);
  Parsed parse_greeting(TcpChannel& channel, const tcp::FrameHeader& header);
  void failed_to_connect(TcpChannel& channel);
  void watch(TcpChannel& channel, std::uint32_t events);
  void revoke(Channel number);
  void end(TcpChannel& channel);
  void down(TcpChannel& channel);

  // Ops.
  void send(const Op& op);
  void write(const Op& op);
  void read(const Op& op);
  void grant(const Op& op);
  void withdraw(const Op& op);
  static std::uint8_t count_op(TcpChannel& channel, Ticket ticket);
  void mark_dirty(TcpChannel& channel);
  void flush();

  // Frames.
  void serve(TcpChannel& channel, std::uint32_t happened, Room& room);
  void parse_all(TcpChannel& channel, Room& room);
  Parsed parse(TcpChannel& channel, Room& room);
  Parsed parse_message(TcpChannel& channel, const tcp::FrameHeader& header, Room& room);
  Parsed parse_write(TcpChannel& channel, const tcp::FrameHeader& header);
  Parsed parse_read(TcpChannel& channel, const tcp::FrameHeader& header);
  Parsed parse_read_data(TcpChannel& channel, const tcp::FrameHeader& header);
  void finish_landing(TcpChannel& channel);
  static Bytes granted(const TcpChannel& channel, RemoteKey key, std::uint64_t offset, std::uint64_t bytes, bool& ok);
  void op_done(TcpChannel& channel, bool wants_ack);
  void acknowledged(TcpChannel& channel, std::uint64_t op);
  void flush_ack(TcpChannel& channel);
  void forget_retired();
  void parse_ready(Room& room);
  void wait_for_sockets(Room& room);
  bool drain_local(Room& room);
  void take_acks(Room& room);

  const TcpOptions options_;
  FileDescriptor epoll_;
  FileDescriptor listener_;
  std::vector<LocalRegion> regions_;

  std::vector<ChannelPtr> near_;
  std::vector<ChannelPtr> far_;
  std::vector<ChannelPtr> strangers_;  // accepted, not greeted yet; in the order in which they came
  bool listening_ = true;              // false: as many strangers as there may be
  std::vector<ChannelPtr> waiting_;    // to try again
  std::vector<ChannelPtr> retired_;    // dead; views of them may be in use until the next poll
  std::vector<TcpChannel*> dirty_;
  std::vector<TcpChannel*> ready_;  // with unparsed bytes that waited for room among the events
  std::vector<TcpChannel*> now_ready_;
  std::vector<TcpChannel*> acks_;
  std::vector<TcpChannel*> received_;
  Ring<Event> local_;
  std::uint64_t next_tag_ = 1;
  std::uint64_t next_key_ = 1;
  std::uint64_t bytes_of_dead_ = 0;
};

}  // namespace slipstream::emulate
