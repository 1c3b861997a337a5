// The simulated world's Fabric: one node's end of a Network. Ops posted here leave at the world's current time; a
// World's cores post through the Network itself, at the times that their costs give.
#pragma once

#include <cstdlib>
#include <memory>
#include <span>
#include <string>
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

  Region create_region(std::string_view name, std::size_t bytes, Access access) override;
  void post(std::span<const Op> ops) override;
  WriteOrder write_order() const override { return network_.write_order(); }
  std::size_t poll(std::span<Event> events) override;

  bool pending() const { return !network_.inbox(node_).empty(); }

  // After Network::kill: regions are gone, but for durable ones where memory is kept; those wait for the next life.
  void end_life(bool keeps_memory);
  // The region's memory; empty when there is none of that name.
  Bytes region(std::string_view name) const;

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  struct Made {
    std::string name;
    bool durable = false;
    std::unique_ptr<void, Free> block;
    Bytes memory;
  };

  Made make(std::string_view name, std::size_t bytes, Access access) const;

  Network& network_;
  EventQueue& queue_;
  NodeId node_;
  std::vector<Made> regions_;
  std::vector<Made> kept_;   // of earlier lives
  std::vector<Event> lent_;  // messages of the last poll
};

}  // namespace slipstream::sim
