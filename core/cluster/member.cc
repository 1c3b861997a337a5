#include "core/cluster/member.h"

#include <algorithm>
#include <cstring>

namespace slipstream {
namespace {

constexpr TimeNs kReconnect = kMillisecond;

}  // namespace

void CoordinatorLink::advance(TimeNs now, Outbox& out) {
  if (dead_) return;
  if (!up_) {
    if (now < connect_at_) return;
    connect_at_ = kNever;
    out.connect(channel_, coordinator_);
    return;
  }
  if (!greeted_) {
    greeted_ = true;
    report_sent_ = false;
    if (has_finished_) reporting_ = Opcode::kFinished;
    ++connections_;
    hello(Opcode::kEnlist, now, out);
  }
  if (reporting_ != Opcode{} && !report_sent_) {
    report_sent_ = true;
    RpcHeader header;
    header.opcode = reporting_;
    send_message(out, channel_, header, Progressed{index(self_)}, 0, Work::kControlMessageOut);
  }
  if (options_.recoverable && now >= heartbeat_at_) hello(Opcode::kHeartbeat, now, out);
}

TimeNs CoordinatorLink::deadline() const {
  if (dead_) return kNever;
  if (!up_) return connect_at_;
  if (!greeted_ || (reporting_ != Opcode{} && !report_sent_)) return 0;
  return options_.recoverable ? heartbeat_at_ : kNever;
}

void CoordinatorLink::on_down(TimeNs now) {
  up_ = greeted_ = false;
  connect_at_ = now + kReconnect;
}

void CoordinatorLink::hello(Opcode opcode, TimeNs now, Outbox& out) {
  if (!up_) return;
  heartbeat_at_ = now + options_.lease_ns / 3;
  RpcHeader header;
  header.opcode = opcode;
  header.id = static_cast<std::uint64_t>(now);
  Hello body;
  body.node = index(self_);
  body.kind = kind_;
  body.life = life_;
  body.client = client_;
  body.epoch = view_.epoch;
  send_message(out, channel_, header, body, 0, Work::kControlMessageOut);
}

void CoordinatorLink::send(Opcode opcode, const AboutServer& about, std::span<const KeyRange> ranges, Outbox& out) {
  if (!up_) return;
  RpcHeader header;
  header.opcode = opcode;
  header.id = std::uint64_t{about.node} << 16 | about.life;
  AboutServer body = about;
  body.from = index(self_);
  body.from_life = life_;
  std::byte* const at =
      out.send(channel_, sizeof(header) + sizeof(body) + ranges.size_bytes(), 0, Work::kControlMessageOut);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), &body, sizeof(body));
  if (!ranges.empty()) std::memcpy(at + sizeof(header) + sizeof(body), ranges.data(), ranges.size_bytes());
}

void CoordinatorLink::send_epochs(std::span<const SegmentEpoch> epochs, Outbox& out) {
  if (!up_) return;
  RpcHeader header;
  header.opcode = Opcode::kEpochs;
  AboutServer body;
  body.from = index(self_);
  body.from_life = life_;
  const std::size_t bytes = epochs.size_bytes();
  std::byte* const at = out.send(channel_, sizeof(header) + sizeof(body) + bytes, 0, Work::kControlMessageOut);
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), &body, sizeof(body));
  std::memcpy(at + sizeof(header) + sizeof(body), epochs.data(), bytes);
}

void CoordinatorLink::begin_anew() {
  dead_ = false;
  life_ = 0;
  client_ = 0;
  greeted_ = false;
}

bool CoordinatorLink::on_message(const RpcMessage& message, Outbox& out) {
  out.work(Work::kControlMessageIn);
  const RpcHeader& header = message.header;
  last_answer_ = header.opcode;
  if (header.opcode == reporting_ && header.is_answer != 0) {
    has_finished_ = has_finished_ || reporting_ == Opcode::kFinished;
    reporting_ = Opcode{};
  }
  const bool is_hello = header.opcode == Opcode::kEnlist || header.opcode == Opcode::kHeartbeat;
  if (!is_hello && header.opcode != Opcode::kView) return false;
  if (header.opcode == Opcode::kView && life_ == 0) return false;  // before we know who we are in it
  if (header.status == Status::kDead) {
    dead_ = true;
    return false;
  }
  HelloAnswer answer;
  if (!read_body(message.body, answer)) return false;
  if (header.opcode == Opcode::kEnlist) {
    life_ = static_cast<std::uint16_t>(answer.life);
    client_ = answer.client;
  }
  if (is_hello) lease_until_ = std::max(lease_until_, static_cast<TimeNs>(header.id) + options_.lease_ns);
  const ConstBytes rest = message.body.subspan(sizeof(answer));
  if (rest.empty() || answer.epoch <= view_.epoch) return false;
  std::optional<View> view = decode_view(rest);
  if (!view) return false;
  view_ = std::move(*view);
  return true;
}

}  // namespace slipstream
