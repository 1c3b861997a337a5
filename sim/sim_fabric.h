// The simulated world's Fabric: one node's end of a Network. Ops posted here leave at the world's current time; a
// World's cores post through the Network itself, at the times that their costs give.
#pragma once

#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/fabric/fabric.h"
#include "sim/network.h"

namespace slipstream::sim {

class SimFabric : public Fabric {
 public:
  // Makes a node of `network`. Both references outlive the fabric.
  SimFabric(Network& network, EventQueue& queue) : network_(network), queue_(queue), node_(network.add_node()) {}

  NodeId node() const { return node_; }

  Region create_region(std::string_view name, std::size_t bytes, Access) override;
  void post(std::span<const Op> ops) override;
  std::size_t poll(std::span<Event> events) override;

  bool pending() const { return !network_.inbox(node_).empty(); }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  Network& network_;
  EventQueue& queue_;
  NodeId node_;
  std::vector<std::unique_ptr<void, Free>> regions_;
  std::vector<Event> lent_;  // messages of the last poll
};

}  // namespace slipstream::sim
