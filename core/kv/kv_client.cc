#include "core/kv/kv_client.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "core/base/check.h"

namespace slipstream {
namespace {

constexpr std::uint32_t kNoPart = ~std::uint32_t{0};

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
    const auto known = [&tablet](const Server& s) { return s.node == tablet.server; };
    if (std::none_of(servers_.begin(), servers_.end(), known)) {
      if (index(tablet.server) >= place_of_.size()) place_of_.resize(index(tablet.server) + 1u);
      place_of_[index(tablet.server)] = static_cast<std::uint16_t>(servers_.size());
      servers_.push_back({tablet.server, false, kNever});
      out.connect(static_cast<Channel>(first_channel_ + servers_.size() - 1), tablet.server);
    }
  }
  open_parts_.assign(servers_.size(), kNoPart);
  if (!to_route_.empty()) check_at(now);
}

bool KvClient::all_connected() const {
  return !servers_.empty() && std::all_of(servers_.begin(), servers_.end(), [](const Server& s) { return s.up; });
}

bool KvClient::can_submit(std::size_t mutations) const {
  return !free_operations_.empty() && next_sequence_ + mutations - acked_below_ < kMutationWindow;
}

std::uint16_t KvClient::server_of(std::uint64_t table, KeyHash hash) const {
  const NodeId node = tablets_.server_of(table, hash);
  SLIP_CHECK(index(node) < place_of_.size(), "no tablet of table {} holds hash {:x}", table, hash);
  return place_of_[index(node)];
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
  check_at(now + options_.timeout_ns);
  if (!servers_[part.server].up) return;  // sent when it is connected
  KvRequest request;
  request.client = options_.client_id;
  request.items = static_cast<std::uint32_t>(part.item_index.size());
  request.acked_below = acked_below_;
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
  check_at(server.reconnect_at);
}

bool KvClient::on_answer(Channel channel, const RpcMessage& message, TimeNs now, Outbox& out) {
  out.work(Work::kMessageIn);
  const auto p = static_cast<std::uint32_t>(message.header.id);
  // An answer to an earlier sending of a request that was answered since.
  if (p >= parts_.size() || !parts_[p].used || parts_[p].generation != message.header.id >> 32) return false;
  Part& part = parts_[p];
  SLIP_CHECK(channel == first_channel_ + part.server);
  SLIP_CHECK(message.header.status == Status::kOk, "server {} calls a request {}", index(servers_[part.server].node),
             name(message.header.status));
  Operation& operation = operations_[part.operation];
  ConstBytes rest = message.body;
  std::size_t item_at = sizeof(RpcHeader) + sizeof(KvRequest);
  const bool completes = operation.missing == part.item_index.size() && !asks_again(message.body);
  for (const std::uint32_t at : part.item_index) {
    KvItemAnswer answer;
    SLIP_CHECK(read_body(rest, answer) && rest.size() >= sizeof(answer) + answer.value_bytes);
    KvItemHeader item;
    std::memcpy(&item, part.request.data() + item_at, sizeof(item));
    const std::size_t item_bytes = sizeof(item) + item.key_bytes + item.value_bytes;
    if (answer.status == Status::kWrongServer || answer.status == Status::kNoRoom) {
      const std::byte* const from = part.request.data() + item_at;
      to_route_.push_back({part.operation, at, {from, from + item_bytes}});
      (answer.status == Status::kNoRoom ? route_now_ : needs_tablets_) = true;
    } else {
      if (is_mutation(item.kind)) answered(item.sequence);
      take_item(operation, at, answer, rest.subspan(sizeof(answer), answer.value_bytes), !completes);
      --operation.missing;
    }
    item_at += item_bytes;
    rest = rest.subspan(sizeof(answer) + answer.value_bytes);
  }
  part.used = false;
  free_parts_.push_back(p);
  if (operation.missing > 0) {
    check_at(now + options_.timeout_ns);
    return false;
  }
  cookie_ = operation.cookie;
  results_.swap(operation.results);
  result_values_.swap(operation.values);
  free_operations_.push_back(static_cast<std::uint32_t>(&operation - operations_.data()));
  return true;
}

bool KvClient::asks_again(ConstBytes answers) {
  KvItemAnswer answer;
  for (; read_body(answers, answer); answers = answers.subspan(sizeof(answer) + answer.value_bytes)) {
    if (answer.status == Status::kWrongServer || answer.status == Status::kNoRoom) return true;
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

void KvClient::advance(TimeNs now, Outbox& out) {
  if (route_now_ && !needs_tablets_) {
    route_now_ = false;
    // Items keep their sequence: one that was executed after all answers with its first result.
    for (const Wrong& wrong : to_route_) {
      KvItemHeader item;
      ConstBytes key;
      ConstBytes value;
      ConstBytes rest = wrong.item;
      SLIP_CHECK(next_item(rest, item, key, value));
      const std::uint32_t p = new_part(wrong.operation, server_of(item.table, key_hash(item.table, key)));
      add_item(parts_[p], wrong.at, item, key, value);
      send(parts_[p], now, out);
    }
    to_route_.clear();
  }
  if (now < next_check_) return;
  next_check_ = kNever;
  for (std::size_t s = 0; s < servers_.size(); ++s) {
    if (servers_[s].reconnect_at <= now) {
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
    send(part, now, out);
  }
  if (waiting) check_at(now + options_.timeout_ns / 2);
}

std::string KvClient::describe() const {
  return fmt::format("client {} open {} next {} acked below {} retries {}", options_.client_id, open_operations(),
                     next_sequence_, acked_below_, retries_);
}

}  // namespace slipstream
