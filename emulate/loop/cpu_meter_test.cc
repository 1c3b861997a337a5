#include "emulate/loop/cpu_meter.h"

#include <gtest/gtest.h>

namespace slipstream::emulate {
namespace {

std::size_t at(Role role) { return static_cast<std::size_t>(role); }

TEST(CpuMeter, TicksGoToTheRoleThatIsEntered) {
  CpuMeter meter;
  // given a step that starts as client and ends 40 ticks later
  meter.start_step(1000);
  meter.end_step(1040);
  EXPECT_EQ(meter.spent().role[at(Role::kClient)], 40u);
  // given a change of role: expect what follows with the new one, in the next step, too
  meter.start_step(ticks());
  meter.enter(Role::kBackup);
  const Ticks client = meter.spent().role[at(Role::kClient)];
  meter.start_step(2000);
  meter.end_step(2007);
  meter.add_fabric(5);
  EXPECT_EQ(meter.spent().role[at(Role::kClient)], client);
  EXPECT_EQ(meter.spent().role[at(Role::kBackup)], 7u);
  EXPECT_EQ(meter.spent().role[at(Role::kPrimary)], 0u);
  EXPECT_EQ(meter.spent().fabric, 5u);
}

TEST(CpuMeter, UsageIsScaledByTheShareThatTheLoopWasRunning) {
  // given a window of 10000 ticks at 2 ns, 2000 of them in waits that took 400 ns CPU; and 8400 ns CPU in all: the loop
  // ran for 8000 of its 16000 unwaiting ns
  Snapshot start;
  start.loop_at = 500;
  start.loop_cpu_ns = 1000;
  Snapshot end = start;
  end.loop_at = 10'500;
  end.loop_waited = 2000;
  end.loop_waited_cpu_ns = 400;
  end.loop_cpu_ns = 9400;
  end.cpu.role[at(Role::kPrimary)] = 3000;
  end.cpu.fabric = 1000;
  end.now_ns = 20'000;
  end.network_bytes = 77;
  const Usage usage = between(start, end, 2.0);
  // expect half of the ticks' time
  EXPECT_DOUBLE_EQ(usage.running_share, 0.5);
  EXPECT_EQ(usage.cpu_ns[at(Role::kPrimary)], 3000u);
  EXPECT_EQ(usage.fabric_cpu_ns, 1000u);
  EXPECT_EQ(usage.window_ns, 20'000);
  EXPECT_EQ(usage.network_bytes, 77u);
}

TEST(CpuMeter, ShareIsAtLeastThatOfTheWholeTime) {
  // given a loop that ran for 200 of 1000 ns, and waits of 900 ns whose sample says that they took more than that
  Snapshot start;
  Snapshot end;
  end.loop_at = 1000;
  end.loop_cpu_ns = 200;
  end.loop_waited = 900;
  end.loop_waited_cpu_ns = 230;
  EXPECT_DOUBLE_EQ(between(start, end, 1.0).running_share, 0.2);
  // ... or next to all of it
  end.loop_waited_cpu_ns = 190;
  EXPECT_DOUBLE_EQ(between(start, end, 1.0).running_share, 0.2);
  // expect the sample to be taken where it says more
  end.loop_waited_cpu_ns = 150;
  EXPECT_DOUBLE_EQ(between(start, end, 1.0).running_share, 0.5);
}

TEST(CpuMeter, ShareIsNeverAboveOneNorUndefined) {
  // given more CPU time than time (two clocks), and a window that was all waiting
  Snapshot start;
  Snapshot end;
  end.loop_at = 100;
  end.loop_cpu_ns = 110;
  EXPECT_DOUBLE_EQ(between(start, end, 1.0).running_share, 1.0);
  end.loop_waited = 100;
  EXPECT_DOUBLE_EQ(between(start, end, 1.0).running_share, 1.0);
}

TEST(WaitMeter, SamplesStandForAllWaits) {
  WaitMeter meter;
  EXPECT_DOUBLE_EQ(meter.cpu_ns(), 0.0);
  // given 160 waits, those that are sampled take 5 ns each
  int sampled = 0;
  for (int i = 0; i < 160; ++i) {
    if (!meter.is_sampled()) continue;
    ++sampled;
    meter.add_sample(5);
  }
  // expect few samples and 160 times 5 ns
  EXPECT_EQ(sampled, 10);
  EXPECT_DOUBLE_EQ(meter.cpu_ns(), 800.0);
}

}  // namespace
}  // namespace slipstream::emulate
