// Looks for an order of one key's operations that the register allows and real time does not contradict: the search of
// Wing and Gong (1993) with Lowe's memory of where it has been (2017).
//
// Versions leave it little to choose. Rules that cut without losing an order:
//  - operations that tell a version come in the order of their versions;
//  - what only observes a state comes as soon as that state is there, and before the state changes;
//  - a write of unknown outcome whose stamp was read did happen, with the version that was read;
//  - unknown mutations that would do the same are taken in the order of their invocation, and only after all else has
//    failed; none when what follows leads to the same without it.
// So it goes back only over mutations of unknown outcome; without them its time is that of sorting.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/check/register_model.h"
#include "core/workload/history.h"

namespace slipstream {

class RegisterSearch {
 public:
  enum class Verdict : std::uint8_t { kLinearizable, kViolation, kGaveUp };

  // The operations of one key, in the order of their invocation; they must outlive the search.
  explicit RegisterSearch(std::span<const HistoryOperation* const> operations);

  Verdict run(std::uint64_t max_steps);
  std::uint64_t steps() const { return work_; }
  // After a violation: how far an order leads, and what cannot follow.
  std::string explain() const;

 private:
  using Index = std::uint32_t;
  static constexpr Index kNone = UINT32_MAX;

  struct Item {
    RegisterOperation model;
    const HistoryOperation* source = nullptr;
    Index group = kNone;     // of its version
    Index first_before = 0;  // in before_: operations of the same client that ended when it was invoked
    Index end_before = 0;
    bool must = true;  // it happened
    bool done = false;
  };
  struct Group {
    std::uint64_t version = 0;
    Index left = 0;  // items not done
  };
  struct Step {
    Index item = kNone;
    RegisterState before;
  };
  struct Stuck {
    Index item = kNone;
    bool in_time = false;  // what stands against it is not real time
  };
  struct Node {
    std::size_t steps = 0;
    Index next_choice = 0;  // 0: what versions ask for; then the kinds of unknown mutations
  };
  // An unknown mutation that was taken, behind those before it.
  struct Pick {
    Index parent = 0;
    Index item = kNone;
    Index depth = 0;
  };
  struct Visited {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    bool operator==(const Visited&) const = default;
  };
  struct VisitedHash {
    std::size_t operator()(const Visited& v) const { return static_cast<std::size_t>(v.a); }
  };
  // Members by item; ends and beginnings at the list's own number. Taking out and putting back in reverse order leave
  // it as it was.
  struct Lists {
    std::vector<Index> next;
    std::vector<Index> previous;
    void make(std::size_t members, std::size_t lists);
    void append(Index list, Index item);
    void take(Index item);
    void put_back(Index item);
  };

  void read_items(std::span<const HistoryOperation* const> operations);
  void resolve_unknown_writes();
  void build_groups();
  void build_kinds();
  void build_returns();
  void build_same_time_order();

  // Lists: of each version what observes and what makes it, of absence, of each kind of unknown mutation.
  Index seen_list(Index group) const { return item_count() + 2 * group; }
  Index made_list(Index group) const { return item_count() + 2 * group + 1; }
  Index absent_list() const { return item_count() + 2 * static_cast<Index>(groups_.size()); }
  Index kind_list(Index kind) const { return absent_list() + 1 + kind; }
  Index item_count() const { return static_cast<Index>(items_.size()); }

  bool may_come_next(const Item& item) const;
  Index first_that_may(Index list) const;
  bool is_dead() const;
  Index forced_choice() const;
  bool is_useless(const Item& next, const RegisterState& after) const;
  bool choose(Node& node);
  bool observe_from(Index list);
  void settle();
  void take(Index item, const RegisterState& after);
  void undo_to(std::size_t steps);
  void toggle(Index item);
  bool is_of_use(const Item& unknown) const;
  bool is_part_of(Index few, Index many) const;
  bool is_new();
  void note_dead_end();

  std::vector<Item> items_;
  std::vector<Index> before_;
  std::vector<Group> groups_;
  Index kinds_ = 0;
  Lists lists_;
  Lists returns_;         // decided items by the time of their answers
  std::size_t left_ = 0;  // items that must and are not done

  RegisterState state_;
  Index group_ = 0;  // the first that is not done
  std::vector<Step> steps_;
  std::vector<Node> nodes_;
  std::vector<Pick> picks_{{}};                                           // a tree; its root is no pick
  Index pick_ = 0;                                                        // the last on the way to here
  Visited hash_;                                                          // of the items done that must
  std::unordered_map<Visited, std::vector<Index>, VisitedHash> visited_;  // and the picks that led there
  std::uint64_t work_ = 0;

  // The dead end with the fewest left.
  std::size_t least_left_ = SIZE_MAX;
  RegisterState stuck_state_;
  std::vector<Index> stuck_behind_;  // the last mutations in the order
  std::vector<Stuck> stuck_;
};

}  // namespace slipstream
