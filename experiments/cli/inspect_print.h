// What `slipstream inspect` prints: for people, and as JSON.
#pragma once

#include <string>

#include "experiments/cli/inspect_file.h"
#include "experiments/cli/inspect_totals.h"
#include "experiments/cli/json.h"

namespace slipstream::cli {

// All of one file. `bytes`: the file's, for the entries where `with_entries`.
std::string file_text(const InspectedFile& file, ConstBytes bytes, bool with_entries);
Json file_json(const InspectedFile& file, ConstBytes bytes, bool with_entries);

// One of many: a line, and one for each thing that does not verify. `root`: the folder that was named.
std::string file_line(const InspectedFile& file, const std::filesystem::path& root);

std::string totals_text(const Totals& totals);
Json totals_json(const Totals& totals);

}  // namespace slipstream::cli
