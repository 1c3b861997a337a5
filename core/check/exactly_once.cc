#include "core/check/exactly_once.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include <fmt/format.h>

namespace slipstream {
namespace {

using Form = HistoryValue::Form;

constexpr std::size_t kMaxSums = std::size_t{1} << 16;  // of unknown increments that are told apart

void one_answer(std::span<const HistoryOperation> operations, Findings& findings) {
  for (const HistoryOperation& op : operations) {
    if (op.answers > 1) {
      findings.push_back({FindingKind::kDuplicated, fmt::format("{} answers to {}", op.answers, describe(op))});
    }
  }
}

void one_mutation_for_a_version(std::span<const HistoryOperation> operations, Findings& findings) {
  std::vector<const HistoryOperation*> made;
  for (const HistoryOperation& op : operations) {
    if (op.took_effect()) made.push_back(&op);
  }
  std::stable_sort(made.begin(), made.end(), [](const HistoryOperation* a, const HistoryOperation* b) {
    return std::tie(a->key, a->version) < std::tie(b->key, b->version);
  });
  for (std::size_t i = 1; i < made.size(); ++i) {
    if (made[i]->key != made[i - 1]->key || made[i]->version != made[i - 1]->version) continue;
    findings.push_back({FindingKind::kDuplicated, fmt::format("two mutations answered one version\n    {}\n    {}",
                                                              describe(*made[i - 1]), describe(*made[i]))});
  }
}

void one_version_for_a_value(std::span<const HistoryOperation> operations, std::span<const FinalRead> finals,
                             Findings& findings) {
  struct Known {
    std::uint64_t key = 0;
    std::uint64_t stamp = 0;
    std::uint64_t version = 0;
    const HistoryOperation* op = nullptr;  // none: the final read
    auto order() const { return std::tie(key, stamp, version); }
  };
  std::vector<Known> known;
  for (const HistoryOperation& op : operations) {
    if (op.outcome != Outcome::kOk) continue;
    const HistoryValue& value = op.action == Action::kRead ? op.seen : op.written;
    if (value.form == Form::kStamp) known.push_back({op.key, value.word, op.version, &op});
  }
  for (const FinalRead& f : finals) {
    if (f.answered && f.value.form == Form::kStamp) known.push_back({f.key, f.value.word, f.version, nullptr});
  }
  const auto tell = [](const Known& k) {
    return k.op != nullptr ? describe(*k.op) : fmt::format("final read: version {} stamp {:x}", k.version, k.stamp);
  };
  std::stable_sort(known.begin(), known.end(), [](const Known& a, const Known& b) { return a.order() < b.order(); });
  for (std::size_t i = 1; i < known.size(); ++i) {
    const Known& a = known[i - 1];
    const Known& b = known[i];
    if (a.key != b.key || a.stamp != b.stamp || a.version == b.version) continue;
    findings.push_back({FindingKind::kDuplicated, fmt::format("key {}: one written value, two versions\n    {}\n    {}",
                                                              a.key, tell(a), tell(b))});
  }
}

// All that subsets of `addends` add up to, sorted; nothing when there are too many.
std::optional<std::vector<std::uint64_t>> sums_of(std::vector<std::uint64_t> addends) {
  std::sort(addends.begin(), addends.end());
  std::vector<std::uint64_t> sums{0};
  std::vector<std::uint64_t> more;
  for (const std::uint64_t addend : addends) {
    more = sums;
    for (std::uint64_t& sum : more) sum += addend;
    more.insert(more.end(), sums.begin(), sums.end());
    std::sort(more.begin(), more.end());
    more.erase(std::unique(more.begin(), more.end()), more.end());
    sums.swap(more);
    if (sums.size() > kMaxSums) return std::nullopt;
  }
  return sums;
}

// The operations of one key, and its final read.
void counter_is_the_sum(std::span<const HistoryOperation* const> operations, const FinalRead& last,
                        Findings& findings) {
  std::uint64_t acknowledged = 0;
  std::vector<std::uint64_t> unknown;
  std::size_t count = 0;
  for (const HistoryOperation* op : operations) {
    if (!op->is_mutation() || !(op->took_effect() || op->is_undecided())) continue;
    if (op->action != Action::kIncrement) return;  // what a counter starts from is then not known
    if (op->took_effect()) {
      acknowledged += op->asked;
      ++count;
    } else {
      unknown.push_back(op->asked);
    }
  }
  if (count + unknown.size() == 0 || (last.version == 0 && count == 0)) return;
  if (last.version != 0 && last.value.form != Form::kCounter) return;  // durability tells of it
  const auto found = static_cast<std::int64_t>(last.value.word);
  const std::string sum = fmt::format("key {}: the counter is {}, {} acknowledged increments add up to {}, {} unknown",
                                      last.key, found, count, static_cast<std::int64_t>(acknowledged), unknown.size());
  const auto sums = sums_of(std::move(unknown));
  if (!sums) {
    findings.push_back({FindingKind::kUndecided, sum + ", too many different ones to tell"});
  } else if (!std::binary_search(sums->begin(), sums->end(), last.value.word - acknowledged)) {
    const bool less = found < static_cast<std::int64_t>(acknowledged);
    findings.push_back({less ? FindingKind::kLost : FindingKind::kDuplicated, sum});
  }
}

}  // namespace

Findings check_exactly_once(std::span<const HistoryOperation> operations, std::span<const FinalRead> finals) {
  Findings findings;
  one_answer(operations, findings);
  one_mutation_for_a_version(operations, findings);
  one_version_for_a_value(operations, finals, findings);

  std::vector<const HistoryOperation*> sorted;
  for (const HistoryOperation& op : operations) sorted.push_back(&op);
  const auto by_key = [](const HistoryOperation* a, const HistoryOperation* b) { return a->key < b->key; };
  std::stable_sort(sorted.begin(), sorted.end(), by_key);
  const std::span<const HistoryOperation* const> all = sorted;
  for (const FinalRead& last : finals) {
    if (!last.answered) continue;
    HistoryOperation probe;
    probe.key = last.key;
    const auto [from, to] = std::equal_range(sorted.begin(), sorted.end(), &probe, by_key);
    const auto first = static_cast<std::size_t>(from - sorted.begin());
    counter_is_the_sum(all.subspan(first, static_cast<std::size_t>(to - from)), last, findings);
  }
  return findings;
}

}  // namespace slipstream
