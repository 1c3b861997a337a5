#include "sim/hardware.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "sim/test_hardware.h"

namespace slipstream::sim {
namespace {

TEST(Hardware, TheListHoldsEveryFieldOnce) {
  // Expect as many fields in the list as in the struct, with keys and members that differ.
  std::set<std::string> keys;
  HardwareProfile profile{};
  for (const HardwareField& field : hardware_fields()) {
    EXPECT_TRUE(keys.insert(std::string(field.section) + "." + std::string(field.key)).second) << field.key;
    profile.*field.member += 1000;
    EXPECT_FALSE(field.meaning.empty());
  }
  EXPECT_EQ(keys.size() * sizeof(std::int64_t), sizeof(HardwareProfile));
  for (const HardwareField& field : hardware_fields()) EXPECT_LE(profile.*field.member, 1001) << field.key;
}

TEST(Hardware, ProblemsNameTheKey) {
  // Given a profile that works, and one field at a time out of its bounds. Expect a problem that names it.
  EXPECT_EQ(problem_with(plain_hardware()), "");
  for (const HardwareField& field : hardware_fields()) {
    for (const std::int64_t bad : {field.least - 1, std::int64_t{1} << 60}) {
      HardwareProfile profile = plain_hardware();
      profile.*field.member = bad;
      const std::string key = std::string(field.section) + "." + std::string(field.key);
      EXPECT_EQ(problem_with(profile).rfind(key, 0), 0u) << key << ": " << problem_with(profile);
    }
  }
}

TEST(Hardware, RatesBecomeTimePerByte) {
  // Given 10 GB/s of copying. Expect 100 ps per byte, and no price for plain facts.
  HardwareProfile profile = plain_hardware();
  profile.cpu_copy_rate = 80'000'000'000;
  const CostTable costs = profile.costs();
  EXPECT_EQ(costs[static_cast<std::size_t>(Work::kCopyBytes)], 100);
  EXPECT_EQ(costs[static_cast<std::size_t>(Work::kMutation)], 0);
  EXPECT_EQ(costs[static_cast<std::size_t>(Work::kRead)], 0);
}

}  // namespace
}  // namespace slipstream::sim
