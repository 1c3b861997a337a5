#include "experiments/cli/guest.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "experiments/cli/test_folder.h"

namespace slipstream::cli {
namespace {

using emulate::FabricKind;
using emulate::HostKind;

Point point(World world, FabricKind fabric, HostKind hosts) {
  Point made;
  made.world = world;
  made.experiment.emulate.fabric = fabric;
  made.experiment.emulate.hosts = hosts;
  return made;
}

Point emulated(FabricKind fabric, HostKind hosts) { return point(World::kEmulate, fabric, hosts); }

using Hosts = std::vector<HostKind>;

TEST(Guest, WhatAsksForItRunsInIt) {
  // Given points of which some have hosts vm, whether or not there is a device
  const std::vector<Point> points = {emulated(FabricKind::kTcp, HostKind::kPacked),
                                     emulated(FabricKind::kTcp, HostKind::kVm),
                                     point(World::kSim, FabricKind::kTcp, HostKind::kVm)};
  for (const bool has_device : {false, true}) {
    const GuestPlan plan = plan_guest(points, has_device);
    // Expect these alone in the guest
    EXPECT_EQ(plan.hosts, Hosts{HostKind::kVm});
    EXPECT_FALSE(plan.for_device);
    EXPECT_FALSE(plan.takes(points[0]));
    EXPECT_TRUE(plan.takes(points[1]));
    EXPECT_FALSE(plan.takes(points[2]));
  }
}

TEST(Guest, VerbsWithoutADeviceTakeAllThatIsComparedAlong) {
  const std::vector<Point> points = {emulated(FabricKind::kTcp, HostKind::kPacked),
                                     emulated(FabricKind::kVerbs, HostKind::kMininet),
                                     emulated(FabricKind::kVerbs, HostKind::kSsh)};
  EXPECT_TRUE(plan_guest(points, true).hosts.empty());
  const GuestPlan plan = plan_guest(points, false);
  EXPECT_TRUE(plan.for_device);
  EXPECT_EQ(plan.hosts, (Hosts{HostKind::kPacked, HostKind::kMininet}));
  // Real machines have devices of their own, or not.
  EXPECT_TRUE(plan_guest({points[2]}, false).hosts.empty());
}

TEST(Guest, SimulatedVerbsNeedNone) {
  EXPECT_TRUE(plan_guest({point(World::kSim, FabricKind::kVerbs, HostKind::kPacked)}, false).hosts.empty());
}

TEST(Guest, ThereIsNoGuestInAGuest) {
  ::setenv("SLIPSTREAM_IN_VM", "emulated", 1);
  EXPECT_TRUE(plan_guest({emulated(FabricKind::kTcp, HostKind::kVm)}, false).hosts.empty());
  EXPECT_TRUE(guest_text().ends_with("processor emulated"));
  ::unsetenv("SLIPSTREAM_IN_VM");
  EXPECT_EQ(guest_text(), "");
}

TEST(Guest, ASpecWithoutVerbsIsReadAsItStands) {
  TestFolder folder;
  const auto file = folder.write("trial.json", R"({
    "name": "trial", "description": "a trial", "worlds": ["emulate"], "cluster": {"servers": 4},
    "replication": {"factor": 3, "policy": "rpc"}, "workload": {"name": "write-only"}})");
  std::string said;
  const Spec spec = read_spec_for_here(file, {}, false, [&](const std::string& text) { said += text; });
  EXPECT_EQ(spec.base.emulate.hosts, HostKind::kPacked);
  EXPECT_EQ(said, "");
}

TEST(Guest, ItsPartIsForGuestsOnly) {
  RunRequest request;
  request.guest_part = "vm";
  EXPECT_THROW(guest_part_command(request), UserError);
}

TEST(Guest, FiguresOfAGuestAreToldAsSuch) {
  EXPECT_EQ(guest_note({{{"point", "aa"}}}), "");
  const Json line = {{"guest", "Linux 6.1, processor emulated"}};
  const std::string note = guest_note({line, line});
  EXPECT_NE(note.find("(Linux 6.1, processor emulated); its times are those of an emulator"), std::string::npos);
  EXPECT_EQ(note.find('\n'), note.size() - 1);
}

}  // namespace
}  // namespace slipstream::cli
