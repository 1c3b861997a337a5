// The conformance suite of the network seam: what every Fabric must do, as test cases in the vocabulary of fabric.h
// alone. An implementation's test program makes a FabricBench and instantiates the suite once:
//
//   INSTANTIATE_TEST_SUITE_P(Shm, FabricConformance, testing::ValuesIn(fabric_conformance(make_bench)), case_name);
//
// The cases live in conformance_*.cc of this folder's library; whoever instantiates the suite links them, nobody else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/fabric/fabric.h"

namespace slipstream {

// Fabrics of the nodes 0..N-1 of one network, none of them connected. A case drives all of them from one thread: it
// posts, pumps and polls in turn. No other node exists: a connect to node N must fail.
class FabricBench {
 public:
  virtual ~FabricBench() = default;

  virtual Fabric& fabric(NodeId node) = 0;

  // Lets what is under way move on: a simulator handles some events, at least one if there is one; a real fabric needs
  // no more than a chance for other threads. Called between polls whenever a case waits; must not poll a fabric itself.
  virtual void pump() = 0;

  // The node dies without a word, as by kill -9. Its fabric is not used again. False: this bench cannot do that.
  virtual bool kill(NodeId node) = 0;

  // A killed node comes to life again: fabric(node) is a new one, where the memory is that the old one left. False:
  // this bench cannot do that.
  virtual bool restart(NodeId) { return false; }
};

using MakeFabricBench = std::function<std::unique_ptr<FabricBench>(std::uint16_t nodes)>;

struct FabricCase {
  std::string name;
  MakeFabricBench make;
  void (*run)(const MakeFabricBench& make) = nullptr;
};

// Every case, over the fabrics that `make` makes.
std::vector<FabricCase> fabric_conformance(const MakeFabricBench& make);

// The same through a FaultyFabric without faults, and what its faults must look like.
std::vector<FabricCase> faulty_conformance(const MakeFabricBench& make);

inline void PrintTo(const FabricCase& c, std::ostream* out) { *out << c.name; }
inline std::string case_name(const testing::TestParamInfo<FabricCase>& info) { return info.param.name; }

class FabricConformance : public testing::TestWithParam<FabricCase> {};

}  // namespace slipstream
