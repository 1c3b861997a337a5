#include "core/check/durability.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace slipstream {
namespace {

using Form = HistoryValue::Form;
using Operations = std::span<const HistoryOperation* const>;

std::string tell(const FinalRead& f) {
  return f.version == 0 ? fmt::format("final read of key {}: absent", f.key)
                        : fmt::format("final read of key {}: version {} {}", f.key, f.version, describe(f.value));
}

// The history of one key.
class Key {
 public:
  Key(Operations operations, Findings& findings) : operations_(operations), findings_(findings) {
    for (const HistoryOperation* op : operations) {
      if (is_remove(op->action) && (op->took_effect() || op->is_undecided())) {
        const std::uint64_t version = op->is_undecided() ? UINT64_MAX : op->version;
        removals_.push_back(
            {op->invoked_ns, removals_.empty() ? version : std::max(version, removals_.back().version)});
      }
      if (!op->took_effect()) continue;
      acknowledged_.push_back(op);
      if (newest_ == nullptr || newest_->version < op->version) newest_ = op;
    }
    std::stable_sort(acknowledged_.begin(), acknowledged_.end(),
                     [](const auto* a, const auto* b) { return a->ended_ns < b->ended_ns; });
    for (const HistoryOperation* op : acknowledged_) {
      newest_at_.push_back(newest_at_.empty() || newest_at_.back()->version < op->version ? op : newest_at_.back());
    }
  }

  // Of several final reads, one that is as new as all that was acknowledged makes the others stale, not lost.
  void judge_finals(std::span<const FinalRead> finals) {
    const auto answered = [](const FinalRead& f) { return f.answered; };
    const auto behind = [&](const FinalRead& f) { return !f.answered || lost(f); };
    final_is_new_ =
        std::none_of(finals.begin(), finals.end(), answered) || !std::all_of(finals.begin(), finals.end(), behind);
    for (const FinalRead& f : finals) {
      if (f.answered) judge_final(f);
    }
  }

  void judge_reads() {
    for (const HistoryOperation* op : operations_) {
      if (op->action != Action::kRead) continue;
      const bool absent = op->outcome == Outcome::kNotFound;
      if (op->outcome != Outcome::kOk && !absent) continue;
      if (op->seen.form == Form::kTorn) {
        add(FindingKind::kTorn, describe(*op));
        continue;
      }
      const auto before = std::partition_point(acknowledged_.begin(), acknowledged_.end(),
                                               [&](const HistoryOperation* a) { return a->ended_ns < op->invoked_ns; });
      if (before == acknowledged_.begin()) continue;
      const HistoryOperation& newest = *newest_at_[static_cast<std::size_t>(before - acknowledged_.begin()) - 1];
      const bool behind = absent ? !is_remove(newest.action) && !may_be_removed(newest.version, op->ended_ns)
                                 : op->version < newest.version;
      if (behind && final_is_new_) {
        add(FindingKind::kStale, fmt::format("{}\n    was acknowledged before {}", describe(newest), describe(*op)));
      }
    }
  }

 private:
  struct Removal {
    TimeNs invoked_ns = 0;
    std::uint64_t version = 0;  // the highest up to this one; of unknown ones any
  };

  void add(FindingKind kind, std::string text) { findings_.push_back({kind, std::move(text)}); }

  // Something invoked before `end` may have removed an object of this version.
  bool may_be_removed(std::uint64_t version, TimeNs end) const {
    const auto after =
        std::partition_point(removals_.begin(), removals_.end(), [&](const Removal& r) { return r.invoked_ns <= end; });
    return after != removals_.begin() && (after - 1)->version > version;
  }

  bool lost(const FinalRead& f) const {
    if (newest_ == nullptr) return false;
    if (f.version != 0) return f.version < newest_->version;
    return !is_remove(newest_->action) && !may_be_removed(newest_->version, kNever);
  }

  const HistoryOperation* writer(const HistoryValue& value) const {
    const HistoryOperation* found = nullptr;
    for (const HistoryOperation* op : operations_) {
      if (!is_write(op->action) || op->written != value) continue;
      const bool better = found == nullptr || (!found->took_effect() && (op->took_effect() || op->is_undecided()));
      if (better) found = op;
    }
    return found;
  }

  void judge_final(const FinalRead& f) {
    if (f.value.form == Form::kTorn) return add(FindingKind::kTorn, tell(f));
    if (lost(f)) {
      return add(final_is_new_ ? FindingKind::kStale : FindingKind::kLost,
                 fmt::format("{}\n    acknowledged: {}", tell(f), describe(*newest_)));
    }
    if (f.version == 0) return;
    if (newest_ != nullptr && f.version == newest_->version) return judge_same_version(f);
    // Newer than all that was acknowledged: only what is unknown can have made it.
    if (f.value.form != Form::kStamp) return;
    const HistoryOperation* const by = writer(f.value);
    if (by == nullptr) return add(FindingKind::kTorn, tell(f) + ", which nobody wrote");
    if (by->took_effect()) {
      add(FindingKind::kDuplicated, fmt::format("{}\n    again: {}", tell(f), describe(*by)));
    } else if (!by->is_undecided()) {
      add(FindingKind::kPhantom, fmt::format("{}\n    was refused: {}", tell(f), describe(*by)));
    }
  }

  void judge_same_version(const FinalRead& f) {
    if (is_remove(newest_->action)) {
      return add(FindingKind::kLost, fmt::format("{}\n    removed by {}", tell(f), describe(*newest_)));
    }
    const HistoryValue& value = newest_->action == Action::kIncrement ? newest_->seen : newest_->written;
    if (f.value != value) add(FindingKind::kTorn, fmt::format("{}\n    written by {}", tell(f), describe(*newest_)));
  }

  Operations operations_;
  Findings& findings_;
  std::vector<const HistoryOperation*> acknowledged_;  // by the time of their answers
  std::vector<const HistoryOperation*> newest_at_;     // of those up to each
  std::vector<Removal> removals_;                      // that took effect or may have, by the time of their invocation
  const HistoryOperation* newest_ = nullptr;
  bool final_is_new_ = true;
};

}  // namespace

Findings check_durability(std::span<const HistoryOperation> operations, std::span<const FinalRead> finals) {
  Findings findings;
  std::vector<const HistoryOperation*> sorted;
  sorted.reserve(operations.size());
  for (const HistoryOperation& op : operations) sorted.push_back(&op);
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->key < b->key; });
  std::vector<FinalRead> last(finals.begin(), finals.end());
  std::stable_sort(last.begin(), last.end(), [](const FinalRead& a, const FinalRead& b) { return a.key < b.key; });

  const Operations all = sorted;
  const std::span<const FinalRead> reads = last;
  std::size_t op = 0;
  std::size_t read = 0;
  while (op < all.size() || read < reads.size()) {
    std::uint64_t key = UINT64_MAX;
    if (op < all.size()) key = all[op]->key;
    if (read < reads.size()) key = std::min(key, reads[read].key);
    const std::size_t first_op = op;
    const std::size_t first_read = read;
    while (op < all.size() && all[op]->key == key) ++op;
    while (read < reads.size() && reads[read].key == key) ++read;
    Key judge(all.subspan(first_op, op - first_op), findings);
    judge.judge_finals(reads.subspan(first_read, read - first_read));
    judge.judge_reads();
  }
  return findings;
}

}  // namespace slipstream
