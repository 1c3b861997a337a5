// Arbitrary bytes as a file that is inspected, as all that it can be: recognised or not, everything about it can be
// printed.
#include <cstdint>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "experiments/cli/inspect_print.h"

using namespace slipstream;
using namespace slipstream::cli;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  const char* const names[] = {"node-1.replicas", "node-2/1.frame", "a"};
  const char* const name = names[in.byte() % 3];
  const std::vector<std::byte> bytes = in.rest();
  const InspectedFile file = inspect_file(name, bytes);
  SLIP_CHECK(file.kind != FileKind::kNone || !file.problems.empty());
  SLIP_CHECK(!file_text(file, bytes, true).empty());
  file_json(file, bytes, true).dump(-1, ' ', false, Json::error_handler_t::replace);
  file_line(file, ".");
  Totals totals;
  totals.add(file);
  totals.finish();
  totals_text(totals);
  totals_json(totals);
  return 0;
}
