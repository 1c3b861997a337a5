#include "core/node/node_record.h"

#include <cstring>
#include <stdexcept>

#include "core/base/crc32c.h"
#include "core/node/coordinator_node.h"

namespace slipstream {
namespace {

constexpr std::uint32_t kCrcStart = 0xffffffff;

class Writer {
 public:
  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<std::byte>(value | 0x80));
    bytes_.push_back(static_cast<std::byte>(value));
  }
  // Small ones of either sign are short; kNever and UINT32_MAX are as long as any.
  void difference(std::uint64_t to, std::uint64_t from) {
    const auto d = static_cast<std::int64_t>(to - from);
    number(static_cast<std::uint64_t>(d) << 1 ^ static_cast<std::uint64_t>(d >> 63));
  }
  void value(const HistoryValue& value) {
    number(static_cast<std::uint64_t>(value.form));
    number(value.word);
  }
  std::vector<std::byte> take() {
    const std::uint32_t crc = crc32c(kCrcStart, bytes_);
    const std::size_t size = bytes_.size();
    bytes_.resize(size + sizeof(crc));
    std::memcpy(bytes_.data() + size, &crc, sizeof(crc));
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(ConstBytes bytes) : bytes_(bytes) {
    std::uint32_t crc = 0;
    if (bytes_.size() < sizeof(crc)) damaged();
    const ConstBytes body = bytes_.first(bytes_.size() - sizeof(crc));
    std::memcpy(&crc, bytes_.data() + body.size(), sizeof(crc));
    if (crc != crc32c(kCrcStart, body)) damaged();
    bytes_ = body;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) damaged();
      const auto byte = static_cast<std::uint64_t>(bytes_[at_++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }
  template <typename T>
  T small(std::uint64_t most) {
    const std::uint64_t value = number();
    if (value > most) damaged();
    return static_cast<T>(value);
  }
  std::uint64_t difference(std::uint64_t from) {
    const std::uint64_t coded = number();
    return from + (coded >> 1 ^ (~(coded & 1) + 1));
  }
  HistoryValue value() {
    const auto form = small<HistoryValue::Form>(static_cast<std::uint64_t>(HistoryValue::Form::kTorn));
    return {number(), form};
  }
  // Of things that take a byte each, at least.
  std::size_t count() { return small<std::size_t>(bytes_.size()); }
  void expect_end() const {
    if (at_ != bytes_.size()) damaged();
  }

 private:
  [[noreturn]] static void damaged() {
    throw std::runtime_error("a node's record of its operations is damaged or cut short: run again");
  }

  ConstBytes bytes_;
  std::size_t at_ = 0;
};

}  // namespace

NodeRecord record_of(const Node& node) {
  NodeRecord record;
  if (const auto* client = dynamic_cast<const CheckedClient*>(&node)) {
    record.operations.assign(client->history().operations().begin(), client->history().operations().end());
    record.finals.assign(client->finals().begin(), client->finals().end());
  }
  if (const auto* coordinator = dynamic_cast<const CoordinatorNode*>(&node)) {
    for (const MemberState& state : coordinator->coordinator().view().servers) {
      record.deaths += state.server.life - (state.is_up ? 1u : 0u);
    }
  }
  return record;
}

std::vector<std::byte> encode(const NodeRecord& record) {
  Writer out;
  out.number(record.deaths);
  out.number(record.operations.size());
  TimeNs last_ns = 0;
  for (const HistoryOperation& op : record.operations) {
    out.number(static_cast<std::uint64_t>(op.action) << 3 | static_cast<std::uint64_t>(op.outcome));
    out.difference(static_cast<std::uint64_t>(op.invoked_ns), static_cast<std::uint64_t>(last_ns));
    out.difference(static_cast<std::uint64_t>(op.ended_ns), static_cast<std::uint64_t>(op.invoked_ns));
    for (const std::uint64_t n : {op.key, op.asked, op.version}) out.number(n);
    out.value(op.written);
    out.value(op.seen);
    for (const std::uint32_t n : {op.client, op.number, op.process, op.multi, op.invoked_event}) out.number(n);
    out.difference(op.ended_event, op.invoked_event);
    out.number(op.answers);
    last_ns = op.invoked_ns;
  }
  out.number(record.finals.size());
  for (const CheckedClient::Final& final : record.finals) {
    out.number(final.key);
    out.number(static_cast<std::uint64_t>(final.outcome));
    out.number(final.version);
    out.value(final.value);
    out.number(static_cast<std::uint64_t>(final.invoked_ns));
  }
  return out.take();
}

NodeRecord decode_record(ConstBytes bytes) {
  Reader in(bytes);
  NodeRecord record;
  record.deaths = in.number();
  record.operations.resize(in.count());
  TimeNs last_ns = 0;
  for (HistoryOperation& op : record.operations) {
    const auto what = in.small<std::uint8_t>(static_cast<std::uint64_t>(Action::kIncrement) << 3 | 7);
    if ((what & 7) > static_cast<std::uint8_t>(Outcome::kUnknown))
      throw std::runtime_error("a record of another build");
    op.action = static_cast<Action>(what >> 3);
    op.outcome = static_cast<Outcome>(what & 7);
    op.invoked_ns = static_cast<TimeNs>(in.difference(static_cast<std::uint64_t>(last_ns)));
    op.ended_ns = static_cast<TimeNs>(in.difference(static_cast<std::uint64_t>(op.invoked_ns)));
    for (std::uint64_t* const n : {&op.key, &op.asked, &op.version}) *n = in.number();
    op.written = in.value();
    op.seen = in.value();
    for (std::uint32_t* const n : {&op.client, &op.number, &op.process, &op.multi, &op.invoked_event}) {
      *n = in.small<std::uint32_t>(UINT32_MAX);
    }
    op.ended_event = static_cast<std::uint32_t>(in.difference(op.invoked_event));
    op.answers = in.small<std::uint8_t>(UINT8_MAX);
    last_ns = op.invoked_ns;
  }
  record.finals.resize(in.count());
  for (CheckedClient::Final& final : record.finals) {
    final.key = in.number();
    final.outcome = in.small<Outcome>(static_cast<std::uint64_t>(Outcome::kUnknown));
    final.version = in.number();
    final.value = in.value();
    final.invoked_ns = static_cast<TimeNs>(in.number());
  }
  in.expect_end();
  return record;
}

}  // namespace slipstream
