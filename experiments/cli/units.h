// Quantities as people write them: "8 MiB", "100 us", "200 kops/s", "56 Gb/s". A quantity always carries its unit.
// Base units: bytes, nanoseconds, operations per second, bits per second.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace slipstream::cli {

enum class Dimension { kSize, kTime, kRate, kBandwidth };

// The units of a dimension, for messages: "B, kB, KiB, MB, MiB, GB or GiB".
std::string unit_list(Dimension dimension);
std::string_view example_of(Dimension dimension);  // "8 MiB"
std::string_view pattern_of(Dimension dimension);  // a regular expression, for the JSON Schema

// The quantity in base units, or what is wrong with the text, as the end of a sentence ("has no unit", ...).
struct ParsedQuantity {
  std::optional<double> value;
  std::string problem;
};
ParsedQuantity parse_quantity(std::string_view text, Dimension dimension);

// In the largest unit that needs no more than one decimal, so that it reads back the same: "8 MiB", "1.5 Mops/s".
std::string format_quantity(double value, Dimension dimension);

// For tables: about three digits, thousands as k, M, G ("1.23 M"), or the plain number when it is small.
std::string format_short(double value);
// "1.62 M (1.58–1.71)", without the brackets when they would say nothing.
std::string format_spread(double median, double low, double high);

// The candidate nearest to `word` by edits, when it is near enough to be meant; empty otherwise.
template <typename Names>
std::string nearest(std::string_view word, const Names& names);

std::size_t edit_distance(std::string_view a, std::string_view b);

template <typename Names>
std::string nearest(std::string_view word, const Names& names) {
  std::string best;
  std::size_t best_distance = word.size() / 3 + 2;
  for (const auto& name : names) {
    const std::size_t distance = edit_distance(word, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

}  // namespace slipstream::cli
