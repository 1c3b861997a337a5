// A node's line to the coordinator: connects, enlists, learns the view, asks for leave to go on (its lease), and
// notices when its life is over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cluster/membership_options.h"
#include "core/cluster/view.h"
#include "core/cluster/wire.h"
#include "core/turn/outbox.h"

namespace slipstream {

class CoordinatorLink {
 public:
  // Uses `channel`, and no other.
  CoordinatorLink(const MembershipOptions& options, NodeId self, NodeId coordinator, std::uint16_t kind,
                  Channel channel)
      : options_(options), self_(self), coordinator_(coordinator), kind_(kind), channel_(channel) {}

  bool owns(Channel channel) const { return channel == channel_; }
  Channel channel() const { return channel_; }
  bool is_up() const { return up_; }
  void on_connected() { up_ = true; }
  void on_down(TimeNs now);
  // An answer or a kView: true when view() is new.
  bool on_message(const RpcMessage& message, Outbox& out);

  // Asks for the view when it may have changed; the answer comes as to a heartbeat.
  void ask(TimeNs now, Outbox& out) { hello(Opcode::kHeartbeat, now, out); }
  // Sends kReady or kFinished, again on every new connection until it is answered.
  void report(Opcode opcode) {
    reporting_ = opcode;
    report_sent_ = false;
  }
  Opcode last_answer() const { return last_answer_; }
  void send(Opcode opcode, const AboutServer& about, std::span<const KeyRange> ranges, Outbox& out);
  void send_epochs(std::span<const SegmentEpoch> epochs, Outbox& out);

  void advance(TimeNs now, Outbox& out);
  TimeNs deadline() const;

  const View& view() const { return view_; }
  std::uint16_t life() const { return life_; }
  std::uint32_t client() const { return client_; }
  // Not recoverable: always.
  bool has_lease(TimeNs now) const { return !options_.recoverable || now < lease_until_; }
  // This life, or this client's lease, is over.
  bool is_dead() const { return dead_; }
  // A client may begin anew, as another.
  void begin_anew();
  // Rises with every connection: what was asked on an earlier one may be lost.
  std::uint64_t connections() const { return connections_; }

 private:
  void hello(Opcode opcode, TimeNs now, Outbox& out);

  MembershipOptions options_;
  NodeId self_;
  NodeId coordinator_;
  std::uint16_t kind_;
  Channel channel_;
  bool up_ = false;
  bool greeted_ = false;   // on this connection
  TimeNs connect_at_ = 0;  // the first turn connects
  TimeNs heartbeat_at_ = kNever;
  TimeNs lease_until_ = 0;
  Opcode reporting_{};
  bool report_sent_ = false;
  bool has_finished_ = false;  // and was told so: a coordinator that restarted must hear it again
  Opcode last_answer_{};
  std::uint16_t life_ = 0;
  std::uint32_t client_ = 0;
  bool dead_ = false;
  std::uint64_t connections_ = 0;
  View view_;
};

}  // namespace slipstream
