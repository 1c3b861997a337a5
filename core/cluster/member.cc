#include "core/cluster/member.h"

#include <cstring>

namespace slipstream {
namespace {

constexpr TimeNs kReconnect = kMillisecond;

}  // namespace

void CoordinatorLink::advance(TimeNs now, Outbox& out) {
  if (up_ || now < connect_at_) return;
  connect_at_ = kNever;
  out.connect(channel_, coordinator_);
}

void CoordinatorLink::on_connected(Outbox& out) {
  up_ = true;
  enlist(out);
}

void CoordinatorLink::on_down(TimeNs now) {
  up_ = false;
  connect_at_ = now + kReconnect;
}

void CoordinatorLink::enlist(Outbox& out) {
  RpcHeader header;
  header.opcode = Opcode::kEnlist;
  send_message(out, channel_, header, Enlist{index(self_), kind_, 0}, 0, Work::kControlMessageOut);
}

void CoordinatorLink::report(Opcode opcode, Outbox& out) {
  RpcHeader header;
  header.opcode = opcode;
  std::memcpy(out.send(channel_, sizeof(header), 0, Work::kControlMessageOut), &header, sizeof(header));
}

bool CoordinatorLink::on_answer(const RpcMessage& message, Outbox& out) {
  out.work(Work::kControlMessageIn);
  last_answer_ = message.header.opcode;
  ClusterMap map;
  if (message.header.opcode != Opcode::kEnlist || !read_body(message.body, map)) return false;
  ConstBytes rest = message.body.subspan(sizeof(map));
  if (rest.size() != map.servers * sizeof(std::uint16_t) + map.tablets * sizeof(TabletOnWire)) return false;
  servers_.clear();
  for (std::uint32_t i = 0; i < map.servers; ++i, rest = rest.subspan(sizeof(std::uint16_t))) {
    std::uint16_t server = 0;
    std::memcpy(&server, rest.data(), sizeof(server));
    servers_.push_back(NodeId{server});
  }
  std::vector<Tablet> tablets;
  for (std::uint32_t i = 0; i < map.tablets; ++i, rest = rest.subspan(sizeof(TabletOnWire))) {
    TabletOnWire tablet;
    std::memcpy(&tablet, rest.data(), sizeof(tablet));
    tablets.push_back({tablet.table, tablet.first, tablet.last, NodeId{static_cast<std::uint16_t>(tablet.server)}});
  }
  tablets_ = TabletMap(std::move(tablets));
  return true;
}

}  // namespace slipstream
