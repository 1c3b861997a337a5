#include "experiments/cli/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <vector>

#include <fmt/format.h>

namespace slipstream::cli {
namespace {

struct Unit {
  std::string_view name;
  double factor;
  bool preferred;  // used when quantities are printed
};

constexpr double kKilo = 1e3;
constexpr double kMega = 1e6;
constexpr double kGiga = 1e9;

constexpr std::array<Unit, 7> kSizes = {{{"B", 1, true},
                                         {"kB", kKilo, false},
                                         {"KiB", 1024, true},
                                         {"MB", kMega, false},
                                         {"MiB", 1024.0 * 1024, true},
                                         {"GB", kGiga, false},
                                         {"GiB", 1024.0 * 1024 * 1024, true}}};
constexpr std::array<Unit, 4> kTimes = {
    {{"ns", 1, true}, {"us", kKilo, true}, {"ms", kMega, true}, {"s", kGiga, true}}};
constexpr std::array<Unit, 3> kRates = {{{"ops/s", 1, true}, {"kops/s", kKilo, true}, {"Mops/s", kMega, true}}};
constexpr std::array<Unit, 6> kBandwidths = {{{"kb/s", kKilo, true},
                                              {"Mb/s", kMega, true},
                                              {"Gb/s", kGiga, true},
                                              {"kB/s", 8 * kKilo, false},
                                              {"MB/s", 8 * kMega, false},
                                              {"GB/s", 8 * kGiga, false}}};

std::span<const Unit> units_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::kSize: return kSizes;
    case Dimension::kTime: return kTimes;
    case Dimension::kRate: return kRates;
    case Dimension::kBandwidth: return kBandwidths;
  }
  return {};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::string unit_list(Dimension dimension) {
  const auto units = units_of(dimension);
  std::string list;
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (i > 0) list += i + 1 == units.size() ? " or " : ", ";
    list += units[i].name;
  }
  return list;
}

std::string_view example_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::kSize: return "8 MiB";
    case Dimension::kTime: return "100 us";
    case Dimension::kRate: return "200 kops/s";
    case Dimension::kBandwidth: return "56 Gb/s";
  }
  return "";
}

std::string_view pattern_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::kSize: return "^[0-9]+(\\.[0-9]+)? *(B|kB|KiB|MB|MiB|GB|GiB)$";
    case Dimension::kTime: return "^[0-9]+(\\.[0-9]+)? *(ns|us|ms|s)$";
    case Dimension::kRate: return "^[0-9]+(\\.[0-9]+)? *(ops/s|kops/s|Mops/s)$";
    case Dimension::kBandwidth: return "^[0-9]+(\\.[0-9]+)? *(kb/s|Mb/s|Gb/s|kB/s|MB/s|GB/s)$";
  }
  return "";
}

ParsedQuantity parse_quantity(std::string_view text, Dimension dimension) {
  const std::string_view trimmed = trim(text);
  double number = 0;
  const auto [end, error] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), number);
  if (error != std::errc{} || !std::isfinite(number)) return {std::nullopt, "is not a number with a unit"};
  const std::string_view unit = trim(trimmed.substr(static_cast<std::size_t>(end - trimmed.data())));
  if (unit.empty()) return {std::nullopt, "has no unit"};
  if (number < 0) return {std::nullopt, "is negative"};
  for (const Unit& candidate : units_of(dimension)) {
    if (candidate.name != unit) continue;
    // 2.2 Mops/s are 2200000 ops/s, whatever binary fractions make of it.
    const double value = number * candidate.factor;
    const double whole = std::round(value);
    return {std::abs(value - whole) < 1e-9 * whole ? whole : value, {}};
  }
  return {std::nullopt, fmt::format("has the unit \"{}\"", unit)};
}

std::string format_quantity(double value, Dimension dimension) {
  const auto units = units_of(dimension);
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (unit.preferred && value >= unit.factor && std::fmod(value * 10, unit.factor) == 0) best = &unit;
  }
  return fmt::format("{} {}", value / best->factor, best->name);
}

std::string format_short(double value) { return format_spread(value, value, value); }

std::string format_spread(double median, double low, double high) {
  const double size = std::abs(median);
  const double scale = size >= kGiga ? kGiga : size >= kMega ? kMega : size >= 1e4 ? kKilo : 1;
  const std::string_view suffix = scale == kGiga ? " G" : scale == kMega ? " M" : scale == kKilo ? " k" : "";
  const double scaled = size / scale;
  const int decimals = scaled == 0 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  const auto text = [&](double value) {
    if (value != 0 && std::abs(value) < 0.01) return fmt::format("{:.2g}", value);
    return value == 0 ? std::string("0") : fmt::format("{:.{}f}", value / scale, decimals);
  };
  std::string spread = text(median) + std::string(suffix);
  if (text(low) != text(high)) spread += fmt::format(" ({}–{})", text(low), text(high));
  return spread;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace slipstream::cli
