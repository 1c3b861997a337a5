#include "core/check/register_search.h"

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace slipstream {
namespace {

using Form = HistoryValue::Form;

constexpr std::size_t kToldStuck = 6;   // operations of an excerpt
constexpr std::size_t kToldBehind = 3;  // mutations before them
constexpr std::size_t kLookedAt = 64;
constexpr std::size_t kLookedBack = 8;
constexpr std::size_t kPicksCompared = 64;
constexpr std::size_t kVisitsKept = 32;

// An unknown mutation with a value that nobody ever saw: which one does not matter.
constexpr HistoryValue kUnseen{0, Form::kTorn};

// What unknown mutations of one kind have in common: all that they would do.
auto kind_of(const RegisterOperation& op) { return std::tuple(op.action, op.asked, op.written.form, op.written.word); }

std::uint64_t hash_of(const RegisterState& s, std::uint64_t salt) {
  std::uint64_t h = mix64(s.least + salt);
  h = mix64(h ^ s.value.word);
  return mix64(h ^ (static_cast<std::uint64_t>(s.value.form) << 2 | (s.present ? 2U : 0U) | (s.exact ? 1U : 0U)));
}

// Whatever is possible from `narrow` is possible from `wide`.
bool covers(const RegisterState& wide, const RegisterState& narrow) {
  if (wide.present != narrow.present || wide.value != narrow.value || wide.least > narrow.least) return false;
  return !wide.present || !wide.exact || (narrow.exact && wide.least == narrow.least);
}

constexpr std::uint64_t kSaltA = 0x9e3779b97f4a7c15ULL;
constexpr std::uint64_t kSaltB = 0xd1b54a32d192ed03ULL;

}  // namespace

void RegisterSearch::Lists::make(std::size_t members, std::size_t lists) {
  next.resize(members + lists);
  for (std::size_t i = 0; i < next.size(); ++i) next[i] = static_cast<Index>(i);
  previous = next;
}

void RegisterSearch::Lists::append(Index list, Index item) {
  next[item] = list;
  previous[item] = previous[list];
  put_back(item);
}

void RegisterSearch::Lists::take(Index item) {
  next[previous[item]] = next[item];
  previous[next[item]] = previous[item];
}

void RegisterSearch::Lists::put_back(Index item) {
  next[previous[item]] = item;
  previous[next[item]] = item;
}

RegisterSearch::RegisterSearch(std::span<const HistoryOperation* const> operations) {
  read_items(operations);
  resolve_unknown_writes();
  build_groups();
  build_kinds();
  build_returns();
  build_same_time_order();
}

void RegisterSearch::read_items(std::span<const HistoryOperation* const> operations) {
  items_.reserve(operations.size());
  for (const HistoryOperation* op : operations) {
    SLIP_CHECK(items_.empty() || items_.back().source->invoked_ns <= op->invoked_ns);
    if (op->outcome == Outcome::kFailed || (op->is_undecided() && !op->is_mutation())) continue;
    Item item;
    item.source = op;
    item.must = !op->is_undecided();
    item.model = {op->asked, op->version, op->written, op->seen, op->action, op->outcome, item.must};
    if (!item.must) item.model.outcome = Outcome::kOk;
    if (!item.must) item.model.version = 0;
    items_.push_back(item);
  }
}

// An unknown write whose stamp was read, and is no other write's, happened; what it made has the version that was read.
// One whose stamp was never read is like any other of those.
void RegisterSearch::resolve_unknown_writes() {
  struct Stamp {
    std::uint64_t word = 0;
    std::uint64_t version = 0;  // of a read; 0: a write
    Index item = kNone;
    bool operator<(const Stamp& o) const { return std::tie(word, version, item) < std::tie(o.word, o.version, o.item); }
  };
  std::vector<Stamp> stamps;
  for (Index i = 0; i < items_.size(); ++i) {
    const RegisterOperation& op = items_[i].model;
    if (op.written.form == Form::kStamp) stamps.push_back({op.written.word, 0, i});
    const bool read = op.action == Action::kRead && op.outcome == Outcome::kOk;
    if (read && op.seen.form == Form::kStamp) stamps.push_back({op.seen.word, op.version, i});
  }
  std::sort(stamps.begin(), stamps.end());
  for (std::size_t at = 0; at < stamps.size();) {
    std::size_t writes = 0;
    std::size_t end = at;
    for (; end < stamps.size() && stamps[end].word == stamps[at].word; ++end) writes += stamps[end].version == 0;
    const bool was_read = end - at > writes;
    for (std::size_t w = at; w < at + writes; ++w) {
      Item& item = items_[stamps[w].item];
      if (item.must || item.model.action == Action::kRead) continue;
      if (was_read && writes == 1) {
        item.must = true;
        item.model.version = stamps[at + writes].version;
      } else if (!was_read) {
        item.model.written = kUnseen;
      }
    }
    at = end;
  }
}

void RegisterSearch::build_groups() {
  const auto tells_version = [](const Item& item) {
    return item.must && item.model.outcome != Outcome::kNotFound &&
           !(item.model.outcome == Outcome::kMismatch && item.model.version == 0);
  };
  for (const Item& item : items_) {
    if (tells_version(item)) groups_.push_back({item.model.version, 0});
  }
  const auto by_version = [](const Group& a, const Group& b) { return a.version < b.version; };
  std::sort(groups_.begin(), groups_.end(), by_version);
  const auto same = [](const Group& a, const Group& b) { return a.version == b.version; };
  groups_.erase(std::unique(groups_.begin(), groups_.end(), same), groups_.end());
  for (Item& item : items_) {
    left_ += item.must;
    if (!tells_version(item)) continue;
    const auto at = std::lower_bound(groups_.begin(), groups_.end(), Group{item.model.version, 0}, by_version);
    item.group = static_cast<Index>(at - groups_.begin());
    ++at->left;
  }
}

void RegisterSearch::build_kinds() {
  std::vector<Index> unknown;
  for (Index i = 0; i < items_.size(); ++i) {
    if (!items_[i].must) unknown.push_back(i);
  }
  std::stable_sort(unknown.begin(), unknown.end(),
                   [&](Index a, Index b) { return kind_of(items_[a].model) < kind_of(items_[b].model); });
  std::vector<Index> kind(unknown.size());
  for (std::size_t i = 0; i < unknown.size(); ++i) {
    const bool starts = i == 0 || kind_of(items_[unknown[i]].model) != kind_of(items_[unknown[i - 1]].model);
    kinds_ += starts;
    kind[i] = kinds_ - 1;
  }
  lists_.make(items_.size(), 2 * groups_.size() + 1 + kinds_);
  for (std::size_t i = 0; i < unknown.size(); ++i) lists_.append(kind_list(kind[i]), unknown[i]);
  for (Index i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    if (!item.must) continue;
    const bool makes = item.model.action != Action::kRead && item.model.outcome == Outcome::kOk;
    if (item.group == kNone) {
      lists_.append(absent_list(), i);
    } else {
      lists_.append(makes ? made_list(item.group) : seen_list(item.group), i);
    }
  }
}

void RegisterSearch::build_returns() {
  std::vector<Index> order;
  for (Index i = 0; i < items_.size(); ++i) {
    if (items_[i].model.decided) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return items_[a].source->ended_ns < items_[b].source->ended_ns; });
  returns_.make(items_.size(), 1);
  for (const Index i : order) returns_.append(item_count(), i);
}

// Times alone do not tell that an operation came before another of its client which was invoked at that very time.
void RegisterSearch::build_same_time_order() {
  const auto less = [&](Index a, Index b) {
    const HistoryOperation& x = *items_[a].source;
    const HistoryOperation& y = *items_[b].source;
    return std::tie(x.client, x.ended_ns, a) < std::tie(y.client, y.ended_ns, b);
  };
  std::vector<Index> ended;
  for (Index i = returns_.next[item_count()]; i != item_count(); i = returns_.next[i]) ended.push_back(i);
  std::sort(ended.begin(), ended.end(), less);
  for (Item& item : items_) {
    item.first_before = static_cast<Index>(before_.size());
    const auto from = std::partition_point(ended.begin(), ended.end(), [&](Index i) {
      const HistoryOperation& o = *items_[i].source;
      return std::tie(o.client, o.ended_ns) < std::tie(item.source->client, item.source->invoked_ns);
    });
    for (auto at = from; at != ended.end(); ++at) {
      const HistoryOperation& o = *items_[*at].source;
      if (o.client != item.source->client || o.ended_ns != item.source->invoked_ns) break;
      if (o.precedes(*item.source)) before_.push_back(*at);
    }
    item.end_before = static_cast<Index>(before_.size());
  }
}

RegisterSearch::Verdict RegisterSearch::run(std::uint64_t max_steps) {
  settle();
  nodes_.push_back({steps_.size(), 0});
  while (left_ > 0) {
    if (nodes_.empty()) return Verdict::kViolation;
    if (work_ > max_steps) return Verdict::kGaveUp;
    Node& node = nodes_.back();
    undo_to(node.steps);
    if (choose(node)) {
      settle();
      nodes_.push_back({steps_.size(), 0});
    } else {
      note_dead_end();
      nodes_.pop_back();
    }
  }
  return Verdict::kLinearizable;
}

// No operation that is not in the order yet had ended when this one was invoked.
bool RegisterSearch::may_come_next(const Item& item) const {
  const Index first = returns_.next[item_count()];
  if (first != item_count() && items_[first].source->ended_ns < item.source->invoked_ns) return false;
  for (Index i = item.first_before; i < item.end_before; ++i) {
    if (!items_[before_[i]].done) return false;
  }
  return true;
}

RegisterSearch::Index RegisterSearch::first_that_may(Index list) const {
  const Index first = returns_.next[item_count()];
  const TimeNs end = first == item_count() ? kNever : items_[first].source->ended_ns;
  for (Index i = lists_.next[list]; i != list && items_[i].source->invoked_ns <= end; i = lists_.next[i]) {
    if (may_come_next(items_[i])) return i;
  }
  return kNone;
}

// The lowest version that is not in the order yet cannot come any more.
bool RegisterSearch::is_dead() const {
  if (group_ == groups_.size()) return false;
  const std::uint64_t version = groups_[group_].version;
  if (version != state_.least) return version < state_.least;
  const bool to_make = lists_.next[made_list(group_)] != made_list(group_);
  return to_make || !state_.present || state_.exact;  // what sees an exact version is in the order by now, or never
}

RegisterSearch::Index RegisterSearch::forced_choice() const {
  if (group_ == groups_.size()) return kNone;
  if (lists_.next[made_list(group_)] != made_list(group_)) return first_that_may(made_list(group_));
  // Only seen: an unknown mutation made it, perhaps the last one.
  return state_.present && !state_.exact ? first_that_may(seen_list(group_)) : kNone;
}

// Unknown mutations that were taken just before lead, with `next`, to nothing that is not possible without the last of
// them: leaving those out, which may never have happened, is as good.
bool RegisterSearch::is_useless(const Item& next, const RegisterState& after) const {
  if (!next.must && covers(state_, after)) return true;
  for (std::size_t n = 1; n <= std::min(steps_.size(), kLookedBack); ++n) {
    const Step& step = steps_[steps_.size() - n];
    if (items_[step.item].must) return false;
    if (!next.must && covers(step.before, after)) return true;
    RegisterState without = step.before;
    if (apply(next.model, without) && covers(without, after)) return true;
  }
  return false;
}

bool RegisterSearch::choose(Node& node) {
  if (is_dead()) return false;
  while (node.next_choice <= kinds_) {
    const Index choice = node.next_choice++;
    const Index item = choice == 0 ? forced_choice() : first_that_may(kind_list(choice - 1));
    if (item == kNone) continue;
    RegisterState after = state_;
    if (!apply(items_[item].model, after) || is_useless(items_[item], after)) continue;
    take(item, after);
    if (kinds_ == 0 || is_new()) return true;
    undo_to(node.steps);
  }
  return false;
}

bool RegisterSearch::observe_from(Index list) {
  bool any = false;
  for (Index i = first_that_may(list); i != kNone; i = first_that_may(list)) {
    RegisterState after = state_;
    if (!apply(items_[i].model, after)) break;
    take(i, after);
    any = true;
  }
  return any;
}

// What sees the state that is there, and changes nothing, can come at once.
void RegisterSearch::settle() {
  if (!state_.present) {
    observe_from(absent_list());
  } else if (state_.exact && group_ < groups_.size() && groups_[group_].version == state_.least) {
    if (lists_.next[made_list(group_)] == made_list(group_)) observe_from(seen_list(group_));
  }
}

void RegisterSearch::take(Index i, const RegisterState& after) {
  ++work_;
  steps_.push_back({i, state_});
  state_ = after;
  Item& item = items_[i];
  item.done = true;
  lists_.take(i);
  if (item.model.decided) returns_.take(i);
  left_ -= item.must;
  if (item.must) {
    toggle(i);
  } else {
    picks_.push_back({pick_, i, picks_[pick_].depth + 1});
    pick_ = static_cast<Index>(picks_.size() - 1);
  }
  if (item.group == kNone) return;
  --groups_[item.group].left;
  while (group_ < groups_.size() && groups_[group_].left == 0) ++group_;
}

void RegisterSearch::undo_to(std::size_t steps) {
  for (; steps_.size() > steps; steps_.pop_back()) {
    const Index i = steps_.back().item;
    Item& item = items_[i];
    state_ = steps_.back().before;
    item.done = false;
    lists_.put_back(i);
    if (item.model.decided) returns_.put_back(i);
    left_ += item.must;
    if (item.must) {
      toggle(i);
    } else {
      pick_ = picks_[pick_].parent;
    }
    if (item.group == kNone) continue;
    ++groups_[item.group].left;
    group_ = std::min(group_, item.group);
  }
}

void RegisterSearch::toggle(Index i) {
  hash_.a ^= mix64((i + 1) * kSaltA);
  hash_.b ^= mix64((i + 1) * kSaltB);
}

// Once taken, it could have served later instead: one whose condition names a version could not.
bool RegisterSearch::is_of_use(const Item& unknown) const {
  return !is_conditional(unknown.model.action) || unknown.model.asked == 0;
}

// Whether the unknown mutations picked up to `few` that would still be of use are all among those
// picked up to `many`. False when that would take
// long to tell.
bool RegisterSearch::is_part_of(Index few, Index many) const {
  std::array<Index, kPicksCompared> rest;
  std::size_t size = 0;
  std::size_t missing = 0;
  const auto note = [&](Index item) {
    for (std::size_t i = 0; i < size; ++i) {
      if (rest[i] != item) continue;
      rest[i] = kNone;
      --missing;
      return;
    }
  };
  // Up to where both came from; what `few` has there is in `rest`, until `many` is seen to have it, too.
  Index other = many;
  while (few != other && size < rest.size()) {
    if (picks_[few].depth >= picks_[other].depth) {
      if (is_of_use(items_[picks_[few].item])) {
        rest[size++] = picks_[few].item;
        ++missing;
      }
      few = picks_[few].parent;
    } else {
      other = picks_[other].parent;
    }
  }
  if (few != other) return false;
  for (Index i = many; i != other && missing > 0; i = picks_[i].parent) note(picks_[i].item);
  return missing == 0;
}

// Not where the search has been before, with the same unknown mutations left or more. Two hashes of 64 bits stand for
// the operations done and the state: that they meet by chance is out of the question.
bool RegisterSearch::is_new() {
  std::vector<Index>& before = visited_[{hash_.a ^ hash_of(state_, kSaltA), hash_.b ^ hash_of(state_, kSaltB)}];
  for (const Index pick : before) {
    if (is_part_of(pick, pick_)) return false;
  }
  if (before.size() < kVisitsKept) before.push_back(pick_);
  return true;
}

void RegisterSearch::note_dead_end() {
  if (left_ >= least_left_) return;
  least_left_ = left_;
  stuck_state_ = state_;
  stuck_.clear();
  const auto add = [&](Index i) {
    const auto same = [&](const Stuck& s) { return s.item == i; };
    if (stuck_.size() < kToldStuck && std::none_of(stuck_.begin(), stuck_.end(), same)) {
      stuck_.push_back({i, may_come_next(items_[i])});
    }
  };
  if (group_ < groups_.size()) {
    for (const Index list : {made_list(group_), seen_list(group_)}) {
      if (lists_.next[list] != list) add(lists_.next[list]);
    }
  }
  Index i = returns_.next[item_count()];
  for (std::size_t n = 0; n < kLookedAt && i != item_count(); ++n, i = returns_.next[i]) {
    if (n == 0 || may_come_next(items_[i])) add(i);
  }
  stuck_behind_.clear();
  for (std::size_t n = 0; n < std::min(kLookedAt, steps_.size()) && stuck_behind_.size() < kToldBehind; ++n) {
    const Step& step = steps_[steps_.size() - 1 - n];
    const RegisterState& after = n == 0 ? state_ : steps_[steps_.size() - n].before;
    if (step.before != after) stuck_behind_.push_back(step.item);
  }
}

std::string RegisterSearch::explain() const {
  std::size_t all = 0;
  for (const Item& item : items_) all += item.must;
  std::string text = fmt::format("{} of {} operations that happened can be ordered", all - least_left_, all);
  if (!stuck_behind_.empty()) text += ", at last";
  for (std::size_t i = stuck_behind_.size(); i > 0; --i) {
    text += "\n    " + slipstream::describe(*items_[stuck_behind_[i - 1]].source);
  }
  text += fmt::format("\n  then the object is {}, and none of these can follow:", slipstream::describe(stuck_state_));
  for (const Stuck& stuck : stuck_) {
    text += fmt::format("\n    {}; {}", slipstream::describe(*items_[stuck.item].source),
                        stuck.in_time ? why_not(items_[stuck.item].model, stuck_state_)
                                      : "others of these had ended when it was invoked");
  }
  return text;
}

}  // namespace slipstream
