#include "experiments/cli/fields.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/cli/expect.h"
#include "experiments/cli/fault_entries.h"
#include "experiments/cli/machines.h"

namespace slipstream::cli {
namespace {

constexpr double kHour = 3600.0 * 1e9;

std::optional<Dimension> dimension_of(Kind kind) {
  switch (kind) {
    case Kind::kSize: return Dimension::kSize;
    case Kind::kTime: return Dimension::kTime;
    case Kind::kRate: return Dimension::kRate;
    case Kind::kBandwidth: return Dimension::kBandwidth;
    default: return std::nullopt;
  }
}

double number_of(const Json& value, Kind kind) {
  if (const auto dimension = dimension_of(kind)) {
    return parse_quantity(value.get_ref<const std::string&>(), *dimension).value.value_or(0);
  }
  return value.get<double>();
}

// The builders below take a function that names the option's place in an Experiment; reading and writing follow from
// it.
template <typename Access>
Field text(std::string path, Scope scope, std::string doc, Access access) {
  Field field{.path = std::move(path),
              .kind = Kind::kText,
              .scope = scope,
              .choices = {},
              .doc = std::move(doc),
              .get = {},
              .set = {}};
  field.get = [access](const Experiment& e) { return Json(access(const_cast<Experiment&>(e))); };
  field.set = [access](Experiment& e, const Json& v) { access(e) = v.get<std::string>(); };
  return field;
}

template <typename Access>
Field number(std::string path, Kind kind, Scope scope, double low, double high, std::string doc, Access access) {
  Field field{.path = std::move(path),
              .kind = kind,
              .scope = scope,
              .low = low,
              .high = high,
              .choices = {},
              .doc = std::move(doc),
              .get = {},
              .set = {}};
  field.get = [access, kind](const Experiment& e) {
    const auto value = access(const_cast<Experiment&>(e));
    const auto dimension = dimension_of(kind);
    return dimension ? Json(format_quantity(static_cast<double>(value), *dimension)) : Json(value);
  };
  field.set = [access, kind](Experiment& e, const Json& v) {
    using Value = std::remove_reference_t<decltype(access(e))>;
    access(e) = static_cast<Value>(number_of(v, kind));
  };
  return field;
}

template <typename Access>
Field boolean(std::string path, Scope scope, std::string doc, Access access) {
  Field field{.path = std::move(path),
              .kind = Kind::kBool,
              .scope = scope,
              .choices = {},
              .doc = std::move(doc),
              .get = {},
              .set = {}};
  field.get = [access](const Experiment& e) { return Json(access(const_cast<Experiment&>(e))); };
  field.set = [access](Experiment& e, const Json& v) { access(e) = v.get<bool>(); };
  return field;
}

// `parse` turns a name into the value; `name()` of the value's type turns it back. `candidates` are tried one by one,
// so that only names this build knows are offered.
template <typename Access, typename Parse>
Field choice(std::string path, Scope scope, std::vector<std::string> names, std::string doc, Access access,
             Parse parse) {
  Field field{.path = std::move(path),
              .kind = Kind::kChoice,
              .scope = scope,
              .choices = std::move(names),
              .doc = std::move(doc),
              .get = {},
              .set = {}};
  field.get = [access](const Experiment& e) { return Json(std::string(name(access(const_cast<Experiment&>(e))))); };
  field.set = [access, parse](Experiment& e, const Json& v) { access(e) = *parse(v.get<std::string>()); };
  return field;
}

Field require(Field field) {
  field.required = true;
  return field;
}

void add_spec_fields(std::vector<Field>& table) {
  table.push_back(require(text("name", Scope::kSpec, "what the experiment is called; its results go to results/NAME",
                               [](Experiment& e) -> std::string& { return e.name; })));
  table.push_back(require(text("description", Scope::kSpec, "what it shows, for a reader of the results",
                               [](Experiment& e) -> std::string& { return e.description; })));
  table.push_back(text("figure", Scope::kSpec, "the published figure or table it stands beside",
                       [](Experiment& e) -> std::string& { return e.figure; }));
  Field worlds{.path = "worlds",
               .kind = Kind::kChoiceList,
               .scope = Scope::kSpec,
               .required = true,
               .choices = {"emulate", "sim"},
               .doc = "where it runs: for real on this machine, in the simulator, or both",
               .get = {},
               .set = {}};
  worlds.get = [](const Experiment& e) {
    Json list = Json::array();
    for (const World world : e.worlds) list.push_back(std::string(name(world)));
    return list;
  };
  worlds.set = [](Experiment& e, const Json& v) {
    e.worlds.clear();
    for (const auto& item : v) e.worlds.push_back(*world_of(item.get<std::string>()));
  };
  table.push_back(std::move(worlds));
  table.push_back(number("seed", Kind::kInteger, Scope::kSpec, 0, 9e15, "of the first repeat; repeat r uses seed + r",
                         [](Experiment& e) -> std::uint64_t& { return e.cluster.seed; }));
  table.push_back(number("repeats", Kind::kInteger, Scope::kSpec, 1, 1000,
                         "how often each point is run; tables show the median, smallest and largest",
                         [](Experiment& e) -> std::uint32_t& { return e.repeats; }));
  table.push_back(number("warmup", Kind::kTime, Scope::kBoth, 0, kHour, "time under load before anything is measured",
                         [](Experiment& e) -> TimeNs& { return e.cluster.warmup_ns; }));
  table.push_back(number("duration", Kind::kTime, Scope::kBoth, 1e4, kHour, "measured time, virtual in the simulator",
                         [](Experiment& e) -> TimeNs& { return e.cluster.duration_ns; }));
}

void add_cluster_fields(std::vector<Field>& table) {
  table.push_back(number("cluster.servers", Kind::kInteger, Scope::kBoth, 1, 1000,
                         "servers; each is primary of its tablets and backup for others",
                         [](Experiment& e) -> std::uint16_t& { return e.cluster.servers; }));
  table.push_back(number("cluster.primaries", Kind::kInteger, Scope::kBoth, 0, 1000,
                         "servers that hold tablets; the others are backups alone. 0: all hold some",
                         [](Experiment& e) -> std::uint16_t& { return e.cluster.primaries; }));
  table.push_back(number("cluster.clients", Kind::kInteger, Scope::kBoth, 1, 10000, "client nodes",
                         [](Experiment& e) -> std::uint16_t& { return e.cluster.clients; }));
  table.push_back(number("cluster.segment", Kind::kSize, Scope::kBoth, 4 * kKiB, 8 * kMiB,
                         "size of a log segment and of a replica buffer",
                         [](Experiment& e) -> std::size_t& { return e.cluster.log.segment_bytes; }));
  table.push_back(number("cluster.log_memory", Kind::kSize, Scope::kBoth, 16 * kKiB, 256.0 * kGiB,
                         "log memory of one server, a whole number of segments and at least 4",
                         [](Experiment& e) -> std::size_t& { return e.cluster.log.memory_bytes; }));
  table.push_back(boolean("cluster.cleaning", Scope::kBoth,
                          "logs of 8 segments and more are cleaned; without, a run ends when one is full",
                          [](Experiment& e) -> bool& { return e.cluster.log.cleaning; }));
  table.push_back(number("cluster.disk_expansion", Kind::kInteger, Scope::kBoth, 100, 800,
                         "segments that backups may hold of a log, in per cent of those in memory: up to there "
                         "memory is made free without them, by compaction",
                         [](Experiment& e) -> std::uint32_t& { return e.cluster.log.disk_expansion; }));
  table.push_back(number("cluster.rpc_timeout", Kind::kTime, Scope::kBoth, 1e5, kHour,
                         "a client's request without an answer is sent again after this",
                         [](Experiment& e) -> TimeNs& { return e.cluster.rpc_timeout_ns; }));
}

void add_replication_fields(std::vector<Field>& table) {
  table.push_back(require(choice(
      "replication.policy", Scope::kBoth, {"none", "rpc", "tailwind", "onesided-unsafe"},
      "how a write reaches the backups: not at all, as a request that the backup's CPU "
      "copies (RAMCloud), as a one-sided write that it never sees (Tailwind), or as two without a checksum, bytes and "
      "length, which is there to be refuted",
      [](Experiment& e) -> Policy& { return e.cluster.replication.policy; }, policy_of)));
  table.push_back(number("replication.factor", Kind::kInteger, Scope::kBoth, 1, 16,
                         "replicas on other servers, not counting the primary's own copy",
                         [](Experiment& e) -> std::uint16_t& { return e.cluster.replication.factor; }));
  table.push_back(number("replication.window", Kind::kInteger, Scope::kBoth, 1, 128,
                         "replication writes in flight per replica; meanwhile appends gather for the next",
                         [](Experiment& e) -> std::uint32_t& { return e.cluster.replication.window; }));
  table.push_back(number("replication.max_write", Kind::kSize, Scope::kBoth, 1 * kKiB, 1 * kMiB,
                         "most bytes of one replication write or request",
                         [](Experiment& e) -> std::size_t& { return e.cluster.replication.max_write_bytes; }));
  table.push_back(number("replication.buffers", Kind::kInteger, Scope::kBoth, 1, 65536,
                         "replica buffers of one backup, one segment each",
                         [](Experiment& e) -> std::uint32_t& { return e.cluster.replication.buffers; }));
  table.push_back(number("replication.candidates", Kind::kInteger, Scope::kBoth, 1, 1000,
                         "random backups among which the least loaded gets a segment's replica",
                         [](Experiment& e) -> std::uint32_t& { return e.cluster.replication.candidates; }));
  table.push_back(number("replication.retry", Kind::kTime, Scope::kBoth, 1e3, 60e9,
                         "pause before a refused open is tried again",
                         [](Experiment& e) -> TimeNs& { return e.cluster.replication.retry_ns; }));
}

void add_workload_fields(std::vector<Field>& table) {
  Field workload{.path = "workload.name",
                 .kind = Kind::kChoice,
                 .scope = Scope::kBoth,
                 .required = true,
                 .choices = {"write-only", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-f"},
                 .doc =
                     "the mix of operations: YCSB A 50/50 read/update, B 95/5, C read only, D 95/5 read/insert, "
                     "F 50/50 read/read-modify-write; write-only updates",
                 .get = {},
                 .set = {}};
  workload.get = [](const Experiment& e) { return Json(e.cluster.workload.name); };
  workload.set = [](Experiment& e, const Json& v) {
    e.cluster.workload.name = v.get<std::string>();
    apply_workload_name(e.cluster.workload.name, e.cluster.workload);
  };
  table.push_back(std::move(workload));
  Field distribution{.path = "workload.distribution",
                     .kind = Kind::kChoice,
                     .scope = Scope::kBoth,
                     .choices = {"own", "uniform", "zipfian", "latest"},
                     .doc = "which keys are asked for; own: the distribution that belongs to the named workload",
                     .get = {},
                     .set = {}};
  distribution.get = [](const Experiment& e) {
    return Json(e.own_distribution ? "own" : std::string(name(e.cluster.workload.distribution)));
  };
  distribution.set = [](Experiment& e, const Json& v) {
    const auto chosen = distribution_of(v.get<std::string>());
    e.own_distribution = !chosen.has_value();
    if (chosen) e.cluster.workload.distribution = *chosen;
  };
  table.push_back(std::move(distribution));
  table.push_back(number("workload.records", Kind::kInteger, Scope::kBoth, 1, 1e10, "records loaded before the run",
                         [](Experiment& e) -> std::uint64_t& { return e.cluster.workload.records; }));
  table.push_back(number("workload.key", Kind::kSize, Scope::kBoth, 16, 1024, "size of a key",
                         [](Experiment& e) -> std::size_t& { return e.cluster.workload.key_bytes; }));
  table.push_back(number("workload.value", Kind::kSize, Scope::kBoth, 1, 1 * kMiB - 64 * kKiB, "size of a value",
                         [](Experiment& e) -> std::size_t& { return e.cluster.workload.value_bytes; }));
  table.push_back(choice(
      "workload.arrivals", Scope::kBoth, {"closed", "poisson", "fixed"},
      "closed: each client keeps `outstanding` operations going; poisson, fixed: operations arrive at "
      "`rate` whatever the answers do, and latency counts from the intended arrival",
      [](Experiment& e) -> Arrivals& { return e.cluster.workload.arrivals; }, arrivals_of));
  table.push_back(number("workload.outstanding", Kind::kInteger, Scope::kBoth, 1, 65536,
                         "operations in flight per client; with poisson and fixed arrivals at most",
                         [](Experiment& e) -> std::uint32_t& { return e.cluster.workload.outstanding; }));
  table.push_back(number("workload.rate", Kind::kRate, Scope::kBoth, 0, 1e10,
                         "poisson and fixed arrivals: of all clients together",
                         [](Experiment& e) -> double& { return e.cluster.workload.rate_ops_per_s; }));
}

void add_fault_fields(std::vector<Field>& table) {
  Field faults{.path = "faults",
               .kind = Kind::kFaults,
               .scope = Scope::kBoth,
               .choices = {},
               .doc = "what happens to which node, and when; a series with `every` and `times`",
               .get = [](const Experiment& e) { return faults_json(e.faults); },
               .set = [](Experiment& e, const Json& v) { e.faults = faults_of(v); }};
  table.push_back(std::move(faults));
  table.push_back(boolean("workload.checked", Scope::kBoth,
                          "clients draw operations of all kinds on `records` keys, record each, and the run is judged: "
                          "nothing acknowledged is lost, each takes effect once, the history is linearizable",
                          [](Experiment& e) -> bool& { return e.cluster.checked; }));
  Field recovery{
      .path = "cluster.recovery",
      .kind = Kind::kBool,
      .scope = Scope::kBoth,
      .choices = {},
      .doc =
          "servers watch each other, and the tablets of a dead one are recovered from its backups; when left "
          "out: where there are faults",
      .get = [](const Experiment& e) { return Json(e.recovery.value_or(!e.faults.empty())); },
      .set = {}};
  recovery.set = [](Experiment& e, const Json& v) {
    e.recovery = v.get<bool>();
    e.cluster.membership.recoverable = *e.recovery;
  };
  table.push_back(std::move(recovery));
  const auto time = [&table](std::string path, double low, std::string doc, TimeNs MembershipOptions::*member) {
    table.push_back(number(std::move(path), Kind::kTime, Scope::kBoth, low, kHour, std::move(doc),
                           [member](Experiment& e) -> TimeNs& { return e.cluster.membership.*member; }));
  };
  time("membership.probe_interval", 0, "each server probes a random other one so often; 0 ns: 100 ms",
       &MembershipOptions::probe_interval_ns);
  time("membership.probe_timeout", 0,
       "silence for so long is reported; the coordinator asks once more before it declares a death; 0 ns: 50 ms "
       "simulated, 250 ms for real",
       &MembershipOptions::probe_timeout_ns);
  time("membership.lease", 0,
       "a server answers only so long after it last asked the coordinator, and its tablets are served elsewhere no "
       "sooner; 0 ns: 150 ms simulated, 500 ms for real",
       &MembershipOptions::lease_ns);
  time("membership.client_lease", 1e6, "a client that is not heard of for so long is forgotten, and its answers",
       &MembershipOptions::client_lease_ns);
  time("membership.recovery_patience", 1e6,
       "how long to wait for backups to come back with data that is missing, before it is called lost",
       &MembershipOptions::recovery_patience_ns);
  table.push_back(number("membership.recovery_requests", Kind::kInteger, Scope::kBoth, 1, 1024,
                         "requests for replicas outstanding, of one recovery master: the throttle of a recovery",
                         [](Experiment& e) -> std::uint32_t& { return e.cluster.membership.recovery_requests; }));
  table.push_back(number("membership.partition", Kind::kSize, Scope::kBoth, 4 * kKiB, 256.0 * kGiB,
                         "log of a dead server per recovery master, at least",
                         [](Experiment& e) -> std::size_t& { return e.cluster.membership.partition_bytes; }));
}

void add_swarm_fields(std::vector<Field>& table) {
  table.push_back(number("swarm.seeds", Kind::kInteger, Scope::kSim, 0, 1e6,
                         "not 0: instead of a run, so many clusters, workloads and faults are drawn, run and judged "
                         "(`slipstream swarm`); of the spec only the policy counts, and the metrics are the harm done",
                         [](Experiment& e) -> std::uint32_t& { return e.swarm.seeds; }));
  Field fault{.path = "swarm.fault",
              .kind = Kind::kChoice,
              .scope = Scope::kSim,
              .choices = {"any", "crash", "pause", "partition", "channel-loss", "torn-write", "late-write", "bit-flip",
                          "storage-lost"},
              .doc = "the only kind of fault drawn, followed by crashes that bring to light what it did",
              .get = [](const Experiment& e) { return Json(e.swarm.fault); },
              .set = [](Experiment& e, const Json& v) { e.swarm.fault = v.get<std::string>(); }};
  table.push_back(std::move(fault));
}

void add_emulate_fields(std::vector<Field>& table) {
  table.push_back(choice(
      "emulate.fabric", Scope::kEmulate, {"shm", "tcp", "verbs"},
      "shared memory, sockets of the kernel, or RDMA (InfiniBand, RoCE, SoftRoCE)",
      [](Experiment& e) -> emulate::FabricKind& { return e.emulate.fabric; }, emulate::fabric_kind_of));
  table.push_back(choice(
      "emulate.hosts", Scope::kEmulate, {"packed", "processes", "vm", "containers", "mininet", "ssh"},
      "where the nodes live: packed: all in one process; processes: a process each; vm: such processes in a throwaway "
      "virtual machine (SoftRoCE); containers: one each; mininet: each on a host of an emulated network; ssh: on the "
      "machines of /emulate/machines",
      [](Experiment& e) -> emulate::HostKind& { return e.emulate.hosts; }, emulate::host_kind_of));
  table.push_back(number("emulate.loops", Kind::kInteger, Scope::kEmulate, 0, 1024,
                         "packed: threads that drive the nodes; 0: one per core",
                         [](Experiment& e) -> std::uint32_t& { return e.emulate.loops; }));
  table.push_back(boolean("emulate.pin", Scope::kEmulate, "bind each loop or process to a core",
                          [](Experiment& e) -> bool& { return e.emulate.pin; }));
  table.push_back(
      boolean("emulate.keep", Scope::kEmulate,
              "leave replica memory and stored replicas behind, for `slipstream inspect`; the run says where",
              [](Experiment& e) -> bool& { return e.emulate.keep_run_directory; }));
  Field storage{.path = "emulate.storage",
                .kind = Kind::kText,
                .scope = Scope::kEmulate,
                .choices = {},
                .doc = "where closed replicas go: \"memory\", or a folder such as \"/var/tmp/slipstream\"",
                .get = {},
                .set = {}};
  storage.get = [](const Experiment& e) {
    return Json(e.emulate.storage_directory.empty() ? "memory" : e.emulate.storage_directory);
  };
  storage.set = [](Experiment& e, const Json& v) {
    e.emulate.storage_directory = v.get<std::string>() == "memory" ? "" : v.get<std::string>();
  };
  table.push_back(std::move(storage));
  table.push_back(boolean("emulate.synchronize_storage", Scope::kEmulate,
                          "a closed replica counts as stored only when it is on the medium",
                          [](Experiment& e) -> bool& { return e.emulate.synchronize_storage; }));
  table.push_back(text("emulate.device", Scope::kEmulate,
                       "verbs: the RDMA device; empty: the first that has an address (see ibv_devices)",
                       [](Experiment& e) -> std::string& { return e.emulate.device; }));
  table.push_back(number("emulate.base_port", Kind::kInteger, Scope::kEmulate, 0, 65000,
                         "tcp, verbs: node i listens on base_port + i; 0: free ports are picked",
                         [](Experiment& e) -> std::uint16_t& { return e.emulate.base_port; }));
  table.push_back(text("emulate.image", Scope::kEmulate,
                       "containers: the image they start from; empty: the one that `./slipstream image` makes",
                       [](Experiment& e) -> std::string& { return e.emulate.image; }));
  table.push_back(number("emulate.time_limit", Kind::kTime, Scope::kEmulate, 1e9, 24 * kHour,
                         "a run that takes longer has failed",
                         [](Experiment& e) -> TimeNs& { return e.emulate.time_limit_ns; }));
  Field machines{.path = "emulate.machines",
                 .kind = Kind::kMachines,
                 .scope = Scope::kEmulate,
                 .choices = {},
                 .doc =
                     "ssh: the machines, to which the nodes are dealt in turn, servers first, then clients, the "
                     "coordinator last",
                 .get = [](const Experiment& e) { return machines_json(e.emulate.machines); },
                 .set = [](Experiment& e, const Json& v) { e.emulate.machines = machines_of(v); }};
  table.push_back(std::move(machines));
}

void add_network_fields(std::vector<Field>& table) {
  table.push_back(choice(
      "emulate.topology", Scope::kEmulate, {"star", "two-tier"},
      "mininet: all nodes at one switch, or racks of nodes, each with a switch that has an uplink to the core",
      [](Experiment& e) -> emulate::Topology& { return e.emulate.network.topology; }, emulate::topology_of));
  table.push_back(number("emulate.bandwidth", Kind::kBandwidth, Scope::kEmulate, 0, 100e9,
                         "mininet: of a node's link, in each direction; 0 kb/s: not limited",
                         [](Experiment& e) -> double& { return e.emulate.network.bandwidth_bits_per_s; }));
  table.push_back(number("emulate.delay", Kind::kTime, Scope::kEmulate, 0, 10e9,
                         "mininet: of a link, one way; a round trip through one switch takes four, across racks eight",
                         [](Experiment& e) -> TimeNs& { return e.emulate.network.delay_ns; }));
  table.push_back(number("emulate.racks", Kind::kInteger, Scope::kEmulate, 2, 1000,
                         "two-tier: racks, to which the nodes are dealt in turn",
                         [](Experiment& e) -> std::uint16_t& { return e.emulate.network.racks; }));
  table.push_back(number("emulate.oversubscription", Kind::kInteger, Scope::kEmulate, 1, 1000,
                         "two-tier: what a rack's nodes can send over what its uplink carries",
                         [](Experiment& e) -> double& { return e.emulate.network.oversubscription; }));
}

void add_sim_fields(std::vector<Field>& table) {
  table.push_back(text("sim.hardware", Scope::kSim, "hardware profile: a file of experiments/hardware, without .json",
                       [](Experiment& e) -> std::string& { return e.sim.hardware; }));
  table.push_back(choice(
      "sim.threading", Scope::kSim, {"dispatch-workers", "run-to-completion"},
      "a server's cores: one that polls the NIC and workers that execute (RAMCloud), or one that "
      "does both, in batches",
      [](Experiment& e) -> sim::Threading& { return e.sim.options.threading; }, sim::threading_of));
  table.push_back(number("sim.workers", Kind::kInteger, Scope::kSim, 1, 64,
                         "dispatch-workers: worker cores of a server, beside its dispatch core",
                         [](Experiment& e) -> std::uint32_t& { return e.sim.options.workers; }));
  table.push_back(choice(
      "sim.waiting", Scope::kSim, {"spin", "yield"},
      "dispatch-workers: what a worker does while its request waits for replication",
      [](Experiment& e) -> sim::Waiting& { return e.sim.options.waiting; }, sim::waiting_of));
  table.push_back(number("sim.batch", Kind::kInteger, Scope::kSim, 1, 1024,
                         "run-to-completion: most events of one turn",
                         [](Experiment& e) -> std::uint32_t& { return e.sim.options.batch; }));
  table.push_back(number("sim.warmup", Kind::kTime, Scope::kSim, 0, kHour,
                         "replaces /warmup in the simulator, where time is dearer; 0 ns: it does not",
                         [](Experiment& e) -> TimeNs& { return e.sim.warmup_ns; }));
  table.push_back(number("sim.duration", Kind::kTime, Scope::kSim, 0, kHour,
                         "replaces /duration in the simulator; 0 ns: it does not",
                         [](Experiment& e) -> TimeNs& { return e.sim.duration_ns; }));
  table.push_back(number("sim.limit", Kind::kTime, Scope::kSim, 1e6, 24 * kHour,
                         "simulated time after which a run is given up",
                         [](Experiment& e) -> TimeNs& { return e.sim.options.limit_ns; }));
}

std::vector<Field> make_fields() {
  std::vector<Field> table;
  add_spec_fields(table);
  add_cluster_fields(table);
  add_replication_fields(table);
  add_workload_fields(table);
  add_fault_fields(table);
  add_swarm_fields(table);
  add_emulate_fields(table);
  add_network_fields(table);
  add_sim_fields(table);
  return table;
}

Checked check_choice(const Field& field, const Json& value) {
  if (!value.is_string()) return {{}, fmt::format("found {}; expected {}", found(value), expectation(field))};
  const auto& word = value.get_ref<const std::string&>();
  if (std::find(field.choices.begin(), field.choices.end(), word) != field.choices.end()) return {value, {}};
  const std::string near = nearest(word, field.choices);
  return {{},
          fmt::format("\"{}\" is not known{}; expected {}", word,
                      near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near), expectation(field))};
}

Checked check_quantity(const Field& field, const Json& value, Dimension dimension) {
  if (!value.is_string()) {
    const std::string hint = value.is_number()
                                 ? fmt::format(" has no unit; write for instance \"{}\"", example_of(dimension))
                                 : fmt::format("; expected {}", expectation(field));
    return {{}, fmt::format("{}{}", found(value), hint)};
  }
  const auto& written = value.get_ref<const std::string&>();
  const auto parsed = parse_quantity(written, dimension);
  if (!parsed.value)
    return {{},
            fmt::format("\"{}\" {}; expected {} (units: {})", written, parsed.problem, expectation(field),
                        unit_list(dimension))};
  if (*parsed.value < field.low || *parsed.value > field.high) {
    return {{}, fmt::format("\"{}\" is out of range; expected {}", written, expectation(field))};
  }
  const bool is_counted = dimension == Dimension::kSize || dimension == Dimension::kTime;
  if (is_counted && std::fmod(*parsed.value, 1.0) != 0) {
    return {{},
            fmt::format("\"{}\" is not a whole number of {}", written,
                        dimension == Dimension::kSize ? "bytes" : "nanoseconds")};
  }
  return {Json(format_quantity(*parsed.value, dimension)), {}};
}

Json schema_of(const Field& field) {
  Json node;
  if (const auto dimension = dimension_of(field.kind)) {
    node["type"] = "string";
    node["pattern"] = std::string(pattern_of(*dimension));
  } else if (field.kind == Kind::kInteger) {
    node["type"] = "integer";
    node["minimum"] = static_cast<std::int64_t>(field.low);
    node["maximum"] = static_cast<std::int64_t>(field.high);
  } else if (field.kind == Kind::kBool) {
    node["type"] = "boolean";
  } else if (field.kind == Kind::kChoice) {
    node["enum"] = field.choices;
  } else if (field.kind == Kind::kChoiceList) {
    node["type"] = "array";
    node["minItems"] = 1;
    node["uniqueItems"] = true;
    node["items"] = {{"enum", field.choices}};
  } else if (field.kind == Kind::kMachines) {
    node["type"] = "array";
    node["minItems"] = 1;
    node["items"] = machine_schema();
  } else if (field.kind == Kind::kFaults) {
    node["type"] = "array";
    node["items"] = fault_schema();
  } else {
    node["type"] = "string";
  }
  node["description"] = fmt::format("{} ({})", field.doc, expectation(field));
  if (!field.required && !field.holds_objects()) node["default"] = field.get(Experiment{});
  return node;
}

}  // namespace

std::string found(const Json& value) {
  std::string text = value.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  // In the order of the library's types.
  static constexpr std::string_view kNoun[] = {"null",       "an object",  "a list",     "the text", "",
                                               "the number", "the number", "the number", "",         ""};
  const auto noun = kNoun[static_cast<std::size_t>(value.type())];
  if (value.is_object() || value.is_array() || value.is_null()) return std::string(noun);
  return noun.empty() ? text : fmt::format("{} {}", noun, text);
}

ClusterOptions cluster_of_no_world() {
  ClusterOptions cluster;
  cluster.membership.probe_interval_ns = cluster.membership.probe_timeout_ns = cluster.membership.lease_ns = 0;
  return cluster;
}

std::string_view name(World world) { return world == World::kEmulate ? "emulate" : "sim"; }

std::optional<World> world_of(std::string_view name) {
  if (name == "emulate") return World::kEmulate;
  if (name == "sim") return World::kSim;
  return std::nullopt;
}

std::string Field::pointer() const {
  std::string pointer = "/" + path;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  return pointer;
}

const std::vector<Field>& fields() {
  static const std::vector<Field> table = make_fields();
  return table;
}

const Field* find_field(std::string_view path) {
  for (const Field& field : fields()) {
    if (field.path == path) return &field;
  }
  return nullptr;
}

std::string expectation(const Field& field) {
  if (const auto dimension = dimension_of(field.kind)) {
    static constexpr std::string_view kNouns[] = {"a size", "a time", "a rate", "a bandwidth"};
    return fmt::format("{} from {} to {}, such as \"{}\"", kNouns[static_cast<std::size_t>(*dimension)],
                       format_quantity(field.low, *dimension), format_quantity(field.high, *dimension),
                       field.get(Experiment{}) == Json(format_quantity(0, *dimension))
                           ? std::string(example_of(*dimension))
                           : field.get(Experiment{}).get<std::string>());
  }
  switch (field.kind) {
    case Kind::kInteger: return fmt::format("a whole number from {:.0f} to {:.0f}", field.low, field.high);
    case Kind::kBool: return "true or false";
    case Kind::kChoice: return fmt::format("one of {}", fmt::join(field.choices, ", "));
    case Kind::kChoiceList: return fmt::format("a list of some of {}", fmt::join(field.choices, ", "));
    case Kind::kFaults: return "a list of faults, in any order";
    case Kind::kMachines: return "a list of machines, such as [{\"address\": \"10.0.0.7\"}]";
    default: return "a text";
  }
}

Checked check_value(const Field& field, const Json& value) {
  if (const auto dimension = dimension_of(field.kind)) return check_quantity(field, value, *dimension);
  const auto refuse = [&] {
    return Checked{{}, fmt::format("found {}; expected {}", found(value), expectation(field))};
  };
  switch (field.kind) {
    case Kind::kInteger: {
      if (!value.is_number() || std::fmod(value.get<double>(), 1.0) != 0) return refuse();
      const double number = value.get<double>();
      if (number < field.low || number > field.high) return refuse();
      return {Json(static_cast<std::int64_t>(number)), {}};
    }
    case Kind::kBool:
      if (!value.is_boolean()) return refuse();
      return {value, {}};
    case Kind::kChoice: return check_choice(field, value);
    case Kind::kMachines: return check_machines(value);
    case Kind::kFaults: return check_faults(value);
    case Kind::kChoiceList: {
      if (!value.is_array() || value.empty()) return refuse();
      for (const auto& item : value) {
        if (auto checked = check_choice(field, item); !checked.problem.empty()) return checked;
        if (std::count(value.begin(), value.end(), item) > 1)
          return {{}, fmt::format("{} is there twice", item.dump())};
      }
      return {value, {}};
    }
    default:
      if (!value.is_string()) return refuse();
      if (field.required && value.get_ref<const std::string&>().empty()) return {{}, "is empty"};
      return {value, {}};
  }
}

Json schema() {
  Json root;
  root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  root["title"] = "Slipstream experiment";
  root["type"] = "object";
  root["additionalProperties"] = false;
  root["required"] = Json::array({"name", "description", "worlds"});
  Json& properties = root["properties"];
  for (const Field& field : fields()) {
    const auto dot = field.path.find('.');
    if (dot == std::string::npos) {
      properties[field.path] = schema_of(field);
      continue;
    }
    Json& section = properties[field.path.substr(0, dot)];
    section["type"] = "object";
    section["additionalProperties"] = false;
    section["properties"][field.path.substr(dot + 1)] = schema_of(field);
  }
  Json& sweep = properties["sweep"];
  sweep["type"] = "object";
  sweep["description"] =
      "values to run every combination of, by the dotted path of the option: {\"replication.policy\": [\"rpc\", "
      "\"tailwind\"]}";
  sweep["additionalProperties"] = false;
  for (const Field& field : fields()) {
    if (!field.can_be_swept()) continue;
    Json item = schema_of(field);
    item.erase("description");
    item.erase("default");
    sweep["properties"][field.path] = {{"type", "array"}, {"minItems", 1}, {"items", std::move(item)}};
  }
  properties["expect"] = {
      {"type", "array"}, {"items", {{"type", "string"}}}, {"description", std::string(claim_grammar())}};
  return root;
}

}  // namespace slipstream::cli
