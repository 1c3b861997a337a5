#include "experiments/cli/spec.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/cli/check_point.h"
#include "experiments/cli/paths.h"

namespace slipstream::cli {
namespace {

constexpr std::size_t kMostPoints = 10'000;

// What the spec and the command line say, before it is typed: values by dotted path.
struct Draft {
  std::string file;
  std::map<std::string, Json> values;
  std::vector<SweepAxis> sweep;
  std::vector<Claim> expect;
};

std::vector<std::string> all_paths() {
  std::vector<std::string> paths;
  for (const Field& field : fields()) paths.push_back(field.path);
  return paths;
}

bool is_section(std::string_view path) {
  return std::any_of(fields().begin(), fields().end(),
                     [&](const Field& field) { return field.path.starts_with(std::string(path) + "."); });
}

// "cluster.clientz" -> "cluster.clients"; "workload.servers" -> "cluster.servers", as the same word of another section.
std::string suggestion(const std::string& path) {
  const std::string last = path.substr(path.rfind('.') == std::string::npos ? 0 : path.rfind('.') + 1);
  for (const Field& field : fields()) {
    const auto dot = field.path.rfind('.');
    if (field.path.substr(dot == std::string::npos ? 0 : dot + 1) == last) return field.path;
  }
  std::vector<std::string> candidates = all_paths();
  if (path.find('.') == std::string::npos) {
    for (const Field& field : fields()) candidates.push_back(field.path.substr(0, field.path.find('.')));
    candidates.push_back("sweep");
    candidates.push_back("expect");
  }
  return nearest(path, candidates);
}

std::string pointer_of(std::string path) {
  std::replace(path.begin(), path.end(), '.', '/');
  return "/" + path;
}

[[noreturn]] void unknown_key(const std::string& file, const std::string& place, const std::string& path,
                              std::string_view what) {
  const std::string near = suggestion(path);
  throw SpecError(
      file, place,
      fmt::format("{}{}; `slipstream schema` lists all options", what,
                  near.empty() ? "" : fmt::format(" (did you mean {}?)", place.empty() ? near : pointer_of(near))));
}

Json check_or_throw(const std::string& file, const std::string& place, const Field& field, const Json& value) {
  Checked checked = check_value(field, value);
  if (!checked.problem.empty()) throw SpecError(file, place + checked.place, checked.problem);
  return std::move(checked.value);
}

void read_sections(Draft& draft, const Json& node, const std::string& prefix) {
  for (const auto& [key, value] : node.items()) {
    const std::string path = prefix.empty() ? key : prefix + "." + key;
    if (prefix.empty() && (key == "sweep" || key == "expect")) continue;
    if (const Field* field = find_field(path); field != nullptr && key.find('.') == std::string::npos) {
      draft.values[path] = check_or_throw(draft.file, field->pointer(), *field, value);
    } else if (prefix.empty() && is_section(path)) {
      if (!value.is_object())
        throw SpecError(draft.file, pointer_of(path), "expected an object with the options of this section");
      read_sections(draft, value, path);
    } else {
      unknown_key(draft.file, pointer_of(prefix) + (prefix.empty() ? "" : "/") + key, path, "unknown key");
    }
  }
}

SweepAxis read_axis(const std::string& file, const std::string& place, const std::string& path, const Json& values) {
  const Field* field = find_field(path);
  if (field == nullptr) unknown_key(file, place, path, fmt::format("no option has the path \"{}\"", path));
  if (!field->can_be_swept()) throw SpecError(file, place, "belongs to the whole spec and cannot be swept");
  if (!values.is_array() || values.empty()) throw SpecError(file, place, "expected a list of at least one value");
  SweepAxis axis{field, {}};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string here = fmt::format("{}/{}", place, i);
    Json value = check_or_throw(file, here, *field, values[i]);
    if (std::find(axis.values.begin(), axis.values.end(), value) != axis.values.end()) {
      throw SpecError(file, here, fmt::format("{} is there twice", value.dump()));
    }
    axis.values.push_back(std::move(value));
  }
  return axis;
}

void read_sweep(Draft& draft, const std::string& file, const Json& sweep) {
  if (!sweep.is_object()) {
    throw SpecError(
        file, "/sweep",
        "expected an object of paths with lists of values, such as {\"replication.policy\": [\"rpc\", \"tailwind\"]}");
  }
  draft.sweep.clear();
  for (const auto& [path, values] : sweep.items()) {
    draft.sweep.push_back(read_axis(file, "/sweep/" + path, path, values));
    if (draft.values.count(path) > 0) {
      throw SpecError(file, "/sweep/" + path, fmt::format("is also given at {}; keep one of them", pointer_of(path)));
    }
  }
}

void read_expect(Draft& draft, const std::string& file, const Json& expect) {
  if (!expect.is_array())
    throw SpecError(file, "/expect", "expected a list of claims, such as [\"tailwind/rpc throughput >= 1.5\"]");
  draft.expect.clear();
  for (std::size_t i = 0; i < expect.size(); ++i) {
    const std::string place = fmt::format("/expect/{}", i);
    if (!expect[i].is_string())
      throw SpecError(file, place, "expected a claim as text, such as \"tailwind/rpc throughput >= 1.5\"");
    try {
      draft.expect.push_back(parse_claim(expect[i].get<std::string>()));
    } catch (const std::invalid_argument& problem) {
      throw SpecError(file, place, fmt::format("\"{}\": {}", expect[i].get<std::string>(), problem.what()));
    }
  }
}

void end_sweep_of(Draft& draft, const std::string& path) {
  std::erase_if(draft.sweep, [&](const SweepAxis& axis) { return axis.field->path == path; });
}

// What a command line gives may be any bytes; JSON, and what we write of it, is UTF-8.
bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(Json(text).dump());
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

void set_path(Draft& draft, const std::string& path, const std::string& written) {
  const std::string file = fmt::format("--set {}={}", path, written);
  if (!is_utf8(path + written)) throw SpecError(file, "", "is not UTF-8; write it so");
  Json value = Json::parse(written, nullptr, false);
  const Field* field = find_field(path);
  if (path == "sweep") return read_sweep(draft, file, value);
  if (path == "expect") return read_expect(draft, file, value);
  if (field == nullptr) unknown_key(file, "", path, fmt::format("no option has the path \"{}\"", path));
  if (value.is_discarded() || (field->kind == Kind::kText && !value.is_string())) value = written;
  if (value.is_array() && !field->is_list()) {
    SweepAxis axis = read_axis(file, "", path, value);
    const auto old =
        std::find_if(draft.sweep.begin(), draft.sweep.end(), [&](const SweepAxis& a) { return a.field == field; });
    draft.values.erase(path);
    if (old != draft.sweep.end())
      *old = std::move(axis);
    else
      draft.sweep.push_back(std::move(axis));
    return;
  }
  if (field->kind == Kind::kChoiceList && value.is_string()) value = Json::array({value});
  draft.values[path] = check_or_throw(file, "", *field, value);
  end_sweep_of(draft, path);
}

void apply(Draft& draft, const Overrides& overrides) {
  for (const auto& [path, written] : overrides.sets) set_path(draft, path, written);
  const auto set = [&](const std::string& option, const std::string& path, const Json& value) {
    draft.values[path] = check_or_throw(option, "", *find_field(path), value);
    end_sweep_of(draft, path);
  };
  if (overrides.on) {
    const bool simulated = *overrides.on == "sim";
    set("--on", "worlds", Json::array({simulated ? "sim" : "emulate"}));
    if (!simulated) set("--on", "emulate.fabric", *overrides.on);
  }
  if (overrides.hosts) set("--hosts", "emulate.hosts", *overrides.hosts);
  if (overrides.seed) set("--seed", "seed", *overrides.seed);
  if (overrides.repeats) set("--repeats", "repeats", *overrides.repeats);
}

bool is_swept(const Draft& draft, const Field& field) {
  return std::any_of(draft.sweep.begin(), draft.sweep.end(),
                     [&](const SweepAxis& axis) { return axis.field == &field; });
}

bool concerns(const Field& field, World world) {
  return field.scope == Scope::kBoth || field.scope == (world == World::kSim ? Scope::kSim : Scope::kEmulate);
}

bool concerns_any(const Field& field, const std::vector<World>& worlds) {
  return field.scope == Scope::kSpec ||
         std::any_of(worlds.begin(), worlds.end(), [&](World world) { return concerns(field, world); });
}

Experiment experiment_of(const std::map<std::string, Json>& values) {
  Experiment experiment;
  for (const Field& field : fields()) {
    if (const auto value = values.find(field.path); value != values.end()) field.set(experiment, value->second);
  }
  return experiment;
}

Json document_of(const Draft& draft, const Experiment& base) {
  Json document;
  for (const Field& field : fields()) {
    if (is_swept(draft, field) || !concerns_any(field, base.worlds)) continue;
    Json value = field.get(base);
    if (field.holds_objects() && value.empty()) continue;
    const auto dot = field.path.find('.');
    if (dot == std::string::npos)
      document[field.path] = std::move(value);
    else
      document[field.path.substr(0, dot)][field.path.substr(dot + 1)] = std::move(value);
  }
  document["sweep"] = Json::object();
  for (const SweepAxis& axis : draft.sweep) document["sweep"][axis.field->path] = axis.values;
  document["expect"] = Json::array();
  for (const Claim& claim : draft.expect) document["expect"].push_back(claim.text);
  return document;
}

void require_keys(const Draft& draft) {
  for (const Field& field : fields()) {
    if (!field.required || draft.values.count(field.path) > 0 || is_swept(draft, field)) continue;
    throw SpecError(draft.file, field.pointer(),
                    fmt::format("is missing: {}; expected {}", field.doc, expectation(field)));
  }
  const std::string& name = draft.values.at("name").get_ref<const std::string&>();
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  };
  if (!std::all_of(name.begin(), name.end(), plain) || name.front() == '.') {
    throw SpecError(draft.file, "/name",
                    fmt::format("\"{}\" cannot name a folder; use small letters, digits and '-'", name));
  }
}

// FNV-1a, so that a point keeps its id whatever the build.
std::string short_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return fmt::format("{:08x}", static_cast<std::uint32_t>(mix64(hash)));
}

// What the spec leaves to the world.
void settle_membership(Experiment& experiment, World world) {
  MembershipOptions& m = experiment.cluster.membership;
  m.recoverable = experiment.recovery.value_or(!experiment.faults.empty());
  // Where others want the cores, too, a process may have to wait for its turn.
  const MembershipOptions simulated;
  const bool is_real = world == World::kEmulate;
  if (m.probe_interval_ns == 0) m.probe_interval_ns = simulated.probe_interval_ns;
  if (m.probe_timeout_ns == 0) m.probe_timeout_ns = is_real ? 250 * kMillisecond : simulated.probe_timeout_ns;
  if (m.lease_ns == 0) m.lease_ns = is_real ? 500 * kMillisecond : simulated.lease_ns;
}

Point make_point(const Spec& spec, World world, const std::map<std::string, Json>& values,
                 const std::vector<const Field*>& swept) {
  Point point;
  point.world = world;
  point.experiment = experiment_of(values);
  settle_membership(point.experiment, world);
  if (world == World::kSim) {
    ClusterOptions& cluster = point.experiment.cluster;
    if (point.experiment.sim.warmup_ns > 0) cluster.warmup_ns = point.experiment.sim.warmup_ns;
    if (point.experiment.sim.duration_ns > 0) cluster.duration_ns = point.experiment.sim.duration_ns;
  }
  for (const Field& field : fields()) {
    if (concerns(field, world)) point.settings[field.path] = field.get(point.experiment);
  }
  const auto tell = [&](const std::string& path) { point.params[path] = point.settings.at(path); };
  for (const Field* field : swept) {
    tell(field->path);
    point.swept.push_back(field->path);
  }
  for (const char* path : {"replication.policy", "replication.factor", "workload.name"}) tell(path);
  tell(world == World::kSim ? "sim.hardware" : "emulate.fabric");
  std::map<std::string, Json> sorted;
  for (const auto& [path, value] : point.params.items()) sorted[path] = value;
  std::string key(name(world));
  for (const auto& [path, value] : sorted) key += fmt::format("\n{}={}", path, value.dump());
  point.id = short_hash(key);
  std::string combination;
  for (const Field* field : swept) {
    const Json& value = point.settings.at(field->path);
    combination += fmt::format("{}{}={}", combination.empty() ? "" : ", ", field->path,
                               value.is_string() ? value.get<std::string>() : value.dump());
  }
  point.label = fmt::format("{}{}{}", name(world), combination.empty() ? "" : ": ", combination);
  const PointProblem problem = problem_with(point.experiment, world);
  if (!problem.text.empty()) {
    throw SpecError(spec.file, problem.path,
                    problem.text + (combination.empty() ? "" : fmt::format(" (in the sweep, with {})", combination)));
  }
  return point;
}

}  // namespace

Json parse_json(const std::string& file, const std::string& text) {
  std::vector<std::set<std::string>> open;
  const auto refuse_twice = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second) {
      throw SpecError(file, "", fmt::format("the key {} is there twice in one object; remove one", parsed.dump()));
    }
    return true;
  };
  try {
    return Json::parse(text, refuse_twice);
  } catch (const Json::parse_error& error) {
    const std::size_t at = std::min(text.size(), error.byte == 0 ? 0 : error.byte - 1);
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    const auto start = at == 0 ? std::string::npos : text.rfind('\n', at - 1);
    const std::size_t column = start == std::string::npos ? at + 1 : at - start;
    std::string reason = error.what();
    if (const auto colon = reason.find(": "); colon != std::string::npos) reason = reason.substr(colon + 2);
    throw SpecError(fmt::format("{}:{}:{}", file, line, column), "", fmt::format("not valid JSON: {}", reason));
  } catch (const Json::out_of_range& error) {
    std::string reason = error.what();  // a number that no double can hold
    if (const auto bracket = reason.find("] "); bracket != std::string::npos) reason = reason.substr(bracket + 2);
    throw SpecError(file, "", reason);
  }
}

Spec parse_spec(const std::string& file, const std::string& text, const Overrides& overrides) {
  const Json root = parse_json(file, text);
  if (!root.is_object()) throw SpecError(file, "", "expected an object with the experiment's options");
  Draft draft;
  draft.file = file;
  read_sections(draft, root, "");
  if (root.contains("sweep")) read_sweep(draft, file, root.at("sweep"));
  if (root.contains("expect")) read_expect(draft, file, root.at("expect"));
  apply(draft, overrides);
  require_keys(draft);
  Spec spec;
  spec.file = file;
  spec.base = experiment_of(draft.values);
  spec.document = document_of(draft, spec.base);
  spec.sweep = std::move(draft.sweep);
  spec.expect = std::move(draft.expect);
  points_of(spec);
  return spec;
}

Spec read_spec(const std::filesystem::path& file, const Overrides& overrides) {
  return parse_spec(file.string(), read_text(file), overrides);
}

std::vector<Point> points_of(const Spec& spec) {
  std::vector<Point> points;
  for (const World world : spec.base.worlds) {
    std::map<std::string, Json> values;
    for (const Field& field : fields()) values[field.path] = field.get(spec.base);
    std::vector<const SweepAxis*> axes;
    std::vector<const Field*> swept;
    std::size_t combinations = 1;
    for (const SweepAxis& axis : spec.sweep) {
      if (!concerns(*axis.field, world)) continue;
      axes.push_back(&axis);
      swept.push_back(axis.field);
      combinations *= axis.values.size();
    }
    if (combinations > kMostPoints) {
      throw SpecError(spec.file, "/sweep",
                      fmt::format("makes {} points, more than {}; sweep fewer values", combinations, kMostPoints));
    }
    for (std::size_t number = 0; number < combinations; ++number) {
      std::size_t rest = number;
      for (std::size_t i = axes.size(); i-- > 0;) {
        values[axes[i]->field->path] = axes[i]->values[rest % axes[i]->values.size()];
        rest /= axes[i]->values.size();
      }
      points.push_back(make_point(spec, world, values, swept));
    }
  }
  return points;
}

}  // namespace slipstream::cli
