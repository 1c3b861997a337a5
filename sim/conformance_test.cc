// The seam's conformance suites over the simulated fabric: with the shipped kind of hardware, with one so small that
// every queue, cache and packet boundary is in play, with writes that keep no order inside, and with partitions that
// come and go before any NIC gives up.
#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

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

  bool restart(NodeId node) {
    fabrics_[index(node)].end_life(true);
    network_.revive(node);
    return true;
  }
  Network& network() { return network_; }
  EventQueue& queue() { return queue_; }

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

template <WriteOrder order>
std::unique_ptr<FabricBench> unordered(std::uint16_t nodes) {
  HardwareProfile hw = plain_hardware();
  hw.network_mtu = 200;
  auto bench = std::make_unique<SimBench>(nodes, hw, 200);
  bench->network().set_write_order(order, 700'000, 5);
  return bench;
}

// When it is asked to go on, a direction between two nodes may be cut or healed; all are before a NIC would give up.
class Blinking : public SimBench {
 public:
  Blinking(std::uint16_t nodes, const HardwareProfile& hw)
      : SimBench(nodes, hw, 1), nodes_(nodes), rng_(nodes, "cuts") {}
  void pump() override {
    const auto draw = [this] { return NodeId{static_cast<std::uint16_t>(rng_.below(nodes_))}; };
    const std::pair<NodeId, NodeId> drawn{draw(), draw()};
    const auto found = std::find(cuts_.begin(), cuts_.end(), drawn);
    if (found != cuts_.end()) {
      network().heal(drawn.first, drawn.second);
      cuts_.erase(found);
    } else if (drawn.first != drawn.second && rng_.chance(1, 2)) {
      network().cut(drawn.first, drawn.second);
      cuts_.push_back(drawn);
    }
    if (rng_.chance(1, 20)) heal_all();
    for (int i = 0; i < 7; ++i) {
      if (queue().empty() || queue().next_time() - queue().now() > 1'000'000'000) heal_all();
      SimBench::pump();
    }
  }

 private:
  void heal_all() {
    for (const auto& [from, to] : cuts_) network().heal(from, to);
    cuts_.clear();
  }

  std::uint16_t nodes_;
  Rng rng_;
  std::vector<std::pair<NodeId, NodeId>> cuts_;
};

std::unique_ptr<FabricBench> blinking(std::uint16_t nodes) {
  HardwareProfile hw = plain_hardware();
  hw.nic_timeout = 1'000'000'000'000;
  return std::make_unique<Blinking>(nodes, hw);
}

INSTANTIATE_TEST_SUITE_P(Sim, FabricConformance, testing::ValuesIn(fabric_conformance(plain)), case_name);
INSTANTIATE_TEST_SUITE_P(SimCramped, FabricConformance, testing::ValuesIn(fabric_conformance(cramped)), case_name);
INSTANTIATE_TEST_SUITE_P(SimBytes, FabricConformance,
                         testing::ValuesIn(fabric_conformance(unordered<WriteOrder::kNone>)), case_name);
INSTANTIATE_TEST_SUITE_P(SimBlocks, FabricConformance,
                         testing::ValuesIn(fabric_conformance(unordered<WriteOrder::kBlocks>)), case_name);
INSTANTIATE_TEST_SUITE_P(SimBlinking, FabricConformance, testing::ValuesIn(fabric_conformance(blinking)), case_name);
INSTANTIATE_TEST_SUITE_P(SimFaulty, FabricConformance, testing::ValuesIn(faulty_conformance(plain)), case_name);

}  // namespace
}  // namespace slipstream::sim
