#include "core/cluster/coordinator.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace slipstream {

void Coordinator::on_request(Channel channel, std::uint64_t tag, const RpcMessage& message, Outbox& out) {
  out.work(Work::kControlMessageIn);
  const Waiting waiting{channel, tag, message.header};
  switch (message.header.opcode) {
    case Opcode::kEnlist: {
      Enlist enlist;
      if (!read_body(message.body, enlist)) return;
      const NodeId node{enlist.node};
      const bool is_server =
          std::find(options_.servers.begin(), options_.servers.end(), node) != options_.servers.end();
      std::vector<Member>& members = is_server ? servers_ : clients_;
      const auto known =
          std::find_if(members.begin(), members.end(), [node](const Member& m) { return m.node == node; });
      if (known != members.end()) {
        known->channel = channel;
      } else {
        members.push_back({node, channel});
      }
      enlisting_.push_back(waiting);
      return;
    }
    case Opcode::kReady: ready_.push_back(waiting); return;
    case Opcode::kFinished:
      ++finished_;
      answer(waiting, out);
      return;
    default: return;
  }
}

void Coordinator::on_answer(const RpcMessage& message, Outbox& out) {
  out.work(Work::kControlMessageIn);
  if (message.header.opcode == Opcode::kWindow) ++window_answers_;
}

void Coordinator::on_down(Channel channel) {
  if (phase_ == Phase::kDone) return;
  for (const auto* members : {&servers_, &clients_}) {
    for (const Member& member : *members) {
      if (member.channel == channel) trouble_ = fmt::format("node {} is gone", index(member.node));
    }
  }
}

void Coordinator::advance(TimeNs now, Outbox& out) {
  if (servers_.size() == options_.servers.size()) {
    if (phase_ == Phase::kEnlisting) phase_ = Phase::kLoading;
    for (const Waiting& waiting : enlisting_) answer_map(waiting, out);
    enlisting_.clear();
  }
  if (phase_ == Phase::kLoading && ready_.size() == options_.clients.size()) {
    for (const Waiting& waiting : ready_) answer(waiting, out);
    phase_ = Phase::kWarmup;
    window_start_ns_ = now + options_.warmup_ns;
    window_end_ns_ = window_start_ns_ + options_.duration_ns;
  }
  if (phase_ == Phase::kWarmup && now >= window_start_ns_) {
    phase_ = Phase::kWindow;
    tell_window(true, out);
  }
  if (phase_ == Phase::kWindow && now >= window_end_ns_) {
    phase_ = Phase::kDraining;
    tell_window(false, out);
  }
  if (phase_ == Phase::kDraining && finished_ == options_.clients.size() &&
      window_answers_ == 2 * options_.servers.size()) {
    phase_ = Phase::kDone;
  }
}

TimeNs Coordinator::deadline() const {
  if (phase_ == Phase::kWarmup) return window_start_ns_;
  if (phase_ == Phase::kWindow) return window_end_ns_;
  return kNever;
}

void Coordinator::answer(const Waiting& waiting, Outbox& out) {
  RpcHeader header = waiting.header;
  header.is_answer = 1;
  std::memcpy(out.send(waiting.channel, sizeof(header), waiting.tag, Work::kControlMessageOut), &header,
              sizeof(header));
}

void Coordinator::answer_map(const Waiting& waiting, Outbox& out) {
  RpcHeader header = waiting.header;
  header.is_answer = 1;
  const ClusterMap map{static_cast<std::uint32_t>(options_.servers.size()),
                       static_cast<std::uint32_t>(options_.tablets.size())};
  const std::size_t bytes =
      sizeof(header) + sizeof(map) + map.servers * sizeof(std::uint16_t) + map.tablets * sizeof(TabletOnWire);
  std::byte* at = out.send(waiting.channel, bytes, waiting.tag, Work::kControlMessageOut);
  const auto put = [&at](const auto& value) {
    std::memcpy(at, &value, sizeof(value));
    at += sizeof(value);
  };
  put(header);
  put(map);
  for (const NodeId server : options_.servers) put(index(server));
  for (const Tablet& tablet : options_.tablets) {
    put(TabletOnWire{tablet.table, tablet.first, tablet.last, index(tablet.server)});
  }
}

void Coordinator::tell_window(bool starts, Outbox& out) {
  RpcHeader header;
  header.opcode = Opcode::kWindow;
  for (const Member& server : servers_) {
    send_message(out, server.channel, header, WindowMark{starts ? 1u : 0u}, 0, Work::kControlMessageOut);
  }
}

std::string Coordinator::describe() const {
  return fmt::format("coordinator phase {} servers {}/{} ready {}/{} finished {} window answers {}",
                     static_cast<int>(phase_), servers_.size(), options_.servers.size(), ready_.size(),
                     options_.clients.size(), finished_, window_answers_);
}

}  // namespace slipstream
