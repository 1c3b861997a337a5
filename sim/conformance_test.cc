// The seam's conformance suites over the simulated fabric: with the shipped kind of hardware, and with one so small
// that every queue, cache and packet boundary is in play.
#include <deque>

#include "core/fabric/conformance.h"
#include "sim/sim_fabric.h"
#include "sim/test_hardware.h"

namespace slipstream::sim {
namespace {

class SimBench : public FabricBench {
 public:
  SimBench(std::uint16_t nodes, const HardwareProfile& hardware, int events_per_pump)
      : network_(queue_, hardware), events_per_pump_(events_per_pump) {
    for (std::uint16_t i = 0; i < nodes; ++i) fabrics_.emplace_back(network_, queue_);
  }
  Fabric& fabric(NodeId node) override { return fabrics_[index(node)]; }
  void pump() override {
    for (int i = 0; i < events_per_pump_ && !queue_.empty(); ++i) {
      const QueuedEvent event = queue_.pop();
      network_.handle(static_cast<Happening>(event.kind), event.what);
    }
  }
  bool kill(NodeId node) override {
    network_.kill(node);
    return true;
  }

 private:
  EventQueue queue_;
  Network network_;
  int events_per_pump_;
  std::deque<SimFabric> fabrics_;
};

std::unique_ptr<FabricBench> plain(std::uint16_t nodes) {
  return std::make_unique<SimBench>(nodes, plain_hardware(), 12);
}

std::unique_ptr<FabricBench> cramped(std::uint16_t nodes) {
  HardwareProfile hw = plain_hardware();
  hw.network_mtu = 64;
  hw.nic_queue_pairs = 1;
  hw.nic_queue_pair_miss = 700'000;
  hw.nic_inline_limit = 0;
  hw.network_port_rate = 1'000'000'000;
  return std::make_unique<SimBench>(nodes, hw, 200);
}

INSTANTIATE_TEST_SUITE_P(Sim, FabricConformance, testing::ValuesIn(fabric_conformance(plain)), case_name);
INSTANTIATE_TEST_SUITE_P(SimCramped, FabricConformance, testing::ValuesIn(fabric_conformance(cramped)), case_name);
INSTANTIATE_TEST_SUITE_P(SimFaulty, FabricConformance, testing::ValuesIn(faulty_conformance(plain)), case_name);

}  // namespace
}  // namespace slipstream::sim
