#include "experiments/cli/doctor.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "emulate/fabric/verbs/verbs.h"
#include "emulate/hosts/options.h"

namespace slipstream::cli {
namespace {

TEST(Doctor, ExaminesEveryFabricAndEveryKindOfHosts) {
  // expect each name that a spec may say, and for what does not work one reason on one line
  std::vector<Finding> all = examine_fabrics();
  for (const Finding& finding : all) {
    if (finding.what != "sim") {
      EXPECT_TRUE(emulate::fabric_kind_of(finding.what)) << finding.what;
    }
  }
  EXPECT_EQ(all.size(), 4u);
  const std::vector<Finding> hosts = examine_hosts();
  for (const Finding& finding : hosts) EXPECT_TRUE(emulate::host_kind_of(finding.what)) << finding.what;
  EXPECT_EQ(hosts.size(), 6u);
  all.insert(all.end(), hosts.begin(), hosts.end());
  for (const Finding& finding : all) {
    EXPECT_FALSE(finding.detail.empty()) << finding.what;
    EXPECT_EQ(finding.detail.find('\n'), std::string::npos) << finding.detail;
    EXPECT_TRUE(!finding.works || finding.remedy.empty()) << finding.what;
  }
}

TEST(Doctor, SaysOfVerbsWhatVerbsSay) {
  // given this machine's devices, expect verbs to work exactly where a node would find an address
  bool usable = true;
  try {
    emulate::verbs_addresses("");
  } catch (const std::runtime_error&) {
    usable = false;
  }
  const std::vector<Finding> fabrics = examine_fabrics();
  const auto verbs = std::find_if(fabrics.begin(), fabrics.end(), [](const Finding& f) { return f.what == "verbs"; });
  ASSERT_NE(verbs, fabrics.end());
  EXPECT_EQ(verbs->works, usable) << verbs->detail;
  EXPECT_EQ(verbs->remedy.empty(), usable);
}

}  // namespace
}  // namespace slipstream::cli
