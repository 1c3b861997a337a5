// The coordinator: who is a member, which server holds which tablet, and the phases of a run (all servers here, all
// data loaded, window open, window closed). Membership and placement come from the options; nothing is taken away yet.
//
// Level-triggered: events raise facts, advance() answers what the facts now allow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/cluster/wire.h"
#include "core/kv/tablets.h"
#include "core/turn/outbox.h"

namespace slipstream {

struct CoordinatorOptions {
  std::vector<NodeId> servers;
  std::vector<NodeId> clients;
  std::vector<Tablet> tablets;
  TimeNs warmup_ns = 0;
  TimeNs duration_ns = 0;
};

class Coordinator {
 public:
  explicit Coordinator(CoordinatorOptions options) : options_(std::move(options)) {}

  void on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out);
  void on_answer(const RpcMessage& message, Outbox& out);
  void on_down(Channel channel);
  void advance(TimeNs now, Outbox& out);

  TimeNs deadline() const;
  bool done() const { return phase_ == Phase::kDone; }
  std::string trouble() const { return trouble_; }
  std::string describe() const;

 private:
  enum class Phase : std::uint8_t { kEnlisting, kLoading, kWarmup, kWindow, kDraining, kDone };
  struct Member {
    NodeId node = kNoNode;
    Channel channel = 0;
  };
  struct Waiting {
    Channel channel = 0;
    std::uint64_t tag = 0;
    RpcHeader header;
  };

  void answer(const Waiting& waiting, Outbox& out);
  void answer_map(const Waiting& waiting, Outbox& out);
  void tell_window(bool starts, Outbox& out);

  CoordinatorOptions options_;
  Phase phase_ = Phase::kEnlisting;
  std::vector<Member> servers_;
  std::vector<Member> clients_;
  std::vector<Waiting> enlisting_;
  std::vector<Waiting> ready_;
  std::size_t finished_ = 0;
  std::size_t window_answers_ = 0;
  TimeNs window_start_ns_ = 0;
  TimeNs window_end_ns_ = 0;
  std::string trouble_;
};

}  // namespace slipstream
