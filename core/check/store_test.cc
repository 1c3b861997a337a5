// The register of the checkers against the store itself: what KvStore answers, one operation after the other, is what
// the checkers allow.
#include <array>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/rng.h"
#include "core/check/durability.h"
#include "core/check/exactly_once.h"
#include "core/check/linearizability.h"
#include "core/kv/store.h"
#include "core/workload/workload.h"

namespace slipstream {
namespace {

constexpr std::uint64_t kTable = 3;
constexpr std::size_t kKeyBytes = 20;

class RecordedStore {
 public:
  RecordedStore()
      : memory_(16 * kMiB), log_({1 * kMiB, memory_.size()}, NodeId{1}, Region{0, memory_}), store_(log_, NodeId{1}) {
    store_.set_tablets(TabletMap({{kTable, 0, ~std::uint64_t{0}, NodeId{1}}}));
  }

  // Executes and records one operation on `key`. A write's value is a stamp's or, when so wanted, a number.
  void run(Action action, std::uint64_t key, std::uint64_t asked, bool number) {
    std::vector<std::byte> value(is_write(action) ? (number ? sizeof(std::uint64_t) : 40) : 0);
    if (is_write(action) && number) std::memcpy(value.data(), &asked, value.size());
    if (is_write(action) && !number) write_value(key, stamp_of(0, ++stamps_), value);
    const HistoryValue written = is_write(action) ? value_of(key, value) : HistoryValue{};
    const bool asks = is_conditional(action) || action == Action::kIncrement;
    const std::uint32_t op = history_.invoke(++now_, action, key, asks ? asked : 0, written);

    const ItemResult result = execute(action, key, asks ? asked : kAnyVersion, value);
    HistoryValue seen;
    if (action == Action::kRead && result.status == Status::kOk) seen = value_of(key, result.value);
    if (result.has_counter) seen = counter_value(result.counter);
    history_.complete(op, ++now_, outcome_of(result.status), result.version, seen);
    if (result.version != 0) last_version_ = result.version;
  }

  FinalRead final_read(std::uint64_t key) {
    const ItemResult result = execute(Action::kRead, key, kAnyVersion, {});
    if (result.status == Status::kNotFound) return {key, true, 0, {}};
    return {key, true, result.version, value_of(key, result.value)};
  }

  const History& history() const { return history_; }
  std::uint64_t last_version() const { return last_version_; }

 private:
  ItemResult execute(Action action, std::uint64_t number, std::uint64_t argument, ConstBytes value) {
    std::array<std::byte, kKeyBytes> key;
    write_key(number, key);
    KvItemHeader item;
    item.kind = is_write(action)               ? KvKind::kWrite
                : is_remove(action)            ? KvKind::kRemove
                : action == Action::kIncrement ? KvKind::kIncrement
                                               : KvKind::kRead;
    item.key_bytes = kKeyBytes;
    item.value_bytes = static_cast<std::uint32_t>(value.size());
    item.table = kTable;
    item.argument = argument;
    item.sequence = is_mutation(item.kind) ? ++sequence_ : 0;
    return store_.execute(1, sequence_, item, key, value, key_hash(kTable, key), out_);
  }

  static Outcome outcome_of(Status status) {
    switch (status) {
      case Status::kOk: return Outcome::kOk;
      case Status::kNotFound: return Outcome::kNotFound;
      case Status::kVersionMismatch: return Outcome::kMismatch;
      case Status::kNotANumber: return Outcome::kNotANumber;
      default: return Outcome::kFailed;
    }
  }

  std::vector<std::byte> memory_;
  Log log_;
  KvStore store_;
  Outbox out_;
  History history_{0, 1};
  TimeNs now_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t stamps_ = 0;
  std::uint64_t last_version_ = 0;
};

TEST(StoreAndCheckers, WhatTheStoreAnswersIsWhatTheCheckersAllow) {
  // given a store that executes all actions on few keys: stamps and numbers, conditions that hold and that do not
  RecordedStore store;
  Rng rng(1, "store-test");
  for (int i = 0; i < 20'000; ++i) {
    const auto action = static_cast<Action>(rng.below(6));
    const std::uint64_t asked = rng.below(4) == 0 ? rng.below(3) : store.last_version();
    store.run(action, rng.below(4), asked, rng.chance(1, 2));
  }
  std::vector<FinalRead> finals;
  for (std::uint64_t key = 0; key < 4; ++key) finals.push_back(store.final_read(key));

  // expect every outcome to have come up, and no findings
  std::array<std::uint64_t, 8> outcomes{};
  for (const HistoryOperation& op : store.history().operations()) ++outcomes[static_cast<std::size_t>(op.outcome)];
  for (const Outcome o : {Outcome::kOk, Outcome::kNotFound, Outcome::kMismatch, Outcome::kNotANumber}) {
    EXPECT_GT(outcomes[static_cast<std::size_t>(o)], 500U) << name(o);
  }
  EXPECT_EQ(outcomes[static_cast<std::size_t>(Outcome::kFailed)], 0U);
  const std::span<const HistoryOperation> all = store.history().operations();
  EXPECT_EQ(describe(check_linearizability(all).findings), "");
  EXPECT_EQ(describe(check_exactly_once(all, finals)), "");
  EXPECT_EQ(describe(check_durability(all, finals)), "");
}

}  // namespace
}  // namespace slipstream
