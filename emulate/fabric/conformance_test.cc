// The seam's conformance suite over the fabrics of the real world, all nodes in this process and on one thread.
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/fabric/conformance.h"
#include "emulate/fabric/real_fabric.h"

namespace slipstream::emulate {
namespace {

class RealBench : public FabricBench {
 public:
  Fabric& fabric(NodeId node) override { return *fabrics_[index(node)]; }
  void pump() override {}
  bool kill(NodeId node) override {
    fabrics_[index(node)].reset();
    return true;
  }

 protected:
  std::vector<std::unique_ptr<RealFabric>> fabrics_;
};

class ShmBench : public RealBench {
 public:
  ShmBench(std::uint16_t nodes, std::size_t ring_bytes) {
    static std::atomic<int> serial{0};
    directory_ = "/dev/shm/slipstream-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
    for (std::uint16_t i = 0; i < nodes; ++i) {
      ShmOptions options;
      options.run_directory = directory_;
      options.node = NodeId{i};
      options.ring_bytes = ring_bytes;
      fabrics_.push_back(make_shm_fabric(options));
    }
  }
  ~ShmBench() override {
    fabrics_.clear();
    std::filesystem::remove_all(directory_);
  }

 private:
  std::string directory_;
};

class TcpBench : public RealBench {
 public:
  explicit TcpBench(std::uint16_t nodes) {
    std::vector<TcpListener> listeners;
    TcpOptions options;
    for (std::uint16_t i = 0; i < nodes; ++i) {
      listeners.push_back(listen_tcp("127.0.0.1:0"));
      options.addresses.push_back(listeners.back().address);
    }
    for (std::uint16_t i = 0; i < nodes; ++i) {
      options.node = NodeId{i};
      options.listener = listeners[i].descriptor;
      fabrics_.push_back(make_tcp_fabric(options));
    }
  }
};

std::unique_ptr<FabricBench> tcp(std::uint16_t nodes) { return std::make_unique<TcpBench>(nodes); }
std::unique_ptr<FabricBench> shm(std::uint16_t nodes) { return std::make_unique<ShmBench>(nodes, 256 * kKiB); }
std::unique_ptr<FabricBench> shm_small_rings(std::uint16_t nodes) {
  return std::make_unique<ShmBench>(nodes, 64 * kKiB);
}

INSTANTIATE_TEST_SUITE_P(Shm, FabricConformance, testing::ValuesIn(fabric_conformance(shm)), case_name);
INSTANTIATE_TEST_SUITE_P(ShmSmallRings, FabricConformance, testing::ValuesIn(fabric_conformance(shm_small_rings)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Tcp, FabricConformance, testing::ValuesIn(fabric_conformance(tcp)), case_name);
INSTANTIATE_TEST_SUITE_P(ShmFaulty, FabricConformance, testing::ValuesIn(faulty_conformance(shm)), case_name);
INSTANTIATE_TEST_SUITE_P(TcpFaulty, FabricConformance, testing::ValuesIn(faulty_conformance(tcp)), case_name);

}  // namespace
}  // namespace slipstream::emulate
