#include "core/node/coordinator_node.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kTable = 1;

CoordinatorOptions coordinator_options(const ClusterOptions& options) {
  CoordinatorOptions c;
  for (std::uint16_t i = 1; i < node_count(options); ++i) {
    (kind_of(options, NodeId{i}) == NodeKind::kServer ? c.servers : c.clients).push_back(NodeId{i});
  }
  c.tablets = split_evenly(kTable, std::span(c.servers).first(primary_count(options)));
  c.warmup_ns = options.warmup_ns;
  c.duration_ns = options.duration_ns;
  c.membership = options.membership;
  return c;
}

}  // namespace

CoordinatorNode::CoordinatorNode(const ClusterOptions& options, const Storage& storage)
    : coordinator_(coordinator_options(options),
                   options.membership.recoverable ? storage.frames() : std::vector<StoredFrame>{}) {}

void CoordinatorNode::step(TimeNs now, std::span<const Event> events, Outbox& out) {
  out.enter(Role::kCoordinator);
  for (const Event& event : events) {
    RpcMessage message;
    switch (event.kind) {
      case EventKind::kDown: coordinator_.on_down(event.channel, now); break;
      case EventKind::kStored: coordinator_.state_log().on_stored(event.tag, event.amount, out); break;
      case EventKind::kStorageRead: coordinator_.state_log().on_read(event.tag, event.ticket); break;
      case EventKind::kStorageFailed: coordinator_.state_log().on_failed(event.tag, event.ticket, event.amount); break;
      case EventKind::kMessage:
        if (!parse(event.bytes, message)) break;
        if (message.header.is_answer != 0) {
          coordinator_.on_answer(event.channel, message, now, out);
        } else {
          coordinator_.on_request(event.channel, event.tag, message, now, out);
        }
        break;
      default: break;
    }
  }
  coordinator_.advance(now, out);
}

}  // namespace slipstream
