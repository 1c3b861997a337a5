#include "core/node/coordinator_node.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kTable = 1;

CoordinatorOptions coordinator_options(const ClusterOptions& options) {
  CoordinatorOptions c;
  for (std::uint16_t i = 1; i < node_count(options); ++i) {
    (kind_of(options, NodeId{i}) == NodeKind::kServer ? c.servers : c.clients).push_back(NodeId{i});
  }
  c.tablets = split_evenly(kTable, c.servers);
  c.warmup_ns = options.warmup_ns;
  c.duration_ns = options.duration_ns;
  return c;
}

}  // namespace

CoordinatorNode::CoordinatorNode(const ClusterOptions& options) : coordinator_(coordinator_options(options)) {}

void CoordinatorNode::step(TimeNs now, std::span<const Event> events, Outbox& out) {
  out.enter(Role::kCoordinator);
  for (const Event& event : events) {
    RpcMessage message;
    if (event.kind == EventKind::kDown) {
      coordinator_.on_down(event.channel);
    } else if (event.kind == EventKind::kMessage && parse(event.bytes, message)) {
      if (message.header.is_answer != 0) {
        coordinator_.on_answer(message, out);
      } else {
        coordinator_.on_request(event.channel, event.tag, message, out);
      }
    }
  }
  coordinator_.advance(now, out);
}

}  // namespace slipstream
