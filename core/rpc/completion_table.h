// What a server remembers so that each mutation takes effect exactly once (RIFL, Lee et al., SOSP'15, section 3): for
// each client, the answers that the client may still ask for again, and where in the log they are recorded.
//
// A client numbers its mutations from 1, across all servers, and tells with every request below which number it has all
// answers. It has at most kMutationWindow mutations without an answer, so a number's place in the table is fixed.
//
// A record counts while its number is not below what the records themselves tell as answered: so the log alone, cleaned
// or not, says again what must not be executed once more.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/rpc/wire.h"

namespace slipstream {

inline constexpr std::uint64_t kMutationWindow = 1024;

struct MutationResult {
  Status status = Status::kOk;
  std::uint64_t version = 0;
  std::uint64_t counter = 0;  // increments: the value after it
};

// Where the record of an answer lies, in 56 bits; 0: nowhere.
using RecordPlace = std::uint64_t;
inline constexpr RecordPlace kPlaceMask = (RecordPlace{1} << 56) - 1;

class CompletionTable {
 public:
  enum class Verdict : std::uint8_t {
    kNew,       // not executed yet
    kRepeat,    // executed: answer with the result
    kAnswered,  // the client had the answer: drop it
    kTooFar,    // more mutations without an answer than a client may have
  };
  class Client {
   public:
    Client() : slots_(kMutationWindow) {}
    // Also notes `acked_below`, which never falls.
    Verdict look_up(std::uint64_t sequence, std::uint64_t acked_below, MutationResult& result);
    // The record at `place` carries acked_below().
    void record(std::uint64_t sequence, const MutationResult& result, RecordPlace place);
    // From another log, in any order: an older number never takes the place of a younger one. True: the record counts,
    // and has no place yet.
    bool replay(std::uint64_t sequence, std::uint64_t acked_below, const MutationResult& result);
    std::uint64_t acked_below() const { return acked_below_; }

    // Whether the record that lies there counts.
    bool counts(std::uint64_t sequence, RecordPlace place) const {
      const Slot& slot = slots_[sequence % kMutationWindow];
      return slot.sequence == sequence && slot.place == place && sequence >= told_below_;
    }
    // For a record that the table holds.
    void set_place(std::uint64_t sequence, RecordPlace place) {
      slots_[sequence % kMutationWindow].place = place & kPlaceMask;
    }
    // Undoes a replay() of which nothing stays in our log: as far as we know the mutation was never executed.
    void forget(std::uint64_t sequence) { slots_[sequence % kMutationWindow] = {}; }
    // Calls visit(place) for each record that counts.
    template <typename Visit>
    void for_each(Visit&& visit) const {
      if (newest_ == 0) return;
      const std::uint64_t oldest = newest_ < kMutationWindow ? 1 : newest_ - kMutationWindow + 1;
      for (std::uint64_t s = told_below_ > oldest ? told_below_ : oldest; s <= newest_; ++s) {
        const Slot& slot = slots_[s % kMutationWindow];
        if (slot.sequence == s && slot.place != 0) visit(RecordPlace{slot.place});
      }
    }

   private:
    struct Slot {
      std::uint64_t sequence = 0;
      std::uint64_t version = 0;
      std::uint64_t counter = 0;
      std::uint64_t status : 8 = 0;
      std::uint64_t place : 56 = 0;
    };
    static Slot slot_of(std::uint64_t sequence, const MutationResult& result, RecordPlace place);

    std::uint64_t acked_below_ = 1;
    std::uint64_t told_below_ = 1;  // the highest that any record carries
    std::uint64_t newest_ = 0;      // sequence that was recorded
    std::vector<Slot> slots_;
  };

  Client& client(std::uint32_t id) {
    if (id == last_id_ && last_ != nullptr) return *last_;
    const auto [found, is_new] = clients_.try_emplace(id);
    if (is_new) ids_.push_back(id);
    last_id_ = id;
    last_ = &found->second;
    return *last_;
  }
  const Client* find(std::uint32_t id) const {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : &found->second;
  }
  Client* find(std::uint32_t id) {
    const auto found = clients_.find(id);
    return found == clients_.end() ? nullptr : &found->second;
  }
  void drop(std::uint32_t id) {
    if (clients_.erase(id) > 0) std::erase(ids_, id);
    last_ = nullptr;
  }
  // In the order in which they came.
  const std::vector<std::uint32_t>& ids() const { return ids_; }

 private:
  std::unordered_map<std::uint32_t, Client> clients_;  // looked up by key only
  std::vector<std::uint32_t> ids_;
  std::uint32_t last_id_ = 0;
  Client* last_ = nullptr;
};

}  // namespace slipstream
