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
  ~RealBench() override {
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
    fabrics_[index(node)] = make(node);
    return true;
  }

 protected:
  RealBench() {
    static std::atomic<int> serial{0};
    directory_ = "/dev/shm/slipstream-test-" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
    std::filesystem::create_directory(directory_);
  }
  virtual std::unique_ptr<RealFabric> make(NodeId node) = 0;

  std::string directory_;
  std::vector<std::unique_ptr<RealFabric>> fabrics_;
};

class ShmBench : public RealBench {
 public:
  ShmBench(std::uint16_t nodes, std::size_t ring_bytes) {
    options_.run_directory = directory_;
    options_.ring_bytes = ring_bytes;
    for (std::uint16_t i = 0; i < nodes; ++i) fabrics_.push_back(ShmBench::make(NodeId{i}));
  }

 private:
  std::unique_ptr<RealFabric> make(NodeId node) override {
    options_.node = node;
    return make_shm_fabric(options_);
  }

  ShmOptions options_;
};

class TcpBench : public RealBench {
 public:
  explicit TcpBench(std::uint16_t nodes) {
    std::vector<TcpListener> listeners;
    options_.region_directory = directory_;
    for (std::uint16_t i = 0; i < nodes; ++i) {
      listeners.push_back(listen_tcp("127.0.0.1:0"));
      options_.addresses.push_back(listeners.back().address);
    }
    for (std::uint16_t i = 0; i < nodes; ++i) {
      options_.listener = listeners[i].descriptor;
      fabrics_.push_back(TcpBench::make(NodeId{i}));
    }
    options_.listener = -1;  // later lives listen for themselves
  }

 private:
  std::unique_ptr<RealFabric> make(NodeId node) override {
    options_.node = node;
    return make_tcp_fabric(options_);
  }

  TcpOptions options_;
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
