// Verbs fabrics of several nodes on the stand-in, each at an address of its own, as the conformance suite wants them.
// When they go it is checked that they never did to the card what they must not: a SEND that met no slot, a post that
// had no room.
#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/fabric/conformance.h"

#include "emulate/fabric/verbs/loopback/loopback_verbs.h"
#include "emulate/fabric/verbs/verbs.h"

namespace slipstream::emulate {

class LoopbackFabrics : public FabricBench {
 public:
  LoopbackFabrics(std::uint16_t nodes, std::size_t ring_bytes, const loopback_verbs::Options& card) {
    loopback_verbs::use(card);
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
  ~LoopbackFabrics() override {
    fabrics_.clear();
    std::filesystem::remove_all(directory_);
    EXPECT_EQ(loopback_verbs::counters().not_ready, 0u) << "a SEND without a slot of the other end";
    EXPECT_EQ(loopback_verbs::counters().rejected, 0u) << "a post that had no room, or was none";
  }
  RealFabric& real(NodeId node) { return *fabrics_[index(node)]; }
  Fabric& fabric(NodeId node) override { return real(node); }
  void pump() override { loopback_verbs::advance(); }
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

inline MakeFabricBench on_loopback(std::size_t ring_bytes, const loopback_verbs::Options& card) {
  return [=](std::uint16_t nodes) { return std::make_unique<LoopbackFabrics>(nodes, ring_bytes, card); };
}

}  // namespace slipstream::emulate
