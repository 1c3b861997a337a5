#include "core/fabric/conformance.h"

#include "core/fabric/conformance_stage.h"

namespace slipstream {

std::vector<FabricCase> fabric_conformance(const MakeFabricBench& make) {
  std::vector<FabricCase> cases;
  for (const conformance::CaseList* list :
       {&conformance::channel_cases(), &conformance::message_cases(), &conformance::memory_cases(),
        &conformance::fault_cases(), &conformance::life_cases(), &conformance::model_cases()}) {
    for (const auto& [name, run] : *list) cases.push_back({name, make, run});
  }
  return cases;
}

TEST_P(FabricConformance, Holds) { GetParam().run(GetParam().make); }

}  // namespace slipstream
