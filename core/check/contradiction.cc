#include "core/check/contradiction.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include <fmt/format.h>

namespace slipstream {
namespace {

using Form = HistoryValue::Form;
using Operations = std::span<const HistoryOperation* const>;

std::string tell(const char* what, const HistoryOperation& a) { return fmt::format("{}\n    {}", what, describe(a)); }
std::string tell(const char* what, const HistoryOperation& a, const HistoryOperation& b) {
  return fmt::format("{}\n    {}\n    {}", what, describe(a), describe(b));
}

// The object had, or got, this version while the operation was open.
struct Fact {
  std::uint64_t version = 0;
  bool made = false;
  const HistoryOperation* op = nullptr;
};

HistoryValue made_value(const HistoryOperation& op) { return op.action == Action::kIncrement ? op.seen : op.written; }

std::vector<Fact> facts_of(Operations operations) {
  std::vector<Fact> facts;
  for (const HistoryOperation* op : operations) {
    if (op->is_undecided() || op->outcome == Outcome::kFailed || op->outcome == Outcome::kNotFound) continue;
    if (op->took_effect() && is_conditional(op->action) && op->asked != 0) facts.push_back({op->asked, false, op});
    if (op->version != 0) facts.push_back({op->version, op->took_effect(), op});
  }
  std::stable_sort(facts.begin(), facts.end(), [](const Fact& a, const Fact& b) {
    return std::tuple(a.version, !a.made) < std::tuple(b.version, !b.made);
  });
  return facts;
}

std::string values_differ(std::span<const Fact> facts) {
  const Fact* made = nullptr;
  for (const Fact& fact : facts) {
    if (fact.made && made != nullptr && made->version == fact.version) {
      return tell("two mutations made one version:", *made->op, *fact.op);
    }
    if (fact.made) made = &fact;
    const bool known = made != nullptr && made->version == fact.version;
    if (fact.made || !known) continue;
    if (is_remove(made->op->action))
      return tell("an object is there with the version of a removal:", *made->op, *fact.op);
    if (fact.op->action == Action::kRead && fact.op->outcome == Outcome::kOk &&
        fact.op->seen != made_value(*made->op)) {
      return tell("a read tells another value than the one written with its version:", *made->op, *fact.op);
    }
  }
  return {};
}

// What met a lower version must not have been invoked after what met a higher one had ended.
std::string against_real_time(std::span<const Fact> facts) {
  const HistoryOperation* first = nullptr;  // to end, of those with a higher version, or seeing this one
  for (std::size_t end = facts.size(); end > 0;) {
    std::size_t begin = end - 1;
    while (begin > 0 && facts[begin - 1].version == facts[begin].version) --begin;
    for (std::size_t i = begin; i < end; ++i) {
      const HistoryOperation& op = *facts[i].op;
      if (first != nullptr && first->ended_ns < op.invoked_ns) {
        return tell("the first had ended when the second was invoked, and met a newer version:", *first, op);
      }
    }
    for (std::size_t i = begin; i < end; ++i) {
      const HistoryOperation& op = *facts[i].op;
      if (facts[i].made) continue;
      if (facts[begin].made && op.ended_ns < facts[begin].op->invoked_ns) {
        return tell("the first had met the version before the second, which made it, was invoked:", op,
                    *facts[begin].op);
      }
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (first == nullptr || facts[i].op->ended_ns < first->ended_ns) first = facts[i].op;
    }
    end = begin;
  }
  return {};
}

std::string never_written(Operations operations) {
  std::vector<std::uint64_t> written;
  for (const HistoryOperation* op : operations) {
    const bool may = op->took_effect() || op->may_have_taken_effect();
    if (may && op->written.form == Form::kStamp) written.push_back(op->written.word);
  }
  std::sort(written.begin(), written.end());
  for (const HistoryOperation* op : operations) {
    if (op->action != Action::kRead || op->outcome != Outcome::kOk) continue;
    if (op->seen.form == Form::kTorn) return tell("a read of what nobody wrote:", *op);
    if (op->seen.form == Form::kStamp && !std::binary_search(written.begin(), written.end(), op->seen.word)) {
      return tell("a read of a value that no write can have put there:", *op);
    }
  }
  return {};
}

// An absence although something had been written, and nothing can have removed it.
std::string vanished(Operations operations) {
  std::vector<const HistoryOperation*> removals;
  std::vector<const HistoryOperation*> writes;  // and increments
  for (const HistoryOperation* op : operations) {
    if (is_remove(op->action) && (op->took_effect() || op->is_undecided())) removals.push_back(op);
    if (!is_remove(op->action) && op->took_effect()) writes.push_back(op);
  }
  const auto by_end = [](const auto* a, const auto* b) { return a->ended_ns < b->ended_ns; };
  std::stable_sort(writes.begin(), writes.end(), by_end);
  std::vector<const HistoryOperation*> newest;  // of those that ended up to each
  for (const HistoryOperation* op : writes) {
    newest.push_back(newest.empty() || newest.back()->version < op->version ? op : newest.back());
  }
  std::uint64_t highest = 0;  // version of a removal invoked so far; unknown ones may be as high as any
  std::size_t next = 0;
  // Removals count when they are invoked before the absence was told.
  std::vector<const HistoryOperation*> absences;
  for (const HistoryOperation* op : operations) {
    const bool absent = op->outcome == Outcome::kNotFound || (op->outcome == Outcome::kMismatch && op->version == 0);
    if (absent) absences.push_back(op);
  }
  std::stable_sort(absences.begin(), absences.end(), by_end);
  for (const HistoryOperation* op : absences) {
    for (; next < removals.size() && removals[next]->invoked_ns <= op->ended_ns; ++next) {
      highest = std::max(highest, removals[next]->is_undecided() ? UINT64_MAX : removals[next]->version);
    }
    const auto before = std::partition_point(writes.begin(), writes.end(),
                                             [&](const HistoryOperation* w) { return w->ended_ns < op->invoked_ns; });
    if (before == writes.begin()) continue;
    const HistoryOperation& write = *newest[static_cast<std::size_t>(before - writes.begin()) - 1];
    if (write.version > highest) return tell("what was written is not there, and nothing removed it:", write, *op);
  }
  return {};
}

}  // namespace

std::string find_contradiction(Operations operations) {
  std::string text = never_written(operations);
  const std::vector<Fact> facts = facts_of(operations);
  if (text.empty()) text = values_differ(facts);
  if (text.empty()) text = against_real_time(facts);
  if (text.empty()) text = vanished(operations);
  return text;
}

}  // namespace slipstream
