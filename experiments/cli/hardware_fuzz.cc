// Arbitrary text as a hardware profile and as a quantity: either it is understood, or a UserError says what is wrong.
#include <cstdint>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "experiments/cli/experiment.h"
#include "experiments/cli/hardware.h"
#include "experiments/cli/units.h"

using namespace slipstream;
using namespace slipstream::cli;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const Dimension dimension : {Dimension::kSize, Dimension::kTime, Dimension::kRate, Dimension::kBandwidth}) {
    const ParsedQuantity parsed = parse_quantity(text, dimension);
    SLIP_CHECK(parsed.value.has_value() == parsed.problem.empty());
    if (parsed.value) format_quantity(*parsed.value, dimension);
  }
  try {
    parse_hardware("fuzz.json", text);
  } catch (const UserError& problem) {
    SLIP_CHECK(problem.exit_status() == kExitUsage && problem.what()[0] != '\0');
  }
  return 0;
}
