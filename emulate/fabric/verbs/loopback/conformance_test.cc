// The seam's conformance suite over the verbs fabric on the stand-in: whatever the machine, and under the sanitizers.
// What the fabric must never do to a card is checked at the end of every case.
#include "core/fabric/conformance.h"

#include <string>
#include <utility>

#include "emulate/fabric/verbs/loopback/test_fabrics.h"

namespace slipstream::emulate {
namespace {

// A card that does all at once; unkind ones; one with little room, which splits what is large and takes nothing inline.
std::vector<FabricCase> cases(std::vector<FabricCase> (*suite)(const MakeFabricBench&)) {
  struct Variant {
    const char* name;
    std::size_t ring_bytes;
    loopback_verbs::Options card;
  };
  const Variant variants[] = {
      {"at_once", 256 * kKiB, {}},
      {"seed_1", 256 * kKiB, {.seed = 1}},
      {"seed_2_small_rings", 64 * kKiB, {.seed = 2}},
      {"seed_3_small_rings_small_card", 64 * kKiB, {.seed = 3, .most_inline = 0, .most_message = 4096}},
      {"seed_4_small_card", 256 * kKiB, {.seed = 4, .most_inline = 64, .most_message = 5000}},
  };
  std::vector<FabricCase> all;
  for (const Variant& variant : variants) {
    for (FabricCase& c : suite(on_loopback(variant.ring_bytes, variant.card))) {
      c.name += std::string("_") + variant.name;
      all.push_back(std::move(c));
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(VerbsLoopback, FabricConformance, testing::ValuesIn(cases(fabric_conformance)), case_name);
INSTANTIATE_TEST_SUITE_P(VerbsLoopbackFaulty, FabricConformance, testing::ValuesIn(cases(faulty_conformance)),
                         case_name);

}  // namespace
}  // namespace slipstream::emulate
