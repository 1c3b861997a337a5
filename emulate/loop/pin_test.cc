#include "emulate/loop/pin.h"

#include <thread>

#include <gtest/gtest.h>

namespace slipstream::emulate {
namespace {

cpu_set_t mine() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  return set;
}

TEST(Pin, BindsToOneCoreWhileItLives) {
  const cpu_set_t before = mine();
  {
    const Pin pin(0);
    const cpu_set_t pinned = mine();
    EXPECT_EQ(CPU_COUNT(&pinned), 1);
  }
  const cpu_set_t after = mine();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(KeepOff, ThreadsStayOffThePinnedCores) {
  const cpu_set_t before = mine();
  cpu_set_t pinned;
  {
    const Pin pin(0);
    pinned = mine();
  }
  cpu_set_t theirs;
  {
    // given one pinned loop
    const KeepOff off(1);
    std::thread([&theirs] { theirs = mine(); }).join();
  }
  cpu_set_t both;
  CPU_AND(&both, &pinned, &theirs);
  // expect a thread started meanwhile to share no core with it where there is another, and all to be as before behind
  // it
  EXPECT_EQ(CPU_COUNT(&both), CPU_COUNT(&before) > 1 ? 0 : 1);
  const cpu_set_t after = mine();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(KeepOff, DoesNothingWhereAllCoresAreTaken) {
  const cpu_set_t before = mine();
  const KeepOff off(usable_cores());
  const cpu_set_t now = mine();
  EXPECT_TRUE(CPU_EQUAL(&before, &now));
}

}  // namespace
}  // namespace slipstream::emulate
