// A client's side of the key-value store: operations of one or many items, split over the servers that hold the
// tablets, sent again until they are answered, each mutation numbered so that it takes effect exactly once (RIFL,
// SOSP'15).
//
// Invariants: at most `max_operations` operations are open and fewer than kMutationWindow mutations without an answer
// (can_submit() tells); an operation completes once, with one result for each item, in the items' order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/ring.h"
#include "core/kv/tablets.h"
#include "core/kv/wire.h"
#include "core/rpc/completion_table.h"
#include "core/turn/outbox.h"

namespace slipstream {

struct KvClientOptions {
  std::uint32_t client_id = 1;
  std::uint32_t max_operations = 64;
  TimeNs timeout_ns = 500 * kMillisecond;  // without an answer, a request is sent again
  TimeNs reconnect_ns = 1 * kMillisecond;  // pause before a lost server is tried again, or the coordinator asked again
};

struct KvItem {
  KvKind kind = KvKind::kRead;
  std::uint64_t table = 0;
  ConstBytes key;
  ConstBytes value;
  std::uint64_t argument = kAnyVersion;
};

struct KvResult {
  Status status = Status::kOk;
  std::uint64_t version = 0;
  ConstBytes value;
};

class KvClient {
 public:
  // Server s is reached through channel first_channel + s, where s is its place in the map's list of servers.
  KvClient(const KvClientOptions& options, Channel first_channel);

  // Connects to new servers; whatever waits for a server that no longer holds its tablet is routed anew. A tablet that
  // no server holds just now (it is being recovered) keeps its items waiting.
  void set_tablets(TabletMap tablets, TimeNs now, Outbox& out);
  bool all_connected() const;
  // The map that we have may be wrong: the node should ask the coordinator for it, at the time that deadline() tells.
  bool needs_tablets(TimeNs now) const { return needs_tablets_ && now >= ask_at_; }
  void asked_for_tablets(TimeNs now);

  // Who we are to the servers; before the first mutation. A server that answers Status::kDead has heard that our lease
  // has ended: is_refused(). Then every open operation is given up with the outcome kDead, unknown, by take_refused(),
  // which works as on_answer() does, one by one; after that a new id may be set.
  void set_client(std::uint32_t id);
  bool is_refused() const { return refused_; }
  void refuse() { refused_ = true; }
  bool take_refused();

  bool can_submit(std::size_t mutations = 1) const;
  // `cookie` comes back with the completion. Items are copied. At least one item.
  void submit(std::uint64_t cookie, std::span<const KvItem> items, TimeNs now, Outbox& out);

  bool owns(Channel channel) const {
    return channel >= first_channel_ && channel < first_channel_ + static_cast<Channel>(servers_.size());
  }
  void on_connected(Channel channel, TimeNs now, Outbox& out);
  void on_down(Channel channel, TimeNs now);
  // An answer; when it completes an operation, returns true, and cookie() and results() tell of it until the next call.
  bool on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out);
  std::uint64_t cookie() const { return cookie_; }
  std::span<const KvResult> results() const { return results_; }
  // Of the same operation: a tablet that it is about had no server meanwhile, or changed hands.
  bool was_moved() const { return was_moved_; }

  // Sends again what has waited too long.
  void advance(TimeNs now, Outbox& out);
  TimeNs deadline() const { return next_check_; }

  std::size_t open_operations() const { return options_.max_operations - free_operations_.size(); }
  std::uint64_t retries() const { return retries_; }
  std::string describe() const;

 private:
  struct Operation {
    std::uint64_t cookie = 0;
    std::uint32_t items = 0;
    std::uint32_t missing = 0;  // items without a result
    std::uint32_t parts = 0;    // requests that it was split into so far
    bool moved = false;
    std::vector<KvResult> results;
    std::vector<std::vector<std::byte>> values;  // of results whose view would not last; by item
  };
  // One request to one server.
  struct Part {
    bool used = false;
    std::uint32_t generation = 0;
    std::uint32_t operation = 0;
    std::uint16_t server = 0;
    TimeNs sent_ns = 0;
    std::vector<std::byte> request;         // as it goes over the wire
    std::vector<std::uint32_t> item_index;  // its items' places in the operation
  };
  struct Server {
    NodeId node = kNoNode;
    bool up = false;
    TimeNs reconnect_at = kNever;
    bool is_given_up = false;  // down, and not dialled before it holds a tablet again
  };

  std::uint32_t new_part(std::uint32_t operation, std::uint16_t server);
  void add_item(Part& part, std::uint32_t at, const KvItemHeader& header, ConstBytes key, ConstBytes value);
  void send(Part& part, TimeNs now, Outbox& out);
  // Whether the bytes are answers to so many items.
  static bool has_answers(ConstBytes rest, std::size_t items);
  // Whether any item has to be asked for again.
  static bool asks_again(ConstBytes answers);
  // `keep`: the value must outlive this answer.
  void take_item(Operation& operation, std::uint32_t at, const KvItemAnswer& answer, ConstBytes value, bool keep);
  void answered(std::uint64_t sequence);
  // Its place in servers_; kNoServer: no server holds the tablet.
  std::uint16_t server_of(std::uint64_t table, KeyHash hash) const;
  void route(TimeNs now, Outbox& out);
  void take_back(std::uint32_t part);
  bool is_misrouted(const Part& part) const;
  void free_part(std::uint32_t part);
  void check_at(TimeNs at) { next_check_ = at < next_check_ ? at : next_check_; }

  KvClientOptions options_;
  Channel first_channel_;
  TabletMap tablets_;
  std::vector<Server> servers_;
  std::vector<std::uint16_t> place_of_;  // in servers_, by node
  bool needs_tablets_ = false;
  TimeNs ask_at_ = 0;
  bool refused_ = false;
  bool route_now_ = false;    // to_route_ can be sent
  TimeNs route_at_ = kNever;  // for those that met a full log

  std::vector<Operation> operations_;
  std::vector<std::uint32_t> free_operations_;
  std::vector<Part> parts_;
  std::vector<std::uint32_t> free_parts_;
  struct Wrong {
    std::uint32_t operation = 0;
    std::uint32_t at = 0;
    std::vector<std::byte> item;  // header, key, value
  };
  std::vector<Wrong> to_route_;  // met a wrong server, or an answer without room

  std::uint64_t next_sequence_ = 1;
  std::uint64_t acked_below_ = 1;
  std::vector<bool> answered_;  // by sequence modulo kMutationWindow

  std::uint64_t cookie_ = 0;
  bool was_moved_ = false;
  std::vector<KvResult> results_;
  std::vector<std::vector<std::byte>> result_values_;
  std::vector<std::uint32_t> open_parts_;  // scratch of submit(): by server
  TimeNs next_check_ = kNever;
  std::uint64_t retries_ = 0;
  std::uint64_t refused_answers_ = 0;  // that were none to their request: a server, or the network, is broken
};

}  // namespace slipstream
