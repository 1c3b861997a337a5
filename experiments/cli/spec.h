// The reader of specs: from a file and the command line's overrides to typed experiments, each checked before anything
// runs.
//
// Errors are SpecErrors: "FILE: /path: what was found; what would be right".
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/cli/expect.h"
#include "experiments/cli/experiment.h"
#include "experiments/cli/fields.h"

namespace slipstream::cli {

struct Overrides {
  // --set path=value. The value is JSON where it parses as such, else a text; a list sweeps the path, a single value
  // ends its sweep.
  std::vector<std::pair<std::string, std::string>> sets;
  std::optional<std::string> on;  // "sim", "shm", "tcp"
  std::optional<std::string> hosts;
  std::optional<std::uint64_t> seed;
  std::optional<std::uint32_t> repeats;
};

struct SweepAxis {
  const Field* field = nullptr;
  std::vector<Json> values;
};

struct Spec {
  std::string file;
  Json document;  // resolved: every option with its value, then sweep and expect; reading it again gives the same
  Experiment base;
  std::vector<SweepAxis> sweep;
  std::vector<Claim> expect;
};

// One combination of the sweep in one world, to be run `repeats` times.
struct Point {
  std::string id;  // stable over builds: a hash of world and params
  World world = World::kEmulate;
  Experiment experiment;  // of repeat 0
  std::string label;      // what the sweep sets here, for people: "sim: replication.policy=rpc, cluster.clients=4"
  std::vector<std::string> swept;
  Json params;  // swept paths, policy, factor, workload, and the fabric or the hardware profile
  std::map<std::string, Json> settings;
};

Spec read_spec(const std::filesystem::path& file, const Overrides& overrides);
Spec parse_spec(const std::string& file, const std::string& text, const Overrides& overrides);

// All points, world by world. Throws SpecError when a combination cannot work.
std::vector<Point> points_of(const Spec& spec);

// JSON with "FILE: line L, column C: ..." on errors, which also refuses a key that is there twice.
Json parse_json(const std::string& file, const std::string& text);

}  // namespace slipstream::cli
