#include "experiments/cli/spec.h"

#include <gtest/gtest.h>

#include <set>
#include <span>

#include "experiments/cli/hardware.h"
#include "experiments/cli/paths.h"

namespace slipstream::cli {
namespace {

// A spec that is right, to be spoiled by the tests: `changes` replace values by JSON pointer, "-" removes.
std::string spec_text(const std::vector<std::pair<std::string, std::string>>& changes = {}) {
  Json spec = Json::parse(R"({
    "name": "trial", "description": "a trial", "worlds": ["emulate", "sim"],
    "cluster": {"servers": 4}, "replication": {"factor": 3}, "workload": {"name": "write-only"},
    "sweep": {"replication.policy": ["rpc", "tailwind"]}})");
  for (const auto& [pointer, value] : changes) {
    const Json::json_pointer at(pointer);
    if (value == "-")
      spec.at(at.parent_pointer()).erase(at.back());
    else
      spec[at] = Json::parse(value);
  }
  return spec.dump();
}

Spec parsed(const std::string& text, const Overrides& overrides = {}) {
  return parse_spec("trial.json", text, overrides);
}

std::string error_of(const std::string& text, const Overrides& overrides = {}) {
  try {
    parsed(text, overrides);
  } catch (const UserError& error) {
    EXPECT_EQ(error.exit_status(), kExitUsage);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "more than one line: " << error.what();
    return error.what();
  }
  return "accepted";
}

struct BadCase {
  std::string pointer, value;
  std::vector<std::string> told;  // all of it is in the message
};

void expect_told(std::span<const BadCase> cases) {
  for (const BadCase& bad : cases) {
    // Given the spec with one thing wrong
    const std::string message = error_of(spec_text({{bad.pointer, bad.value}}));
    // Expect the file, the path, what was found and what would be right
    EXPECT_TRUE(message.starts_with("trial.json")) << message;
    for (const std::string& part : bad.told) {
      EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
    }
  }
}

TEST(Spec, WhatIsWrongIsToldWithItsPathAndARemedy) {
  const std::vector<BadCase> cases = {
      {"/clusterr", "{}", {"/clusterr: unknown key", "did you mean /cluster?"}},
      {"/cluster/server", "4", {"/cluster/server: unknown key", "/cluster/servers"}},
      {"/workload/clients", "4", {"/workload/clients: unknown key", "did you mean /cluster/clients?"}},
      {"/workload/name", "-", {"/workload/name: is missing", "write-only"}},
      {"/sweep", "{}", {"/replication/policy: is missing", "tailwind"}},
      {"/worlds", "-", {"/worlds: is missing", "emulate, sim"}},
      {"/worlds", "[]", {"/worlds: found a list", "some of emulate, sim"}},
      {"/worlds", "[\"moon\"]", {"/worlds: \"moon\" is not known"}},
      {"/cluster", "4", {"/cluster: expected an object"}},
      {"/cluster/servers", "\"four\"", {"/cluster/servers: found the text \"four\"", "a whole number from 1 to 1000"}},
      {"/cluster/servers", "4.5", {"/cluster/servers: found the number 4.5"}},
      {"/cluster/servers", "0", {"/cluster/servers", "from 1 to"}},
      {"/cluster/servers", "-4", {"/cluster/servers: found the number -4"}},
      {"/cluster/servers", "1e300", {"/cluster/servers", "from 1 to"}},
      {"/cluster/segment", "8388608", {"/cluster/segment: the number 8388608 has no unit", "\"8 MiB\""}},
      {"/cluster/segment", "\"8\"", {"/cluster/segment: \"8\" has no unit", "MiB"}},
      {"/cluster/segment", "\"8 ms\"", {"/cluster/segment: \"8 ms\" has the unit \"ms\"", "MiB"}},
      {"/cluster/segment", "\"-8 MiB\"", {"/cluster/segment: \"-8 MiB\" is negative"}},
      {"/cluster/segment", "\"8 TiB\"", {"/cluster/segment", "GiB"}},
      {"/cluster/segment", "\"1 GiB\"", {"/cluster/segment: \"1 GiB\" is out of range", "8 MiB"}},
      {"/cluster/segment", "\"soon\"", {"/cluster/segment: \"soon\" is not a number with a unit"}},
      {"/cluster/log_memory", "\"9 MiB\"", {"/cluster/log_memory"}},
      {"/duration", "1", {"/duration: the number 1 has no unit"}},
      {"/duration", "\"1 MiB\"", {"/duration: \"1 MiB\" has the unit \"MiB\"", "ms"}},
      {"/duration", "\"100000 s\"", {"/duration: \"100000 s\" is out of range"}},
      {"/duration", "\"0.5 ns\"", {"/duration"}},
      {"/workload/rate", "\"2 Gb/s\"", {"/workload/rate: \"2 Gb/s\" has the unit \"Gb/s\"", "kops/s"}},
      {"/workload/rate", "\"2 kops/s\"", {"/workload/rate: has no meaning with closed arrivals"}},
      {"/workload/arrivals", "\"poisson\"", {"/workload/rate: is missing"}},
      {"/workload/name", "\"ycsb-z\"", {"/workload/name: \"ycsb-z\" is not known", "did you mean"}},
      {"/replication/factor",
       "5",
       {"/replication/factor: 5 replicas do not fit on 4 servers (at most 3: a primary never holds its own replica); "
        "lower the factor or raise /cluster/servers"}},
      {"/replication/buffers", "1", {"/replication/buffers"}},
      {"/emulate", "{\"pin\": 1}", {"/emulate/pin: found the number 1; expected true or false"}},
      {"/sim",
       "{\"hardware\": \"connectx3\"}",
       {"/sim/hardware: there is no profile \"connectx3\"", "connectx3-fdr-r320"}},
      {"/sim", "{\"workers\": 1}", {"/sim/workers", "yield"}},
      {"/sweep/cluster.serverz", "[4]", {"/sweep/cluster.serverz: no option has the path", "/cluster/servers"}},
      {"/sweep/cluster.servers", "[5, \"6 s\"]", {"/sweep/cluster.servers/1: found the text \"6 s\""}},
      {"/sweep/cluster.clients", "[]", {"/sweep/cluster.clients: expected a list"}},
      {"/sweep/cluster.clients", "4", {"/sweep/cluster.clients: expected a list"}},
      {"/sweep/cluster.clients", "[2, 2]", {"/sweep/cluster.clients/1: 2 is there twice"}},
      {"/sweep/name", "[\"a\"]", {"/sweep/name: belongs to the whole spec"}},
      {"/sweep/replication.factor", "[1, 2]", {"/sweep/replication.factor: is also given at /replication/factor"}},
      {"/sweep", "[]", {"/sweep: expected an object"}},
      {"/expect", "[\"throughput\"]", {"/expect/0: \"throughput\": ends where a comparison is expected"}},
      {"/expect", "[\"thruput >= 1\"]", {"/expect/0", "there is no metric \"thruput\""}},
      {"/expect", "[7]", {"/expect/0: expected a claim as text"}},
      {"/name", "\"../up\"", {"/name: \"../up\" cannot name a folder"}},
      {"/name", "\"\"", {"/name: is empty"}},
      {"/seed", "-1", {"/seed: found the number -1"}},
      {"/repeats", "0", {"/repeats"}},
  };
  expect_told(cases);
}

TEST(Spec, ANetworkThatCannotBeIsToldWithItsPath) {
  const BadCase cases[] = {
      {"/emulate", "{\"delay\": \"2 ms\"}", {"/emulate/delay: means nothing where hosts are packed", "mininet"}},
      {"/emulate", "{\"bandwidth\": \"1 Gb/s\"}", {"/emulate/bandwidth: means nothing where hosts are packed"}},
      {"/emulate", R"({"hosts": "mininet"})", {"/emulate/fabric: shm does not pass through a network"}},
      {"/emulate", R"({"hosts": "containers"})", {"/emulate/fabric: shm does not reach from one container"}},
      {"/emulate",
       R"({"hosts": "mininet", "fabric": "tcp", "topology": "two-tier", "racks": 99})",
       {"/emulate/racks: 99 are more than the"}},
      {"/emulate",
       R"({"hosts": "mininet", "fabric": "tcp", "oversubscription": 4})",
       {"/emulate/oversubscription: is of an uplink's bandwidth"}},
  };
  expect_told(cases);
}

TEST(Spec, WhatIsWrongWithAnInventoryIsToldWithItsPathAndARemedy) {
  const std::vector<BadCase> cases = {
      {"", "{}", {"/emulate/machines: found an object; expected a list of one machine at least"}},
      {"", "[]", {"/emulate/machines: found an empty list; expected a list of one machine at least"}},
      {"", "\"10.0.0.7\"", {"/emulate/machines: found the text \"10.0.0.7\"; expected a list"}},
      {"/1", "\"10.0.0.7\"", {"/emulate/machines/1: found the text \"10.0.0.7\"; expected a machine, such as {"}},
      {"/1/adress", "\"10.0.0.7\"", {"/emulate/machines/1/adress: unknown key (did you mean address?)", "program"}},
      {"/1/address", "-", {"/emulate/machines/1/address: is missing: the numeric IPv4 address"}},
      {"/1/address", "\"node7\"", {"/emulate/machines/1/address: found the text \"node7\"", "goes to \"ssh\""}},
      {"/1/address", "\"10.0.0\"", {"/emulate/machines/1/address: found the text \"10.0.0\""}},
      {"/1/address", "\"10.0.0.256\"", {"/emulate/machines/1/address: found"}},
      {"/1/address", "\"0.0.0.0\"", {"/emulate/machines/1/address: found"}},
      {"/1/address", "\"224.0.0.1\"", {"/emulate/machines/1/address: found"}},
      {"/1/address", "\"fe80::1\"", {"/emulate/machines/1/address: found"}},
      {"/1/address", "167772167", {"/emulate/machines/1/address: found the number 167772167"}},
      {"/1/address", "\"10.0.0.1\"", {"/emulate/machines/1/address: 10.0.0.1 is the address of machine 0, too"}},
      {"/1/address", "\"127.0.0.1\"", {"/emulate/machines/1/address: at 127.0.0.1 each machine reaches itself only"}},
      {"/1/ssh", "\"-oProxyCommand=x\"", {"/emulate/machines/1/ssh: found the text", "expected what ssh is told"}},
      {"/1/ssh", "\"ada @node7\"", {"/emulate/machines/1/ssh: found the text"}},
      {"/1/ssh", "\"\"", {"/emulate/machines/1/ssh: found the text \"\""}},
      {"/1/port", "\"22\"", {"/emulate/machines/1/port: found the text \"22\"; expected the port"}},
      {"/1/port", "0", {"/emulate/machines/1/port: found the number 0"}},
      {"/1/port", "65536", {"/emulate/machines/1/port: found the number 65536"}},
      {"/1/device", "7", {"/emulate/machines/1/device: found the number 7; expected", "mlx5_0"}},
      {"/1/cores", "2", {"/emulate/machines/1/cores: found the number 2; expected a list", "[2, 3]"}},
      {"/1/cores", "[]", {"/emulate/machines/1/cores: found a list"}},
      {"/1/cores", "[1, 1]", {"/emulate/machines/1/cores: found a list", "each number once"}},
      {"/1/cores", "[-1]", {"/emulate/machines/1/cores: found a list"}},
      {"/1/cores", "[1.5]", {"/emulate/machines/1/cores: found a list"}},
      {"/1/program", "\"~/slipstream\"", {"/emulate/machines/1/program: found the text", "without ~"}},
  };
  const std::string good = R"({"fabric": "tcp", "hosts": "ssh",
      "machines": [{"address": "10.0.0.1"}, {"address": "10.0.0.2", "ssh": "ada@node2"}]})";
  EXPECT_EQ(error_of(spec_text({{"/emulate", good}})), "accepted");
  for (const BadCase& bad : cases) {
    // Given an inventory with one thing wrong
    const std::string message =
        error_of(spec_text({{"/emulate", good}, {"/emulate/machines" + bad.pointer, bad.value}}));
    // Expect the file, the path, what was found and what would be right
    EXPECT_TRUE(message.starts_with("trial.json: ")) << message;
    for (const std::string& part : bad.told) {
      EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
    }
  }
}

TEST(Spec, AnInventoryGoesWithSsh) {
  const std::string machines = R"([{"address": "10.0.0.1", "ssh": "ada@node1", "port": 2222, "device": "mlx5_0",
      "cores": [2, 3], "program": "bin/slipstream"}, {"address": "10.0.0.2"}])";
  Overrides overrides;
  overrides.on = "tcp";
  overrides.sets = {{"emulate.machines", machines}};
  // Given another host, no inventory, or shared memory, expect a refusal
  EXPECT_NE(error_of(spec_text(), overrides).find("/emulate/machines: means nothing where hosts are packed"),
            std::string::npos);
  overrides.hosts = "ssh";
  EXPECT_EQ(error_of(spec_text(), overrides), "accepted");
  overrides.on = "shm";
  EXPECT_NE(error_of(spec_text(), overrides).find("/emulate/fabric: machines share no memory"), std::string::npos);
  overrides.on = "tcp";
  overrides.sets.clear();
  EXPECT_NE(error_of(spec_text(), overrides).find("/emulate/machines: is missing: hosts are ssh"), std::string::npos);
  overrides.sets = {{"emulate.machines", "[{\"address\": \"10.0.0.1\"}, {\"address\": 7}]"}};
  EXPECT_NE(error_of(spec_text(), overrides).find("/1/address: found the number 7"), std::string::npos);
  EXPECT_NE(error_of(spec_text({{"/sweep/emulate.machines", "[" + machines + "]"}}))
                .find("/sweep/emulate.machines: belongs to the whole spec"),
            std::string::npos);
  // Expect every option of it where it belongs, and again in the resolved spec
  overrides.sets = {{"emulate.machines", machines}};
  const Spec spec = parsed(spec_text(), overrides);
  emulate::Machine second;
  second.address = "10.0.0.2";
  const emulate::Machine first = {"10.0.0.1", "ada@node1", 2222, "mlx5_0", {2, 3}, "bin/slipstream"};
  EXPECT_EQ(spec.base.emulate.machines, (std::vector<emulate::Machine>{first, second}));
  EXPECT_EQ(spec.document.at("emulate").at("machines"), Json::parse(machines));
  EXPECT_EQ(parsed(spec.document.dump()).document, spec.document);
}

TEST(Spec, InvalidJsonIsToldByLineAndColumn) {
  // Given text that goes wrong at the second line's seventh character
  // Expect that place
  EXPECT_TRUE(error_of("{\"name\": \"x\",\n \"a\": }").starts_with("trial.json:2:7: not valid JSON"))
      << error_of("{\"name\": \"x\",\n \"a\": }");
  EXPECT_TRUE(error_of("").starts_with("trial.json:1:1: not valid JSON")) << error_of("");
  EXPECT_NE(error_of("{\"seed\": 1, \"seed\": 2}").find("\"seed\" is there twice"), std::string::npos);
  EXPECT_NE(error_of("{\"seed\": 1e400}").find("1e400"), std::string::npos);
  EXPECT_NE(error_of("[]").find("expected an object"), std::string::npos);
}

TEST(Spec, EveryCombinationIsCheckedBeforeAnythingRuns) {
  // Given a sweep of which one combination cannot work
  const std::string message = error_of(spec_text({{"/cluster/servers", "-"}, {"/sweep/cluster.servers", "[8, 3]"}}));
  // Expect to hear which
  EXPECT_NE(message.find("/replication/factor: 3 replicas do not fit on 3 servers"), std::string::npos) << message;
  EXPECT_NE(message.find("replication.policy=rpc, cluster.servers=3"), std::string::npos) << message;
  // Given more combinations than anyone means
  std::string many = "[1";
  for (int i = 2; i <= 1000; ++i) many += "," + std::to_string(i);
  const std::string absurd =
      error_of(spec_text({{"/sweep/cluster.clients", many + "]"}, {"/sweep/workload.outstanding", many + "]"}}));
  // Expect to be asked for fewer
  EXPECT_NE(absurd.find("/sweep: makes"), std::string::npos) << absurd;
}

TEST(Spec, ValuesArriveInBaseUnits) {
  // Given quantities in many units
  const Spec spec = parsed(spec_text({{"/cluster/segment", "\"1024 KiB\""},
                                      {"/cluster/log_memory", "\"0.5 GiB\""},
                                      {"/duration", "\"1.5 ms\""},
                                      {"/workload/arrivals", "\"poisson\""},
                                      {"/workload/rate", "\"0.2 Mops/s\""},
                                      {"/workload/value", "\"1 kB\""}}));
  // Expect bytes, nanoseconds and operations per second
  EXPECT_EQ(spec.base.cluster.log.segment_bytes, kMiB);
  EXPECT_EQ(spec.base.cluster.log.memory_bytes, 512 * kMiB);
  EXPECT_EQ(spec.base.cluster.duration_ns, 1'500'000);
  EXPECT_EQ(spec.base.cluster.workload.rate_ops_per_s, 200'000);
  EXPECT_EQ(spec.base.cluster.workload.value_bytes, 1000u);
  EXPECT_EQ(spec.document["cluster"]["segment"], "1 MiB");
}

TEST(Spec, ASweepIsTheProductOfItsValuesInEachWorld) {
  // Given two swept paths of both worlds and one of the simulator alone
  const Spec spec =
      parsed(spec_text({{"/sweep/cluster.clients", "[1, 2, 4]"}, {"/sweep/sim.waiting", "[\"spin\", \"yield\"]"}}));
  const std::vector<Point> points = points_of(spec);
  // Expect 2 x 3 points for real and 2 x 3 x 2 simulated, each with an id of its own
  std::set<std::string> ids;
  std::size_t simulated = 0;
  for (const Point& point : points) {
    ids.insert(point.id);
    simulated += point.world == World::kSim ? 1u : 0u;
    EXPECT_EQ(point.params.contains("sim.waiting"), point.world == World::kSim);
    EXPECT_EQ(point.params.at("cluster.clients"), point.experiment.cluster.clients);
    EXPECT_EQ(point.params.at("replication.policy"), std::string(name(point.experiment.cluster.replication.policy)));
    for (const char* always : {"replication.factor", "workload.name"}) EXPECT_TRUE(point.params.contains(always));
    EXPECT_TRUE(point.params.contains(point.world == World::kSim ? "sim.hardware" : "emulate.fabric"));
  }
  EXPECT_EQ(points.size(), 18u);
  EXPECT_EQ(simulated, 12u);
  EXPECT_EQ(ids.size(), points.size());
}

TEST(Spec, IdsDoNotDependOnTheOrderOfTheSweep) {
  const auto ids = [](const std::string& text) {
    std::set<std::string> found;
    for (const Point& point : points_of(parsed(text))) found.insert(point.id);
    return found;
  };
  // Given the same sweep written the other way round, with the values the other way round
  const std::string one =
      spec_text({{"/sweep", R"({"cluster.clients": [1, 2], "replication.policy": ["rpc", "tailwind"]})"}});
  const std::string other =
      spec_text({{"/sweep", R"({"replication.policy": ["tailwind", "rpc"], "cluster.clients": [2, 1]})"}});
  // Expect the same points
  EXPECT_EQ(ids(one), ids(other));
}

TEST(Spec, TheWorkloadsOwnDistributionFollowsASweepOfWorkloads) {
  // Given a sweep over workloads with different distributions
  const auto points =
      points_of(parsed(spec_text({{"/workload/name", "-"}, {"/sweep/workload.name", "[\"ycsb-a\", \"ycsb-d\"]"}})));
  // Expect each its own
  for (const Point& point : points) {
    const bool latest = point.params.at("workload.name") == "ycsb-d";
    EXPECT_EQ(point.experiment.cluster.workload.distribution, latest ? Distribution::kLatest : Distribution::kZipfian);
  }
  // Given one that is asked for
  const Spec uniform = parsed(spec_text({{"/workload/distribution", "\"uniform\""}}));
  // Expect it
  EXPECT_EQ(uniform.base.cluster.workload.distribution, Distribution::kUniform);
}

TEST(Spec, TheCommandLineOverrides) {
  Overrides overrides;
  overrides.sets = {{"cluster.clients", "[1,2]"}, {"workload.value", "1 KiB"}, {"replication.policy", "tailwind"}};
  overrides.on = "tcp";
  overrides.hosts = "processes";
  overrides.seed = 7;
  overrides.repeats = 2;
  // Given a list for one path, a value for another, a value for a swept path, a world, hosts, seed and repeats
  const Spec spec = parsed(spec_text(), overrides);
  const auto points = points_of(spec);
  // Expect the list swept, the sweep of the third ended, and the rest as said
  ASSERT_EQ(points.size(), 2u);
  for (const Point& point : points) {
    EXPECT_EQ(point.world, World::kEmulate);
    EXPECT_EQ(point.experiment.cluster.replication.policy, Policy::kTailwind);
    EXPECT_EQ(point.experiment.cluster.workload.value_bytes, 1024u);
    EXPECT_EQ(point.experiment.emulate.fabric, emulate::FabricKind::kTcp);
    EXPECT_EQ(point.experiment.emulate.hosts, emulate::HostKind::kProcesses);
    EXPECT_EQ(point.experiment.cluster.seed, 7u);
    EXPECT_EQ(point.experiment.repeats, 2u);
  }
  // Given overrides that cannot be: expect the option in the message
  for (const auto& [path, value, told] : std::vector<std::array<std::string, 3>>{
           {"cluster.serverz", "4", "--set cluster.serverz=4: no option has the path"},
           {"cluster.servers", "many", "--set cluster.servers=many: found the text \"many\""},
           {"cluster.servers", "[4, \"x\"]", "/1: found the text \"x\""}}) {
    Overrides bad;
    bad.sets = {{path, value}};
    const std::string message = error_of(spec_text(), bad);
    EXPECT_NE(message.find(told), std::string::npos) << message;
  }
}

TEST(Spec, TheResolvedSpecReadsBackTheSame) {
  // Given every spec that comes with Slipstream, resolved
  const auto folder = repository_root() / "experiments" / "specs";
  const auto names = json_names(folder);
  ASSERT_FALSE(names.empty());
  for (const std::string& name : names) {
    const Spec spec = read_spec(folder / (name + ".json"), {});
    const Spec again = parse_spec("resolved", spec.document.dump(), {});
    // Expect the same when it is read again, the same points, and the file named for the spec
    EXPECT_EQ(again.document, spec.document);
    const auto before = points_of(spec), after = points_of(again);
    ASSERT_EQ(before.size(), after.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i].id, after[i].id);
      EXPECT_EQ(before[i].settings, after[i].settings);
    }
    EXPECT_EQ(spec.base.name, name);
  }
}

TEST(Fields, EachWritesWhatItReads) {
  // Given the defaults, and the ends of each range
  for (const Field& field : fields()) {
    std::vector<Json> values = {field.get(Experiment{})};
    if (field.kind == Kind::kInteger)
      values = {static_cast<std::int64_t>(field.low), static_cast<std::int64_t>(field.high)};
    for (const std::string& choice : field.choices) {
      if (field.kind == Kind::kChoice) values.push_back(choice);
    }
    if (field.kind == Kind::kMachines) values = {Json::parse(R"([{"address": "10.0.0.7", "cores": [1, 0]}])")};
    for (const Json& value : values) {
      if (field.required && value == "") continue;
      const Checked checked = check_value(field, value);
      ASSERT_EQ(checked.problem, "") << field.path;
      Experiment experiment;
      field.set(experiment, checked.value);
      // Expect the same value back
      EXPECT_EQ(field.get(experiment), checked.value) << field.path;
    }
    EXPECT_FALSE(field.doc.empty()) << field.path;
    EXPECT_FALSE(expectation(field).empty()) << field.path;
  }
}

TEST(Fields, TheSchemaKnowsExactlyTheFields) {
  const Json json = schema();
  std::set<std::string> in_schema;
  for (const auto& [key, node] : json.at("properties").items()) {
    if (key == "sweep" || key == "expect") continue;
    if (node.contains("properties")) {
      for (const auto& item : node.at("properties").items()) in_schema.insert(key + "." + item.key());
    } else {
      in_schema.insert(key);
    }
  }
  std::set<std::string> known, sweepable, in_sweep;
  for (const Field& field : fields()) {
    known.insert(field.path);
    if (field.can_be_swept()) sweepable.insert(field.path);
  }
  for (const auto& item : json.at("properties").at("sweep").at("properties").items()) in_sweep.insert(item.key());
  EXPECT_EQ(in_schema, known);
  EXPECT_EQ(in_sweep, sweepable);
}

TEST(Units, QuantitiesPrintAsTheyRead) {
  // Given quantities of each dimension
  for (const auto& [text, dimension] :
       std::vector<std::pair<std::string, Dimension>>{{"8 MiB", Dimension::kSize},
                                                      {"1000 B", Dimension::kSize},
                                                      {"100 us", Dimension::kTime},
                                                      {"1.5 us", Dimension::kTime},
                                                      {"1501 ns", Dimension::kTime},
                                                      {"2.2 Mops/s", Dimension::kRate},
                                                      {"1.5 MiB", Dimension::kSize},
                                                      {"3600 s", Dimension::kTime},
                                                      {"200 kops/s", Dimension::kRate},
                                                      {"56 Gb/s", Dimension::kBandwidth}}) {
    const auto parsed_quantity = parse_quantity(text, dimension);
    ASSERT_TRUE(parsed_quantity.value) << text;
    // Expect the same text
    EXPECT_EQ(format_quantity(*parsed_quantity.value, dimension), text);
  }
  EXPECT_EQ(parse_quantity("10 GB/s", Dimension::kBandwidth).value, 80e9);
  EXPECT_FALSE(parse_quantity("nan s", Dimension::kTime).value);
  EXPECT_FALSE(parse_quantity("inf s", Dimension::kTime).value);
  EXPECT_FALSE(parse_quantity("", Dimension::kTime).value);
}

TEST(Hardware, ProfilesThatComeWithSlipstreamAreWhole) {
  for (const std::string& name : json_names(repository_root() / "experiments" / "hardware")) {
    EXPECT_NO_THROW(read_hardware(hardware_file(name))) << name;
  }
}

TEST(Hardware, WhatIsWrongIsToldWithItsPath) {
  const Json whole = Json::parse(read_text(hardware_file("connectx3-fdr-r320")));
  const auto told = [&](const std::string& pointer, const std::string& value) -> std::string {
    Json spoiled = whole;
    const Json::json_pointer at(pointer);
    if (value == "-")
      spoiled.at(at.parent_pointer()).erase(at.back());
    else
      spoiled[at] = Json::parse(value);
    try {
      parse_hardware("profile.json", spoiled.dump());
    } catch (const UserError& error) {
      return error.what();
    }
    return "accepted";
  };
  // Given a profile with one thing wrong, expect its path
  EXPECT_TRUE(told("/cpu/turn", "-").starts_with("profile.json: /cpu/turn: is missing")) << told("/cpu/turn", "-");
  EXPECT_TRUE(told("/cpu/turn/source", "-").starts_with("profile.json: /cpu/turn/source: is missing"));
  EXPECT_TRUE(told("/cpu/turn/value", "50").starts_with("profile.json: /cpu/turn/value: found 50"));
  EXPECT_TRUE(told("/cpu/turn/value", "\"50 B\"").starts_with("profile.json: /cpu/turn/value: \"50 B\" has the unit"));
  EXPECT_TRUE(told("/cpu/turns", "{}").starts_with("profile.json: /cpu/turns: unknown key (did you mean turn?)"));
  EXPECT_TRUE(told("/gpu", "{}").starts_with("profile.json: /gpu: unknown section"));
}

}  // namespace
}  // namespace slipstream::cli
