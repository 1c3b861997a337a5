#include "core/cluster/coordinator.h"

#include <gtest/gtest.h>

namespace slipstream {
namespace {

TEST(Coordinator, ForgetsNobodyWhoCameBeforeItWasReady) {
  // given two servers that enlist in the very turn in which the coordinator begins; nobody enlists a second time
  CoordinatorOptions options;
  options.servers = {NodeId{1}, NodeId{2}, NodeId{3}};
  options.tablets = split_evenly(1, options.servers);
  Coordinator coordinator(options, {});
  Outbox out;
  out.enter(Role::kCoordinator);
  const auto enlist = [&](std::uint16_t node) {
    Hello hello;
    hello.node = node;
    RpcMessage message;
    message.header.opcode = Opcode::kEnlist;
    message.body = std::as_bytes(std::span(&hello, 1));
    coordinator.on_request(node, 0, message, 0, out);
  };
  enlist(1);
  enlist(2);
  enlist(3);
  // and one of them whose connection went down again meanwhile
  coordinator.on_down(3, 0);
  coordinator.advance(0, out);
  // expect both to be members
  EXPECT_TRUE(coordinator.view().servers[0].is_up);
  EXPECT_TRUE(coordinator.view().servers[1].is_up);
  EXPECT_FALSE(coordinator.view().servers[2].is_up);
}

}  // namespace
}  // namespace slipstream
