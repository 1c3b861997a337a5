#include "experiments/cli/machines.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace slipstream::cli {
namespace {

constexpr int kMostCores = 4096;

// In network order; nullopt: it is not an address that a machine has.
std::optional<std::array<std::uint8_t, 4>> bytes_of(const Json& value) {
  std::array<std::uint8_t, 4> bytes{};
  if (!value.is_string() || inet_pton(AF_INET, value.get_ref<const std::string&>().c_str(), bytes.data()) != 1)
    return {};
  constexpr std::uint8_t kFirstMulticast = 224;
  if (bytes[0] == 0 || bytes[0] >= kFirstMulticast) return {};
  return bytes;
}

bool is_loopback(const Json& address) { return bytes_of(address).value_or(std::array<std::uint8_t, 4>{})[0] == 127; }

bool is_integer(const Json& value, int low, int high) {
  return value.is_number_integer() && value >= low && value <= high;
}

// A word that no program takes for one of its options.
bool is_word(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return !text.empty() && text.front() != '-' &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 127; });
}

bool is_path(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return !text.empty() && text.front() != '-' && text.front() != '~' && text.find('\0') == std::string::npos &&
         text.find('\n') == std::string::npos;
}

bool are_cores(const Json& value) {
  if (!value.is_array() || value.empty()) return false;
  std::set<int> seen;
  return std::all_of(value.begin(), value.end(), [&](const Json& core) {
    return is_integer(core, 0, kMostCores - 1) && seen.insert(core.get<int>()).second;
  });
}

struct Key {
  std::string name;
  std::string right;  // what it holds, in words
  bool (*is_right)(const Json&);
  Json type;
};

const std::vector<Key>& keys() {
  const Json text = {{"type", "string"}, {"minLength", 1}};
  static const std::vector<Key> table = {
      {"address",
       "the numeric IPv4 address at which the other machines reach it, such as \"10.0.0.7\" (a name goes to "
       "\"ssh\")",
       [](const Json& v) { return bytes_of(v).has_value(); },
       {{"type", "string"}, {"format", "ipv4"}}},
      {"ssh", "what ssh is told to reach it, such as \"ada@node7.lab\"; when left out, the address", is_word, text},
      {"port",
       "the port of its ssh server, from 1 to 65535; when left out, as ssh is configured",
       [](const Json& v) { return is_integer(v, 1, 65535); },
       {{"type", "integer"}, {"minimum", 1}, {"maximum", 65535}}},
      {"device", "verbs: the RDMA device there, such as \"mlx5_0\"; when left out, the one that has the address",
       is_word, text},
      {"cores",
       "a list of the numbers of the cores for its nodes, each number once, such as [2, 3]; when left out, all",
       are_cores,
       {{"type", "array"},
        {"minItems", 1},
        {"uniqueItems", true},
        {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", kMostCores - 1}}}}},
      {"program",
       "the path of slipstream there, such as \"/opt/slipstream/slipstream\", or from the home folder, without "
       "~; when left out, where it is here",
       is_path, text},
  };
  return table;
}

std::vector<std::string> key_names() {
  std::vector<std::string> names;
  for (const Key& key : keys()) names.push_back(key.name);
  return names;
}

// With the place in the machine; both empty: nothing is wrong.
Checked check_machine(const Json& machine) {
  if (!machine.is_object()) {
    return {{}, fmt::format("found {}; expected a machine, such as {{\"address\": \"10.0.0.7\"}}", found(machine)), ""};
  }
  for (const auto& [name, value] : machine.items()) {
    const auto key =
        std::find_if(keys().begin(), keys().end(), [&name = name](const Key& k) { return k.name == name; });
    if (key == keys().end()) {
      const std::string near = nearest(name, key_names());
      return {{},
              fmt::format("unknown key{}; a machine has {}",
                          near.empty() ? "" : fmt::format(" (did you mean {}?)", near), fmt::join(key_names(), ", ")),
              "/" + name};
    }
    if (!key->is_right(value)) {
      return {{}, fmt::format("found {}; expected {}", found(value), key->right), "/" + name};
    }
  }
  if (!machine.contains("address")) return {{}, fmt::format("is missing: {}", keys().front().right), "/address"};
  return {};
}

// Each address once; and when not all machines are this one, none is what every machine calls itself.
Checked check_addresses(const Json& machines) {
  const bool all_here =
      std::all_of(machines.begin(), machines.end(), [](const Json& m) { return is_loopback(m.at("address")); });
  for (std::size_t i = 0; i < machines.size(); ++i) {
    const Json& address = machines[i].at("address");
    const std::string place = fmt::format("/{}/address", i);
    if (is_loopback(address) && !all_here) {
      return {{},
              fmt::format("at {} each machine reaches itself only; expected {}", address.get<std::string>(),
                          keys().front().right),
              place};
    }
    for (std::size_t other = 0; other < i; ++other) {
      if (machines[other].at("address") != address) continue;
      return {{},
              fmt::format("{} is the address of machine {}, too; expected one of its own", address.get<std::string>(),
                          other),
              place};
    }
  }
  return {};
}

}  // namespace

Json machines_json(const std::vector<emulate::Machine>& machines) {
  Json list = Json::array();
  for (const emulate::Machine& machine : machines) {
    Json& object = list.emplace_back(Json{{"address", machine.address}});
    if (!machine.ssh.empty()) object["ssh"] = machine.ssh;
    if (machine.port != 0) object["port"] = machine.port;
    if (!machine.device.empty()) object["device"] = machine.device;
    if (!machine.cores.empty()) object["cores"] = machine.cores;
    if (!machine.program.empty()) object["program"] = machine.program;
  }
  return list;
}

std::vector<emulate::Machine> machines_of(const Json& value) {
  std::vector<emulate::Machine> machines;
  for (const Json& object : value) {
    emulate::Machine& machine = machines.emplace_back();
    machine.address = object.at("address").get<std::string>();
    machine.ssh = object.value("ssh", std::string());
    machine.port = object.value("port", std::uint16_t{0});
    machine.device = object.value("device", std::string());
    machine.cores = object.value("cores", std::vector<std::uint32_t>());
    machine.program = object.value("program", std::string());
  }
  return machines;
}

Checked check_machines(const Json& value) {
  if (!value.is_array() || value.empty()) {
    return {{},
            fmt::format("found {}; expected a list of one machine at least, such as [{{\"address\": \"10.0.0.7\"}}]",
                        value.is_array() ? "an empty list" : found(value)),
            ""};
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    Checked checked = check_machine(value[i]);
    if (checked.problem.empty()) continue;
    checked.place = fmt::format("/{}{}", i, checked.place);
    return checked;
  }
  if (Checked checked = check_addresses(value); !checked.problem.empty()) return checked;
  return {machines_json(machines_of(value)), {}, {}};
}

Json machine_schema() {
  Json schema = {{"type", "object"}, {"additionalProperties", false}, {"required", Json::array({"address"})}};
  for (const Key& key : keys()) {
    schema["properties"][key.name] = key.type;
    schema["properties"][key.name]["description"] = key.right;
  }
  return schema;
}

}  // namespace slipstream::cli
