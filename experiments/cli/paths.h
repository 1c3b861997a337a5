// Where things are: the repository (specs, hardware profiles, plots) and the programs built beside this one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace slipstream::cli {

// The environment's SLIPSTREAM_ROOT; else the nearest folder above the executable that holds experiments/specs; else
// the folder this program was built from. Throws UserError when none holds experiments/specs.
std::filesystem::path repository_root();
std::filesystem::path executable_folder();

// A file, or the name of one of experiments/specs without ".json". Throws UserError with the nearest name.
std::filesystem::path find_spec(const std::string& file_or_name);
// Names in the folder, sorted, without ".json".
std::vector<std::string> json_names(const std::filesystem::path& folder);

// The whole file. Throws UserError (exit 2) with the system's reason when it cannot be read.
std::string read_text(const std::filesystem::path& file);

}  // namespace slipstream::cli
