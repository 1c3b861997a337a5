#include "sim/world.h"

#include <gtest/gtest.h>

#include "sim/test_hardware.h"
#include "sim/toy_nodes.h"

namespace slipstream::sim {
namespace {

// One answerer with its replicas, and askers.
struct Shape {
  std::size_t askers = 1;
  std::size_t replicas = 0;
  std::size_t write_bytes = 100;
};

struct Toy {
  Toy(const SimOptions& options, const AskOptions& ask, const Shape& shape = {},
      const HardwareProfile& hw = plain_hardware())
      : world(hw, options, 1) {
    AnswerOptions answer;
    answer.write_bytes = shape.write_bytes;
    for (std::size_t i = 1; i <= shape.replicas; ++i) answer.replicas.push_back(NodeId{static_cast<std::uint16_t>(i)});
    servers.push_back(place<Answerer>(NodeKind::kServer, answer));
    for (std::size_t i = 0; i < shape.replicas; ++i) {
      servers.push_back(place<Answerer>(NodeKind::kServer, AnswerOptions{}));
    }
    for (std::size_t i = 0; i < shape.askers; ++i) {
      world.add(NodeKind::kClient);
      auto node = std::make_unique<Asker>(ask);
      askers.push_back(node.get());
      world.place(NodeId{next++}, std::move(node));
    }
  }

  template <typename T, typename O>
  T* place(NodeKind kind, const O& options) {
    Fabric& fabric = world.add(kind);
    auto node = std::make_unique<T>(options, fabric);
    T* const made = node.get();
    world.place(NodeId{next++}, std::move(node));
    return made;
  }

  World world;
  std::uint16_t next = 0;
  std::vector<Answerer*> servers;
  std::vector<Asker*> askers;
};

TEST(World, TwoNodesExchangeMessages) {
  // Given an asker and an answerer that run to completion. Expect every request answered, and then silence.
  SimOptions options;
  options.threading = Threading::kRunToCompletion;
  Toy toy(options, {.requests = 100});
  EXPECT_EQ(toy.world.run(), Ending::kDone);
  EXPECT_EQ(toy.askers[0]->round_trips.size(), 100u);
}

TEST(World, WritesReachTheReplicas) {
  // Given three replicas under either threading model. Expect every request answered and the written bytes in place.
  for (const Threading threading : {Threading::kRunToCompletion, Threading::kDispatchWorkers}) {
    SimOptions options;
    options.threading = threading;
    Toy toy(options, {.outstanding = 8, .requests = 1000}, {.askers = 3, .replicas = 3});
    EXPECT_EQ(toy.world.run(), Ending::kDone);
    for (const Asker* asker : toy.askers) EXPECT_EQ(asker->round_trips.size(), 1000u);
    for (std::size_t i = 1; i <= 3; ++i) {
      const ConstBytes from = toy.servers[0]->source().subspan(100, 300'000);
      const ConstBytes to = toy.servers[i]->replica().subspan(100, 300'000);
      EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin()));
    }
  }
}

}  // namespace
}  // namespace slipstream::sim
