// What clients ask for: YCSB core workloads A, B, C, D, F and write-only (Cooper et al., SoCC'10), with YCSB's key
// distributions (zipfian after Gray et al., SIGMOD'94), and arrival processes. Deterministic for (seed, client).
//
// Keys 0 .. records-1 are loaded; client c of n inserts records + c, records + c + n, ... A source names only keys that
// should exist: the last `outstanding` inserts of its client may be on their way still, so a client's view, from which
// other operations choose, ends before them. (An insert that is overtaken by so many others is the exception: a read of
// it finds nothing.)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/rng.h"
#include "core/base/units.h"

namespace slipstream {

enum class OperationType : std::uint8_t { kRead, kUpdate, kInsert, kReadModifyWrite, kCount };
inline constexpr std::size_t kOperationTypes = static_cast<std::size_t>(OperationType::kCount);
std::string_view name(OperationType type);  // "read", "update", "insert", "read_modify_write"

enum class Distribution : std::uint8_t { kUniform, kZipfian, kLatest };
std::string_view name(Distribution distribution);
std::optional<Distribution> distribution_of(std::string_view name);

enum class Arrivals : std::uint8_t {
  kClosed,   // `outstanding` operations per client at all times
  kPoisson,  // open loop: exponential gaps; latency counts from the intended arrival, so none is omitted
  kFixed     // open loop: equal gaps
};
std::string_view name(Arrivals arrivals);  // "closed", "poisson", "fixed"
std::optional<Arrivals> arrivals_of(std::string_view name);

struct WorkloadOptions {
  std::string name = "write-only";  // for results; the mix below is what counts
  // Shares in thousandths; their sum is 1000.
  std::uint32_t reads = 0;
  std::uint32_t updates = 1000;
  std::uint32_t inserts = 0;
  std::uint32_t read_modify_writes = 0;
  Distribution distribution = Distribution::kZipfian;
  std::uint64_t records = 100'000;  // loaded before the run
  std::size_t key_bytes = 30;       // 16 to 1024
  std::size_t value_bytes = 100;    // 1 to 1 MiB - 64 KiB
  std::uint32_t outstanding = 16;   // per client: closed loop, always; open loop, at most
  Arrivals arrivals = Arrivals::kClosed;
  double rate_ops_per_s = 0;  // open loop: of all clients together
};

// Sets mix and distribution of a named workload ("ycsb-a" .. "ycsb-d", "ycsb-f", "write-only"); false: no such name.
bool apply_workload_name(std::string_view workload, WorkloadOptions& options);

// Zipfian over [0, items): 0 is the most frequent. theta 0.99 as in YCSB.
class Zipfian {
 public:
  explicit Zipfian(std::uint64_t items, double theta = 0.99);
  // Zeta known beforehand (YCSB's scrambled zipfian over 10^10 items).
  Zipfian(std::uint64_t items, double theta, double zeta);
  std::uint64_t draw(Rng& rng) const;
  // Extends the range, adding only the new terms of zeta.
  void grow(std::uint64_t items);
  std::uint64_t items() const { return items_; }
  double probability(std::uint64_t rank) const;  // of the formula, for tests: 1 / ((rank+1)^theta zeta)

 private:
  void derive();

  std::uint64_t items_;
  double theta_;
  double zeta_;
  double alpha_ = 0;
  double eta_ = 0;
  double half_pow_theta_ = 0;
};

struct Operation {
  OperationType type = OperationType::kRead;
  std::uint64_t key = 0;
};

class OperationSource {
 public:
  OperationSource(const WorkloadOptions& options, std::uint64_t seed, std::uint32_t client, std::uint32_t clients);
  Operation next();

 private:
  std::uint64_t existing_key();
  std::uint64_t key_at(std::uint64_t position) const;  // of the client's view: loaded keys, then its own, in order

  Rng rng_;
  Distribution distribution_;
  std::optional<Zipfian> zipfian_;
  std::uint64_t records_;
  std::uint32_t client_;
  std::uint32_t clients_;
  std::uint32_t outstanding_;
  std::array<std::uint32_t, kOperationTypes> share_ends_;  // running sums of the mix, in thousandths
  std::uint64_t inserted_ = 0;                             // by this client
  std::uint64_t view_;                                     // keys in the client's view
};

// What a zipfian draw over 10^10 items becomes under the zipfian distribution: the frequent keys lie scattered over all
// the records instead of side by side. FNV-1a of the draw's eight bytes, lowest first, modulo the records.
std::uint64_t scramble(std::uint64_t draw, std::uint64_t records);

// Intended arrival times of one client, rising, from `start`. They follow from the options alone, whatever the time is
// when one is taken: a client that fell behind still finds every arrival, at the time it was meant for. Equal gaps of
// several clients interleave evenly. Closed loop: always due, `next` stays at `start`.
class ArrivalSource {
 public:
  ArrivalSource(const WorkloadOptions& options, std::uint64_t seed, std::uint32_t client, std::uint32_t clients);
  void start(TimeNs now);
  TimeNs next() const { return next_ns_; }  // the earliest arrival not yet taken
  void take();

 private:
  Arrivals arrivals_;
  double gap_ns_;
  double phase_;  // equal gaps: the first arrival of this client, in gaps
  Rng rng_;
  TimeNs start_ns_ = 0;
  double exact_ns_ = 0;  // of the next arrival since the start: rounded once, not once per gap
  TimeNs next_ns_ = 0;
};

// The key's bytes: "user" and the number in decimal digits, zero-padded on the left to `key.size()` (16 at the least).
void write_key(std::uint64_t number, Bytes key);

// A value that tells its key and version, so that readers can verify what they got: the version in the first 8 bytes,
// then a pattern of both. A value shorter than 16 bytes has no room for that and tells its key only.
void write_value(std::uint64_t number, std::uint64_t version, Bytes value);
// True when `value` is what write_value makes for this key and some version. A value with any one byte changed is not.
bool is_value_of(std::uint64_t number, ConstBytes value);

}  // namespace slipstream
