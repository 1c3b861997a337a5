// Reads hardware profiles (experiments/hardware/NAME.json) by the simulator's own list of fields: every value carries
// its unit and its source, every field is there, nothing else is.
#pragma once

#include <filesystem>
#include <string>

#include "experiments/cli/json.h"
#include "sim/hardware.h"

namespace slipstream::cli {

// Throws SpecError with the path in the file.
sim::HardwareProfile read_hardware(const std::filesystem::path& file);
sim::HardwareProfile parse_hardware(const std::string& file, const std::string& text);

std::filesystem::path hardware_file(const std::string& name);

}  // namespace slipstream::cli
