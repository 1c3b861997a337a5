#include "core/kv/kv_client.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/mutation.h"

namespace slipstream {
namespace {

constexpr std::uint32_t kNoPart = ~std::uint32_t{0};
constexpr std::uint16_t kNoServer = 0xffff;

// Has no outcome for the client: the item is to be asked for again.
bool has_no_outcome(Status status) {
  return status == Status::kWrongServer || status == Status::kNoRoom || status == Status::kLogFull;
}

}  // namespace

KvClient::KvClient(const KvClientOptions& options, Channel first_channel)
    : options_(options),
      first_channel_(first_channel),
      operations_(options.max_operations),
      answered_(kMutationWindow) {
  for (std::uint32_t i = options.max_operations; i > 0; --i) free_operations_.push_back(i - 1);
}

void KvClient::set_tablets(TabletMap tablets, TimeNs now, Outbox& out) {
  tablets_ = std::move(tablets);
  needs_tablets_ = false;
  route_now_ = true;
  for (const Tablet& tablet : tablets_.tablets()) {
    if (tablet.server == kNoNode) continue;
    const auto known = [&tablet](const Server& s) { return s.node == tablet.server; };
    if (const auto server = std::find_if(servers_.begin(), servers_.end(), known); server != servers_.end()) {
      if (server->is_given_up) server->reconnect_at = now;
      server->is_given_up = false;
      check_at(server->reconnect_at);
    } else {
      if (index(tablet.server) >= place_of_.size()) place_of_.resize(index(tablet.server) + 1u);
      place_of_[index(tablet.server)] = static_cast<std::uint16_t>(servers_.size());
      servers_.push_back({tablet.server, false, kNever});
      out.connect(static_cast<Channel>(first_channel_ + servers_.size() - 1), tablet.server);
    }
  }
  open_parts_.assign(servers_.size(), kNoPart);
  for (std::uint32_t p = 0; p < parts_.size(); ++p) {
    if (parts_[p].used && is_misrouted(parts_[p])) take_back(p);
  }
  if (!to_route_.empty()) check_at(now);
}

void KvClient::asked_for_tablets(TimeNs now) {
  ask_at_ = now + options_.reconnect_ns;
  check_at(ask_at_);
}

void KvClient::set_client(std::uint32_t id) {
  options_.client_id = id;
  refused_ = false;
  next_sequence_ = acked_below_ = 1;
}

bool KvClient::take_refused() {
  to_route_.clear();
  for (std::uint32_t p = 0; p < parts_.size(); ++p) {
    if (parts_[p].used) free_part(p);
  }
  for (Operation& operation : operations_) {
    const auto o = static_cast<std::uint32_t>(&operation - operations_.data());
    if (std::find(free_operations_.begin(), free_operations_.end(), o) != free_operations_.end()) continue;
    cookie_ = operation.cookie;
    results_.assign(operation.items, KvResult{Status::kDead, 0, {}});
    free_operations_.push_back(o);
    return true;
  }
  return false;
}

bool KvClient::is_misrouted(const Part& part) const {
  ConstBytes rest = ConstBytes(part.request).subspan(sizeof(RpcHeader) + sizeof(KvRequest));
  KvItemHeader item;
  ConstBytes key;
  ConstBytes value;
  while (next_item(rest, item, key, value)) {
    if (server_of(item.table, key_hash(item.table, key)) != part.server) return true;
  }
  return false;
}

// Its items wait to be routed; an answer that still comes finds the part gone.
void KvClient::take_back(std::uint32_t p) {
  const Part& part = parts_[p];
  operations_[part.operation].moved = true;
  ConstBytes rest = ConstBytes(part.request).subspan(sizeof(RpcHeader) + sizeof(KvRequest));
  KvItemHeader item;
  ConstBytes key;
  ConstBytes value;
  for (const std::uint32_t at : part.item_index) {
    const std::byte* const from = rest.data();
    SLIP_CHECK(next_item(rest, item, key, value));
    to_route_.push_back({part.operation, at, {from, rest.data()}});
  }
  free_part(p);
}

void KvClient::free_part(std::uint32_t p) {
  parts_[p].used = false;
  free_parts_.push_back(p);
}

bool KvClient::all_connected() const {
  const auto is_there = [this](const Tablet& tablet) {
    return tablet.server != kNoNode && servers_[place_of_[index(tablet.server)]].up;
  };
  return !tablets_.empty() && std::all_of(tablets_.tablets().begin(), tablets_.tablets().end(), is_there);
}

bool KvClient::can_submit(std::size_t mutations) const {
  return !free_operations_.empty() && next_sequence_ + mutations - acked_below_ < kMutationWindow;
}

std::uint16_t KvClient::server_of(std::uint64_t table, KeyHash hash) const {
  const NodeId node = tablets_.server_of(table, hash);
  return node == kNoNode ? kNoServer : place_of_[index(node)];
}

std::uint32_t KvClient::new_part(std::uint32_t operation, std::uint16_t server) {
  if (free_parts_.empty()) {
    free_parts_.push_back(static_cast<std::uint32_t>(parts_.size()));
    parts_.emplace_back();
  }
  const std::uint32_t i = free_parts_.back();
  free_parts_.pop_back();
  Part& part = parts_[i];
  part.used = true;
  part.operation = operation;
  part.server = server;
  part.request.resize(sizeof(RpcHeader) + sizeof(KvRequest));
  part.item_index.clear();
  RpcHeader header;
  header.opcode = Opcode::kKeyValue;
  header.id = static_cast<std::uint64_t>(++part.generation) << 32 | i;
  std::memcpy(part.request.data(), &header, sizeof(header));
  ++operations_[operation].parts;
  return i;
}

void KvClient::add_item(Part& part, std::uint32_t at, const KvItemHeader& header, ConstBytes key, ConstBytes value) {
  const auto raw = std::as_bytes(std::span(&header, 1));
  part.request.insert(part.request.end(), raw.begin(), raw.end());
  part.request.insert(part.request.end(), key.begin(), key.end());
  part.request.insert(part.request.end(), value.begin(), value.end());
  part.item_index.push_back(at);
}

void KvClient::submit(std::uint64_t cookie, std::span<const KvItem> items, TimeNs now, Outbox& out) {
  SLIP_CHECK(!items.empty() && items.size() <= kMaxItems && !free_operations_.empty());
  const std::uint32_t o = free_operations_.back();
  free_operations_.pop_back();
  Operation& operation = operations_[o];
  operation.cookie = cookie;
  operation.items = operation.missing = static_cast<std::uint32_t>(items.size());
  operation.parts = 0;
  operation.moved = false;
  operation.results.resize(items.size());
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    const KvItem& item = items[i];
    KvItemHeader header;
    header.kind = item.kind;
    header.key_bytes = static_cast<std::uint16_t>(item.key.size());
    header.value_bytes = static_cast<std::uint32_t>(item.value.size());
    header.table = item.table;
    header.argument = item.argument;
    if (is_mutation(item.kind)) {
      SLIP_CHECK(next_sequence_ - acked_below_ < kMutationWindow);
      header.sequence = next_sequence_++;
      answered_[header.sequence % kMutationWindow] = false;
    }
    const std::uint16_t server = server_of(item.table, key_hash(item.table, item.key));
    if (server == kNoServer) {
      operation.moved = true;
      Wrong& wrong = to_route_.emplace_back(Wrong{o, i, {}});
      const auto raw = std::as_bytes(std::span(&header, 1));
      wrong.item.assign(raw.begin(), raw.end());
      wrong.item.insert(wrong.item.end(), item.key.begin(), item.key.end());
      wrong.item.insert(wrong.item.end(), item.value.begin(), item.value.end());
      needs_tablets_ = true;
      check_at(now);
      continue;
    }
    std::uint32_t& p = open_parts_[server];
    // A request must fit into a message; a large operation becomes several requests to one server.
    const std::size_t bytes = sizeof(header) + item.key.size() + item.value.size();
    if (p != kNoPart && parts_[p].request.size() + bytes > kMaxMessage) {
      send(parts_[p], now, out);
      p = kNoPart;
    }
    if (p == kNoPart) p = new_part(o, server);
    add_item(parts_[p], i, header, item.key, item.value);
  }
  for (std::uint32_t& p : open_parts_) {
    if (p != kNoPart) send(parts_[p], now, out);
    p = kNoPart;
  }
}

void KvClient::send(Part& part, TimeNs now, Outbox& out) {
  part.sent_ns = now;
  if (out.rare(Rare::kImpatience)) part.sent_ns -= options_.timeout_ns / 16 * 15;
  check_at(part.sent_ns + options_.timeout_ns);
  if (!servers_[part.server].up) return;  // sent when it is connected
  KvRequest request;
  request.client = options_.client_id;
  request.items = static_cast<std::uint32_t>(part.item_index.size());
  request.acked_below = mutated(Mutant::kAckedTooFar) ? std::min(acked_below_ + 1, next_sequence_) : acked_below_;
  std::memcpy(part.request.data() + sizeof(RpcHeader), &request, sizeof(request));
  std::memcpy(out.send(static_cast<Channel>(first_channel_ + part.server), part.request.size()), part.request.data(),
              part.request.size());
}

void KvClient::on_connected(Channel channel, TimeNs now, Outbox& out) {
  const auto s = static_cast<std::uint16_t>(channel - first_channel_);
  servers_[s].up = true;
  servers_[s].reconnect_at = kNever;
  for (Part& part : parts_) {
    if (part.used && part.server == s) send(part, now, out);
  }
}

void KvClient::on_down(Channel channel, TimeNs now) {
  Server& server = servers_[channel - first_channel_];
  server.up = false;
  server.reconnect_at = now + options_.reconnect_ns;
  needs_tablets_ = true;  // it may be gone for good
  check_at(server.reconnect_at);
}

bool KvClient::on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out) {
  out.work(Work::kMessageIn);
  const auto p = static_cast<std::uint32_t>(message.header.id);
  // An answer to an earlier sending of a request that was answered since.
  if (p >= parts_.size() || !parts_[p].used || parts_[p].generation != message.header.id >> 32) return false;
  Part& part = parts_[p];
  // What is no answer to this request is refused: the request is sent again.
  if (channel != first_channel_ + part.server || message.header.status != Status::kOk ||
      !has_answers(message.body, part.item_index.size())) {
    ++refused_answers_;
    return false;
  }
  Operation& operation = operations_[part.operation];
  ConstBytes rest = message.body;
  std::size_t item_at = sizeof(RpcHeader) + sizeof(KvRequest);
  const bool completes = operation.missing == part.item_index.size() && !asks_again(message.body);
  for (const std::uint32_t at : part.item_index) {
    KvItemAnswer answer;
    read_body(rest, answer);
    KvItemHeader item;
    std::memcpy(&item, part.request.data() + item_at, sizeof(item));
    const std::size_t item_bytes = sizeof(item) + item.key_bytes + item.value_bytes;
    if (answer.status == Status::kDead) refused_ = true;
    if (has_no_outcome(answer.status)) {
      const std::byte* const from = part.request.data() + item_at;
      to_route_.push_back({part.operation, at, {from, from + item_bytes}});
      if (answer.status == Status::kNoRoom) route_now_ = true;
      if (answer.status == Status::kWrongServer) needs_tablets_ = operation.moved = true;
      if (answer.status == Status::kLogFull) route_at_ = std::min(route_at_, now + options_.reconnect_ns);
      check_at(answer.status == Status::kLogFull ? route_at_ : now);
    } else {
      if (is_mutation(item.kind)) answered(item.sequence);
      take_item(operation, at, answer, rest.subspan(sizeof(answer), answer.value_bytes), !completes);
      --operation.missing;
    }
    item_at += item_bytes;
    rest = rest.subspan(sizeof(answer) + answer.value_bytes);
  }
  free_part(p);
  if (operation.missing > 0) {
    check_at(now + options_.timeout_ns);
    return false;
  }
  cookie_ = operation.cookie;
  was_moved_ = operation.moved;
  results_.swap(operation.results);
  result_values_.swap(operation.values);
  free_operations_.push_back(static_cast<std::uint32_t>(&operation - operations_.data()));
  return true;
}

bool KvClient::has_answers(ConstBytes rest, std::size_t items) {
  KvItemAnswer answer;
  for (; items > 0; --items) {
    if (!read_body(rest, answer) || rest.size() - sizeof(answer) < answer.value_bytes) return false;
    rest = rest.subspan(sizeof(answer) + answer.value_bytes);
  }
  return true;
}

bool KvClient::asks_again(ConstBytes answers) {
  KvItemAnswer answer;
  for (; read_body(answers, answer); answers = answers.subspan(sizeof(answer) + answer.value_bytes)) {
    if (has_no_outcome(answer.status)) return true;
    if (answers.size() < sizeof(answer) + answer.value_bytes) break;
  }
  return false;
}

void KvClient::take_item(Operation& operation, std::uint32_t at, const KvItemAnswer& answer, ConstBytes value,
                         bool keep) {
  // The view lasts until the next poll: enough for an operation that this answer completes.
  if (!value.empty() && keep) {
    if (operation.values.size() < operation.items) operation.values.resize(operation.items);
    operation.values[at].assign(value.begin(), value.end());
    value = operation.values[at];
  }
  operation.results[at] = {answer.status, answer.version, value};
}

void KvClient::answered(std::uint64_t sequence) {
  answered_[sequence % kMutationWindow] = true;
  while (acked_below_ < next_sequence_ && answered_[acked_below_ % kMutationWindow]) ++acked_below_;
}

// Items keep their sequence: one that was executed after all answers with its first result.
void KvClient::route(TimeNs now, Outbox& out) {
  route_now_ = false;
  std::vector<Wrong> waiting;
  waiting.swap(to_route_);
  for (Wrong& wrong : waiting) {
    KvItemHeader item;
    ConstBytes key;
    ConstBytes value;
    ConstBytes rest = wrong.item;
    SLIP_CHECK(next_item(rest, item, key, value));
    const std::uint16_t server = server_of(item.table, key_hash(item.table, key));
    if (server == kNoServer) {
      needs_tablets_ = true;
      to_route_.push_back(std::move(wrong));
      continue;
    }
    const std::uint32_t p = new_part(wrong.operation, server);
    add_item(parts_[p], wrong.at, item, key, value);
    send(parts_[p], now, out);
  }
}

void KvClient::advance(TimeNs now, Outbox& out) {
  if (route_at_ <= now) {
    route_at_ = kNever;
    route_now_ = true;
  }
  if (route_now_ && !needs_tablets_) route(now, out);
  if (now < next_check_) return;
  next_check_ = route_at_;
  if (needs_tablets_) check_at(std::max(ask_at_, now + 1));
  for (std::size_t s = 0; s < servers_.size(); ++s) {
    const auto has_tablet = [&](const Tablet& tablet) { return tablet.server == servers_[s].node; };
    if (servers_[s].reconnect_at <= now &&
        std::none_of(tablets_.tablets().begin(), tablets_.tablets().end(), has_tablet)) {
      servers_[s].reconnect_at = kNever;
      servers_[s].is_given_up = true;
    } else if (servers_[s].reconnect_at <= now) {
      servers_[s].reconnect_at = kNever;
      out.connect(static_cast<Channel>(first_channel_ + s), servers_[s].node);
    } else {
      check_at(servers_[s].reconnect_at);
    }
  }
  // Looking at half the time-out bounds how late a repeat can be.
  bool waiting = false;
  for (Part& part : parts_) {
    if (!part.used) continue;
    waiting = true;
    if (part.sent_ns + options_.timeout_ns > now) continue;
    if (servers_[part.server].up) ++retries_;
    needs_tablets_ = needs_tablets_ || !servers_[part.server].up;
    send(part, now, out);
  }
  if (waiting) check_at(now + options_.timeout_ns / 2);
}

std::string KvClient::describe() const {
  return fmt::format("client {} open {} next {} acked below {} retries {} refused answers {}", options_.client_id,
                     open_operations(), next_sequence_, acked_below_, retries_, refused_answers_);
}

}  // namespace slipstream
