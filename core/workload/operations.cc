#include <algorithm>

#include "core/base/check.h"
#include "core/workload/workload.h"

namespace slipstream {

namespace {

constexpr std::uint32_t kWhole = 1000;  // the sum of a mix
constexpr std::uint64_t kScrambledItems = 10'000'000'000;
constexpr double kScrambledTheta = 0.99;
constexpr double kScrambledZeta = 26.46902820178302;  // YCSB's, of the two above

struct NamedMix {
  std::string_view name;
  std::uint32_t reads, updates, inserts, read_modify_writes;
  Distribution distribution;
};

// YCSB's workloads A to D and F as published; write-only is what replication papers add to them.
constexpr NamedMix kNamedMixes[] = {
    {"ycsb-a", 500, 500, 0, 0, Distribution::kZipfian},  //
    {"ycsb-b", 950, 50, 0, 0, Distribution::kZipfian},   //
    {"ycsb-c", 1000, 0, 0, 0, Distribution::kZipfian},   //
    {"ycsb-d", 950, 0, 50, 0, Distribution::kLatest},    //
    {"ycsb-f", 500, 0, 0, 500, Distribution::kZipfian},  //
    {"write-only", 0, 1000, 0, 0, Distribution::kZipfian},
};

constexpr std::string_view kOperationNames[] = {"read", "update", "insert", "read_modify_write"};
constexpr std::string_view kDistributionNames[] = {"uniform", "zipfian", "latest"};

}  // namespace

std::string_view name(OperationType type) { return kOperationNames[static_cast<std::size_t>(type)]; }

std::string_view name(Distribution distribution) { return kDistributionNames[static_cast<std::size_t>(distribution)]; }

std::optional<Distribution> distribution_of(std::string_view name) {
  const auto* const found = std::find(std::begin(kDistributionNames), std::end(kDistributionNames), name);
  if (found == std::end(kDistributionNames)) return std::nullopt;
  return static_cast<Distribution>(found - std::begin(kDistributionNames));
}

bool apply_workload_name(std::string_view workload, WorkloadOptions& options) {
  for (const NamedMix& mix : kNamedMixes) {
    if (mix.name != workload) continue;
    options.name = mix.name;
    options.reads = mix.reads;
    options.updates = mix.updates;
    options.inserts = mix.inserts;
    options.read_modify_writes = mix.read_modify_writes;
    options.distribution = mix.distribution;
    return true;
  }
  return false;
}

std::uint64_t scramble(std::uint64_t draw, std::uint64_t records) {
  constexpr std::uint64_t kPrime = 0x100000001b3ULL;
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (int byte = 0; byte < 5; ++byte) {
    hash = (hash ^ (draw & 0xff)) * kPrime;
    draw >>= 8;
  }
  // A draw below 2^40 leaves three bytes of zero: only the multiplications remain of them.
  SLIP_CHECK(draw == 0);
  hash *= kPrime * kPrime * kPrime;
  return hash % records;
}

OperationSource::OperationSource(const WorkloadOptions& options, std::uint64_t seed, std::uint32_t client,
                                 std::uint32_t clients)
    : rng_(seed, "workload.operations", client),
      distribution_(options.distribution),
      records_(options.records),
      client_(client),
      clients_(clients),
      outstanding_(options.outstanding),
      share_ends_{options.reads, options.reads + options.updates, options.reads + options.updates + options.inserts,
                  options.reads + options.updates + options.inserts + options.read_modify_writes},
      view_(options.records) {
  SLIP_CHECK(records_ > 0);
  SLIP_CHECK(client < clients, "client {} of {}", client, clients);
  SLIP_CHECK(share_ends_.back() == kWhole, "the shares add up to {}", share_ends_.back());
  if (distribution_ == Distribution::kZipfian) zipfian_.emplace(kScrambledItems, kScrambledTheta, kScrambledZeta);
  if (distribution_ == Distribution::kLatest) zipfian_.emplace(records_);
}

Operation OperationSource::next() {
  const auto ticket = static_cast<std::uint32_t>(rng_.below(kWhole));
  std::size_t type = 0;
  for (std::size_t i = 0; i + 1 < kOperationTypes; ++i) type += ticket >= share_ends_[i] ? 1 : 0;
  Operation operation{static_cast<OperationType>(type), 0};
  if (operation.type != OperationType::kInsert) {
    operation.key = existing_key();
    return operation;
  }
  operation.key = key_at(records_ + inserted_);
  ++inserted_;
  if (inserted_ > outstanding_) {
    view_ = records_ + inserted_ - outstanding_;
    if (distribution_ == Distribution::kLatest) zipfian_->grow(view_);
  }
  return operation;
}

std::uint64_t OperationSource::existing_key() {
  switch (distribution_) {
    case Distribution::kUniform: return key_at(rng_.below(view_));
    // Over the loaded keys alone: with a growing count the modulus would move every frequent key at every insert.
    case Distribution::kZipfian: return scramble(zipfian_->draw(rng_), records_);
    case Distribution::kLatest: return key_at(view_ - 1 - zipfian_->draw(rng_));
  }
  SLIP_CHECK(false, "distribution {}", static_cast<int>(distribution_));
}

std::uint64_t OperationSource::key_at(std::uint64_t position) const {
  return position < records_ ? position : records_ + client_ + (position - records_) * clients_;
}

}  // namespace slipstream
