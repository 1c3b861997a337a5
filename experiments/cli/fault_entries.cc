#include "experiments/cli/fault_entries.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/rng.h"
#include "experiments/cli/fields.h"

namespace slipstream::cli {
namespace {

constexpr std::string_view kAnyServer = "any-server";
constexpr std::string_view kForGood = "for good";
constexpr std::size_t kMostFaults = 100'000;  // of a plan
constexpr double kHour = 3600e9;

std::vector<FaultKind> all_kinds() {
  std::vector<FaultKind> kinds;
  for (int i = 0; i <= static_cast<int>(FaultKind::kStorageFailed); ++i) kinds.push_back(static_cast<FaultKind>(i));
  return kinds;
}

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
  for (const FaultKind kind : all_kinds()) names.emplace_back(slipstream::name(kind));
  return names;
}

std::optional<TimeNs> time_of(const Json& value) {
  if (!value.is_string()) return {};
  const auto parsed = parse_quantity(value.get_ref<const std::string&>(), Dimension::kTime).value;
  if (!parsed || *parsed > kHour || std::fmod(*parsed, 1.0) != 0) return {};
  return static_cast<TimeNs>(*parsed);
}

std::string time_text(TimeNs ns) { return format_quantity(static_cast<double>(ns), Dimension::kTime); }

bool is_node_name(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  if (text == "coordinator" || text == kAnyServer) return true;
  for (const std::string_view role : {"server-", "client-"}) {
    if (!text.starts_with(role)) continue;
    const std::string_view digits = std::string_view(text).substr(role.size());
    return !digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == std::string_view::npos;
  }
  return false;
}

bool lasts(FaultKind kind) { return kind <= FaultKind::kPartitionOut || kind == FaultKind::kLateWrite; }
bool must_last(FaultKind kind) { return lasts(kind) && kind != FaultKind::kCrash; }
bool has_peer(FaultKind kind) { return kind >= FaultKind::kPartition && kind <= FaultKind::kMessageTwice; }
bool is_torn(FaultKind kind) { return kind == FaultKind::kTornWrite || kind == FaultKind::kLateWrite; }
bool is_crash(FaultKind kind) { return kind == FaultKind::kCrash; }
bool is_slow(FaultKind kind) { return kind == FaultKind::kSlow; }
bool any_kind(FaultKind) { return true; }
bool no_kind(FaultKind) { return false; }

struct Key {
  std::string name;
  std::string right;  // what it holds, in words
  bool (*is_right)(const Json&);
  bool (*has_meaning)(FaultKind);
  bool (*is_needed)(FaultKind);
  Json type;
  void (*set)(FaultEntry&, const Json&);
  Json (*get)(const FaultEntry&);
};

bool is_time(const Json& value) { return time_of(value).has_value(); }
bool is_bool(const Json& value) { return value.is_boolean(); }
bool is_count(const Json& value, std::int64_t low, std::int64_t high) {
  return value.is_number_integer() && value >= low && value <= high;
}

const std::vector<Key>& keys() {
  const Json time = {{"type", "string"}, {"pattern", std::string(pattern_of(Dimension::kTime))}};
  const Json text = {{"type", "string"}};
  const Json boolean = {{"type", "boolean"}};
  static const std::vector<Key> table = {
      {"at", "a time since the start of the run, such as \"200 ms\"", is_time, any_kind, any_kind, time,
       [](FaultEntry& e, const Json& v) { e.fault.at_ns = *time_of(v); },
       [](const FaultEntry& e) { return Json(time_text(e.fault.at_ns)); }},
      {"fault",
       fmt::format("one of {}", fmt::join(kind_names(), ", ")),
       [](const Json& v) { return v.is_string() && fault_kind_of(v.get_ref<const std::string&>()).has_value(); },
       any_kind,
       any_kind,
       {{"enum", kind_names()}},
       [](FaultEntry& e, const Json& v) { e.fault.kind = *fault_kind_of(v.get_ref<const std::string&>()); },
       [](const FaultEntry& e) { return Json(std::string(slipstream::name(e.fault.kind))); }},
      {"node",
       "the node that it happens to: \"coordinator\", \"server-0\", \"client-0\", or \"any-server\", drawn from the "
       "seed",
       is_node_name, any_kind, any_kind, text, [](FaultEntry& e, const Json& v) { e.node = v.get<std::string>(); },
       [](const FaultEntry& e) { return Json(e.node); }},
      {"peer", "the node at the other end, named as \"node\" is; when left out, all others", is_node_name, has_peer,
       [](FaultKind kind) { return kind == FaultKind::kChannelLoss; }, text,
       [](FaultEntry& e, const Json& v) { e.peer = v.get<std::string>(); },
       [](const FaultEntry& e) { return e.peer.empty() ? Json() : Json(e.peer); }},
      {"lasts", "a time such as \"50 ms\", after which it is over (crash: the node starts anew), or \"for good\"",
       [](const Json& v) { return is_time(v) || v == kForGood; }, lasts, must_last, text,
       [](FaultEntry& e, const Json& v) { e.fault.lasts_ns = time_of(v).value_or(kNever); },
       [](const FaultEntry& e) {
         return Json(e.fault.lasts_ns == kNever ? std::string(kForGood) : time_text(e.fault.lasts_ns));
       }},
      {"keeps_memory", "crash: true or false, whether replica memory outlives the node (battery-backed)", is_bool,
       is_crash, no_kind, boolean, [](FaultEntry& e, const Json& v) { e.fault.keeps_memory = v.get<bool>(); },
       [](const FaultEntry& e) { return Json(e.fault.keeps_memory); }},
      {"keeps_storage", "crash: true or false, whether stored replicas outlive the node", is_bool, is_crash, no_kind,
       boolean, [](FaultEntry& e, const Json& v) { e.fault.keeps_storage = v.get<bool>(); },
       [](const FaultEntry& e) { return Json(e.fault.keeps_storage); }},
      {"tear",
       "torn-write, late-write: which bytes may have landed, \"whole\" (all up to one), \"blocks\" (any of 128 bytes) "
       "or \"none\" (any)",
       [](const Json& v) { return v.is_string() && tear_of(v.get_ref<const std::string&>()).has_value(); },
       is_torn,
       no_kind,
       {{"enum", {"whole", "blocks", "none"}}},
       [](FaultEntry& e, const Json& v) { e.fault.tear = *tear_of(v.get_ref<const std::string&>()); },
       [](const FaultEntry& e) { return Json(std::string(slipstream::name(e.fault.tear))); }},
      {"factor",
       "slow: how many times as long its core takes, from 2 to 1000",
       [](const Json& v) { return is_count(v, 2, 1000); },
       is_slow,
       is_slow,
       {{"type", "integer"}, {"minimum", 2}, {"maximum", 1000}},
       [](FaultEntry& e, const Json& v) { e.fault.factor = v.get<std::uint32_t>(); },
       [](const FaultEntry& e) { return Json(e.fault.factor); }},
      {"every", "a series: the time from one to the next, such as \"100 ms\"; goes with \"times\"",
       [](const Json& v) { return time_of(v).value_or(0) > 0; }, any_kind, no_kind, time,
       [](FaultEntry& e, const Json& v) { e.every_ns = *time_of(v); },
       [](const FaultEntry& e) { return e.times == 1 ? Json() : Json(time_text(e.every_ns)); }},
      {"times",
       "a series: how many there are, from 1 to 100000; goes with \"every\"",
       [](const Json& v) { return is_count(v, 1, kMostFaults); },
       any_kind,
       no_kind,
       {{"type", "integer"}, {"minimum", 1}, {"maximum", kMostFaults}},
       [](FaultEntry& e, const Json& v) { e.times = v.get<std::uint32_t>(); },
       [](const FaultEntry& e) { return e.times == 1 ? Json() : Json(e.times); }},
  };
  return table;
}

const Key* find_key(std::string_view name) {
  const auto key = std::find_if(keys().begin(), keys().end(), [name](const Key& k) { return k.name == name; });
  return key == keys().end() ? nullptr : &*key;
}

std::vector<std::string> key_names() {
  std::vector<std::string> names;
  for (const Key& key : keys()) names.push_back(key.name);
  return names;
}

std::string nearest_text(const Json& value, const std::vector<std::string>& names) {
  if (!value.is_string()) return {};
  const std::string near = nearest(value.get<std::string>(), names);
  return near.empty() ? std::string() : fmt::format(" (did you mean \"{}\"?)", near);
}

Checked check_entry(const Json& entry) {
  constexpr std::string_view kExample = R"({"at": "200 ms", "fault": "crash", "node": "server-1", "lasts": "50 ms"})";
  if (!entry.is_object())
    return {{}, fmt::format("found {}; expected a fault, such as {}", found(entry), kExample), ""};
  for (const auto& [name, value] : entry.items()) {
    const Key* const key = find_key(name);
    if (key == nullptr) {
      const std::string near = nearest(name, key_names());
      return {{},
              fmt::format("unknown key{}; a fault has {}", near.empty() ? "" : fmt::format(" (did you mean {}?)", near),
                          fmt::join(key_names(), ", ")),
              "/" + name};
    }
    if (key->is_right(value)) continue;
    const std::string near = name == "fault" ? nearest_text(value, kind_names()) : std::string();
    return {{}, fmt::format("found {}{}; expected {}", found(value), near, key->right), "/" + name};
  }
  for (const char* name : {"at", "fault", "node"}) {
    if (!entry.contains(name))
      return {{}, fmt::format("is missing: {}", find_key(name)->right), fmt::format("/{}", name)};
  }
  const FaultKind kind = *fault_kind_of(entry.at("fault").get_ref<const std::string&>());
  for (const Key& key : keys()) {
    const bool is_there = entry.contains(key.name);
    if (is_there && !key.has_meaning(kind)) {
      return {{},
              fmt::format("means nothing for \"{}\"; remove it ({})", slipstream::name(kind), key.right),
              "/" + key.name};
    }
    if (!is_there && key.is_needed(kind)) {
      return {{}, fmt::format("is missing for \"{}\": {}", slipstream::name(kind), key.right), "/" + key.name};
    }
  }
  for (const auto& [one, other] : {std::pair("every", "times"), std::pair("times", "every")}) {
    if (entry.contains(one) && !entry.contains(other)) {
      return {{}, fmt::format("is missing: {}", find_key(other)->right), fmt::format("/{}", other)};
    }
  }
  return {};
}

// kNoNode: the cluster has no such node.
NodeId node_named(const std::string& name, const ClusterOptions& cluster) {
  for (std::uint16_t i = 0; i < node_count(cluster); ++i) {
    if (node_name(cluster, NodeId{i}) == name) return NodeId{i};
  }
  return kNoNode;
}

std::string nodes_text(const ClusterOptions& cluster) {
  const auto range = [](std::string_view role, int count) {
    return count == 1 ? fmt::format("{}-0", role) : fmt::format("{}-0 to {}-{}", role, role, count - 1);
  };
  return fmt::format("the nodes are coordinator, {} and {}", range("server", cluster.servers),
                     range("client", cluster.clients));
}

}  // namespace

Json faults_json(const std::vector<FaultEntry>& entries) {
  Json list = Json::array();
  for (const FaultEntry& entry : entries) {
    Json& object = list.emplace_back(Json::object());
    for (const Key& key : keys()) {
      Json value = key.has_meaning(entry.fault.kind) ? key.get(entry) : Json();
      if (!value.is_null()) object[key.name] = std::move(value);
    }
  }
  return list;
}

std::vector<FaultEntry> faults_of(const Json& value) {
  std::vector<FaultEntry> entries;
  for (const Json& object : value) {
    FaultEntry& entry = entries.emplace_back();
    for (const auto& [name, held] : object.items()) find_key(name)->set(entry, held);
  }
  return entries;
}

Checked check_faults(const Json& value) {
  if (!value.is_array()) {
    return {{},
            fmt::format("found {}; expected a list of faults, such as [{{\"at\": \"200 ms\", \"fault\": \"crash\", "
                        "\"node\": \"any-server\", \"lasts\": \"50 ms\", \"every\": \"100 ms\", \"times\": 20}}]",
                        found(value)),
            ""};
  }
  std::size_t total = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    Checked checked = check_entry(value[i]);
    if (!checked.problem.empty()) {
      checked.place = fmt::format("/{}{}", i, checked.place);
      return checked;
    }
    total += value[i].value("times", std::size_t{1});
  }
  if (total > kMostFaults) return {{}, fmt::format("{} faults are more than {}", total, kMostFaults), ""};
  return {faults_json(faults_of(value)), {}, {}};
}

Json fault_schema() {
  Json schema = {{"type", "object"}, {"additionalProperties", false}, {"required", {"at", "fault", "node"}}};
  for (const Key& key : keys()) {
    schema["properties"][key.name] = key.type;
    schema["properties"][key.name]["description"] = key.right;
  }
  return schema;
}

FaultProblem problem_with(const std::vector<FaultEntry>& entries, const ClusterOptions& cluster) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const FaultEntry& entry = entries[i];
    for (const auto& [key, name] : {std::pair("node", entry.node), std::pair("peer", entry.peer)}) {
      if (name.empty() || name == kAnyServer || node_named(name, cluster) != kNoNode) continue;
      return {fmt::format("/{}/{}", i, key), fmt::format("there is no {}; {}", name, nodes_text(cluster))};
    }
    if (entry.peer == entry.node && entry.node != kAnyServer) {
      return {fmt::format("/{}/peer", i), fmt::format("{} is the node itself; name another", entry.peer)};
    }
    if (entry.peer == kAnyServer && entry.node.starts_with("server-") && cluster.servers < 2) {
      return {fmt::format("/{}/peer", i), "there is no other server"};
    }
    const bool loses_history = cluster.checked && entry.fault.kind == FaultKind::kCrash;
    if (loses_history && entry.node.starts_with("client-")) {
      return {fmt::format("/{}/node", i),
              fmt::format("{} keeps the history that the run is judged by, and would lose it; crash servers and the "
                          "coordinator, or set /workload/checked to false",
                          entry.node)};
    }
  }
  return {};
}

FaultPlan fault_plan(const std::vector<FaultEntry>& entries, const ClusterOptions& cluster) {
  struct Due {
    Fault fault;
    const FaultEntry* entry;
  };
  Rng rng(cluster.seed, "faults");
  std::vector<Due> due;
  for (const FaultEntry& entry : entries) {
    for (std::uint32_t i = 0; i < entry.times; ++i) {
      Fault fault = entry.fault;
      fault.at_ns += static_cast<TimeNs>(i) * entry.every_ns;
      fault.salt = rng.next();
      due.push_back({fault, &entry});
    }
  }
  std::stable_sort(due.begin(), due.end(), [](const Due& a, const Due& b) { return a.fault.at_ns < b.fault.at_ns; });
  std::map<NodeId, TimeNs> back;  // of crashed nodes; real ones take a while longer than planned, hence twice the time
  const auto draw = [&](TimeNs at, NodeId other) {
    std::vector<NodeId> here, all;
    for (std::uint16_t i = 1; i <= cluster.servers; ++i) {
      if (NodeId{i} == other) continue;
      all.push_back(NodeId{i});
      const auto away = back.find(NodeId{i});
      if (away == back.end() || away->second <= at) here.push_back(NodeId{i});
    }
    const std::vector<NodeId>& among = here.empty() ? all : here;
    return among.empty() ? kNoNode : among[rng.below(among.size())];
  };
  FaultPlan plan;
  for (Due& each : due) {
    Fault& fault = each.fault;
    const FaultEntry& entry = *each.entry;
    if (entry.peer != kAnyServer) fault.peer = entry.peer.empty() ? kNoNode : node_named(entry.peer, cluster);
    fault.node = entry.node == kAnyServer ? draw(fault.at_ns, fault.peer) : node_named(entry.node, cluster);
    if (entry.peer == kAnyServer) fault.peer = draw(fault.at_ns, fault.node);
    if (fault.kind == FaultKind::kCrash) {
      const bool stays_away = fault.lasts_ns >= kNever / 2 - fault.at_ns;
      back[fault.node] = stays_away ? kNever : fault.at_ns + 2 * fault.lasts_ns;
    }
    plan.faults.push_back(fault);
  }
  return plan;
}

}  // namespace slipstream::cli
