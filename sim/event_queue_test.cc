#include "sim/event_queue.h"

#include <map>

#include <gtest/gtest.h>

#include "core/base/rng.h"

namespace slipstream::sim {
namespace {

TEST(EventQueue, KeepsTheOrderOfAMultimap) {
  // Given random pushes and pops, times often equal, at many sizes. Expect the order of a multimap, which keeps equal
  // keys in the order of insertion.
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Rng rng(seed, "event_queue_test");
    EventQueue queue;
    std::multimap<std::int64_t, std::uint32_t> model;
    const std::uint64_t spread = 1 + rng.below(1 + seed * seed);
    std::uint64_t grow = 3;
    for (std::uint32_t i = 0; i < 5000; ++i) {
      if (i % 500 == 0) grow = rng.below(4);
      if (model.empty() || rng.below(4) < grow) {
        const std::int64_t time = queue.now() + static_cast<std::int64_t>(rng.below(spread));
        queue.push(time, i % 7, i);
        model.emplace(time, i);
        continue;
      }
      ASSERT_EQ(queue.next_time(), model.begin()->first);
      const QueuedEvent event = queue.pop();
      ASSERT_EQ(event.time, model.begin()->first);
      ASSERT_EQ(event.what, model.begin()->second);
      ASSERT_EQ(event.kind, event.what % 7);
      ASSERT_EQ(queue.now(), event.time);
      model.erase(model.begin());
      ASSERT_EQ(queue.size(), model.size());
    }
    for (const auto& [time, what] : model) {
      const QueuedEvent event = queue.pop();
      ASSERT_EQ(event.time, time);
      ASSERT_EQ(event.what, what);
    }
    EXPECT_TRUE(queue.empty());
  }
}

TEST(EventQueueDeathTest, RefusesThePast) {
  // Given a queue whose time is 10. Expect that nothing can be pushed for 9.
  EventQueue queue;
  queue.push(10, 0, 0);
  queue.pop();
  EXPECT_DEATH(queue.push(9, 0, 0), "now 10 ps");
}

}  // namespace
}  // namespace slipstream::sim
