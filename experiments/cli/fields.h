// The table of all that a spec may say. The reader, the JSON Schema and `describe` are driven by it, so they cannot
// differ. A field's default is what a default-made Experiment holds.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/cli/experiment.h"
#include "experiments/cli/json.h"
#include "experiments/cli/units.h"

namespace slipstream::cli {

enum class Kind { kText, kChoice, kChoiceList, kInteger, kBool, kSize, kTime, kRate, kBandwidth, kMachines, kFaults };

enum class Scope {
  kSpec,     // of the whole spec; cannot be swept
  kBoth,     // of a point, in both worlds
  kEmulate,  // means something in one world only; in the other it is neither swept nor checked
  kSim
};

struct Field {
  std::string path;  // "cluster.servers"
  Kind kind = Kind::kText;
  Scope scope = Scope::kBoth;
  bool required = false;
  double low = 0;  // kInteger, kSize, kTime, kRate, kBandwidth: in base units, both ends included
  double high = 0;
  std::vector<std::string> choices;
  std::string doc;
  std::function<Json(const Experiment&)> get;         // as the spec would say it
  std::function<void(Experiment&, const Json&)> set;  // of a value that check() has passed

  std::string pointer() const;                                                             // "/cluster/servers"
  bool holds_objects() const { return kind == Kind::kMachines || kind == Kind::kFaults; }  // a list of them
  bool is_list() const { return kind == Kind::kChoiceList || holds_objects(); }
  bool can_be_swept() const { return scope != Scope::kSpec && !holds_objects(); }
};

const std::vector<Field>& fields();
const Field* find_field(std::string_view path);  // nullptr: no such field

// The value in its canonical form ("8192 KiB" becomes "8 MiB"), or what is wrong with it and what would be right.
struct Checked {
  Json value;
  std::string problem;
  std::string place = {};  // of the problem, inside the value: "/1/port"
};
Checked check_value(const Field& field, const Json& value);

Checked check_faults(const Json& value);  // fault_entries.cc

// A value as a message names it: "the text \"four\"", "a list".
std::string found(const Json& value);

// What the field may hold, in words: "a size from 4 KiB to 8 MiB, such as \"8 MiB\"".
std::string expectation(const Field& field);

// The JSON Schema (draft 2020-12) of a spec.
Json schema();

}  // namespace slipstream::cli
