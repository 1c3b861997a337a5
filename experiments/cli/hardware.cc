#include "experiments/cli/hardware.h"

#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "experiments/cli/experiment.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/spec.h"
#include "experiments/cli/units.h"

namespace slipstream::cli {
namespace {

std::int64_t read_value(const std::string& file, const std::string& place, const sim::HardwareField& field,
                        const Json& value) {
  if (field.unit == sim::Unit::kCount) {
    if (value.is_number_integer()) return value.get<std::int64_t>();
    // Counts may be written as texts, so that all values look alike.
    const Json number = value.is_string() ? Json::parse(value.get<std::string>(), nullptr, false) : Json();
    if (number.is_number_integer()) return number.get<std::int64_t>();
    throw SpecError(file, place, fmt::format("found {}; expected a whole number, such as \"256\"", value.dump()));
  }
  const Dimension dimension = field.unit == sim::Unit::kTime   ? Dimension::kTime
                              : field.unit == sim::Unit::kSize ? Dimension::kSize
                                                               : Dimension::kBandwidth;
  if (!value.is_string()) {
    throw SpecError(
        file, place,
        fmt::format("found {}; expected a text with its unit, such as \"{}\"", value.dump(), example_of(dimension)));
  }
  const auto parsed = parse_quantity(value.get_ref<const std::string&>(), dimension);
  if (!parsed.value) {
    throw SpecError(file, place,
                    fmt::format("{} {}; expected a unit of {}", value.dump(), parsed.problem, unit_list(dimension)));
  }
  const double scale = field.unit == sim::Unit::kTime ? static_cast<double>(kPsPerNs) : 1.0;
  if (*parsed.value * scale > 9e18) throw SpecError(file, place, fmt::format("{} is absurdly large", value.dump()));
  return static_cast<std::int64_t>(std::llround(*parsed.value * scale));
}

void refuse_unknown(const std::string& file, const Json& root) {
  for (const auto& [section, content] : root.items()) {
    if (section == "name" || section == "description") continue;
    std::vector<std::string> keys;
    for (const sim::HardwareField& field : sim::hardware_fields()) {
      if (field.section == section) keys.emplace_back(field.key);
    }
    if (keys.empty()) throw SpecError(file, "/" + section, "unknown section; expected cpu, nic, network or storage");
    for (const auto& [key, value] : content.items()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      const std::string near = nearest(key, keys);
      throw SpecError(file, fmt::format("/{}/{}", section, key),
                      fmt::format("unknown key{}", near.empty() ? "" : fmt::format(" (did you mean {}?)", near)));
    }
  }
}

}  // namespace

std::filesystem::path hardware_file(const std::string& name) {
  return repository_root() / "experiments" / "hardware" / (name + ".json");
}

sim::HardwareProfile read_hardware(const std::filesystem::path& file) {
  return parse_hardware(file.string(), read_text(file));
}

sim::HardwareProfile parse_hardware(const std::string& file, const std::string& text) {
  const Json root = parse_json(file, text);
  if (!root.is_object()) throw SpecError(file, "", "expected an object with cpu, nic, network and storage");
  sim::HardwareProfile profile;
  for (const sim::HardwareField& field : sim::hardware_fields()) {
    const std::string place = fmt::format("/{}/{}", field.section, field.key);
    const std::string section(field.section);
    const std::string key(field.key);
    if (!root.contains(section) || !root.at(section).is_object() || !root.at(section).contains(key)) {
      throw SpecError(file, place,
                      fmt::format("is missing: {}; expected {{\"value\": ..., \"source\": ...}}", field.meaning));
    }
    const Json& entry = root.at(section).at(key);
    if (!entry.is_object() || !entry.contains("value"))
      throw SpecError(file, place, "expected {\"value\": ..., \"source\": ...}");
    if (!entry.contains("source") || !entry.at("source").is_string() || entry.at("source").get<std::string>().empty()) {
      throw SpecError(file, place + "/source", "is missing; say where the value comes from, or \"assumed: ...\"");
    }
    profile.*field.member = read_value(file, place + "/value", field, entry.at("value"));
  }
  refuse_unknown(file, root);
  if (const std::string problem = sim::problem_with(profile); !problem.empty()) throw SpecError(file, "", problem);
  return profile;
}

}  // namespace slipstream::cli
