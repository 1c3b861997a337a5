// The part of a run that is made in a throwaway virtual machine (emulate/hosts/vm): points with hosts "vm", and those
// of a spec that wants verbs where this machine has no RDMA device.
//
// One guest is started for a whole run. In it this same program runs as `slipstream run OUT/spec.json --out OUT
// --guest-part HOSTS`: it adds those points to the results folder, which it shares with the run outside, and makes
// neither tables nor a report. There, hosts "vm" means processes.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/cli/commands.h"
#include "experiments/cli/results.h"
#include "experiments/cli/runner.h"
#include "experiments/cli/spec.h"

namespace slipstream::cli {

// The guest that this process runs in: "Linux 6.1.0-41-amd64, processor emulated"; empty: in none.
std::string guest_text();

bool has_rdma_device();

struct GuestPlan {
  std::vector<emulate::HostKind> hosts;  // the emulated points of these are made in the guest
  bool for_device = false;               // because verbs have no device here
  bool takes(const Point& point) const;
};
GuestPlan plan_guest(const std::vector<Point>& points, bool has_device);

// A spec as this machine can run it: where verbs have no device, hosts packed and processes become vm, and `say` hears
// why.
Spec read_spec_for_here(const std::filesystem::path& file, Overrides overrides, bool has_device,
                        const std::function<void(const std::string&)>& say);

// Starts a guest, unless the folder has all these points, and waits for its end. What failed there has been told on
// stderr when this returns, unless it is in `failures`.
RunSummary run_in_guest(const GuestPlan& plan, const Spec& spec, const std::vector<Point>& points,
                        ResultsFolder& folder, bool show_progress, const std::function<void(const std::string&)>& say);

// In the guest.
int guest_part_command(const RunRequest& request);

// For the reader of figures: of which guests these lines of results are; empty: of none.
std::string guest_note(const std::vector<Json>& lines);

}  // namespace slipstream::cli
