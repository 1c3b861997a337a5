// Arbitrary text as a spec, from reading to the points that would be run, and as a command line's --set: either it is
// understood, or a UserError says what is wrong with it.
#include <cstdint>

#include "core/base/check.h"
#include "core/base/fuzz_input.h"
#include "experiments/cli/spec.h"

using namespace slipstream;
using namespace slipstream::cli;

namespace {

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr const char* kSmall = R"({"name": "small", "description": "a small cluster", "worlds": ["emulate", "sim"],
  "cluster": {"servers": 2}, "replication": {"factor": 1}, "workload": {"name": "ycsb-a"}})";

void read(const std::string& text, const Overrides& overrides) {
  try {
    const Spec spec = parse_spec("fuzz.json", text, overrides);
    // What a spec comes to is a spec again, and the same.
    const Spec again = parse_spec("again.json", spec.document.dump(), {});
    SLIP_CHECK(again.document == spec.document, "{} became {}", spec.document.dump(), again.document.dump());
    points_of(spec);
  } catch (const UserError& problem) {
    SLIP_CHECK(problem.exit_status() == kExitUsage && problem.what()[0] != '\0');
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput in(data, size);
  const bool is_override = in.byte() == '=';
  const std::string text = text_of(in.rest());
  if (!is_override) {
    read(text, {});
    return 0;
  }
  Overrides overrides;
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return 0;
  overrides.sets.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  read(kSmall, overrides);
  return 0;
}
