// The seam's conformance suite over verbs, all nodes in this process and on one thread, each at its own address of
// one RDMA device. Where this machine has no such device the suite says so and is skipped: it is run in a virtual
// machine that has one (verbs_vm in CMakeLists.txt).
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <utility>

#include "core/fabric/conformance.h"

#include "emulate/fabric/verbs/verbs.h"

namespace slipstream::emulate {
namespace {

class VerbsBench : public FabricBench {
 public:
  VerbsBench(std::uint16_t nodes, std::size_t ring_bytes) {
    static std::atomic<int> serial{0};
    directory_ = "/dev/shm/slipstream-verbs-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
    std::filesystem::create_directory(directory_);
    VerbsOptions& options = options_;
    options.secret = make_run_secret();
    options.ring_bytes = ring_bytes;
    options.region_directory = directory_;
    const std::vector<std::string> hosts = verbs_addresses("");
    std::vector<TcpListener> listeners;
    for (std::uint16_t i = 0; i < nodes; ++i) {
      listeners.push_back(listen_tcp(hosts[i % hosts.size()] + ":0"));
      options.addresses.push_back(listeners.back().address);
    }
    for (std::uint16_t i = 0; i < nodes; ++i) {
      options.node = NodeId{i};
      options.listener = listeners[i].descriptor;
      fabrics_.push_back(make_verbs_fabric(options));
    }
    options.listener = -1;  // later lives listen for themselves
  }
  ~VerbsBench() override {
    fabrics_.clear();
    std::filesystem::remove_all(directory_);
  }
  Fabric& fabric(NodeId node) override { return *fabrics_[index(node)]; }
  void pump() override {}
  bool kill(NodeId node) override {
    fabrics_[index(node)].reset();
    return true;
  }
  bool restart(NodeId node) override {
    options_.node = node;
    fabrics_[index(node)] = make_verbs_fabric(options_);
    return true;
  }

 private:
  std::string directory_;
  VerbsOptions options_;
  std::vector<std::unique_ptr<RealFabric>> fabrics_;
};

std::unique_ptr<FabricBench> verbs_fabrics(std::uint16_t nodes) {
  return std::make_unique<VerbsBench>(nodes, 256 * kKiB);
}
std::unique_ptr<FabricBench> verbs_small_rings(std::uint16_t nodes) {
  return std::make_unique<VerbsBench>(nodes, 64 * kKiB);
}

bool has_device() {
  const auto ports = verbs_ports();
  return std::any_of(ports.begin(), ports.end(),
                     [](const VerbsPort& p) { return p.is_active && !p.addresses.empty(); });
}

std::vector<FabricCase> where_there_is_a_device(std::vector<FabricCase> cases) {
  return has_device() ? std::move(cases) : std::vector<FabricCase>{};
}

INSTANTIATE_TEST_SUITE_P(Verbs, FabricConformance,
                         testing::ValuesIn(where_there_is_a_device(fabric_conformance(verbs_fabrics))), case_name);
INSTANTIATE_TEST_SUITE_P(VerbsSmallRings, FabricConformance,
                         testing::ValuesIn(where_there_is_a_device(fabric_conformance(verbs_small_rings))), case_name);
INSTANTIATE_TEST_SUITE_P(VerbsFaulty, FabricConformance,
                         testing::ValuesIn(where_there_is_a_device(faulty_conformance(verbs_fabrics))), case_name);

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FabricConformance);

TEST(VerbsConformance, NeedsADevice) {
  if (!has_device()) GTEST_SKIP() << "this machine has no RDMA device; the suite runs in the virtual machine";
}

}  // namespace
}  // namespace slipstream::emulate
