// Makes room in a master's log, on two levels (RAMCloud, FAST'14, sections 4 to 6):
//  - compaction: what counts in a slot is copied into a compacted slot, and the slot is free at once. The backups do
//  not
//    hear of it: the segment is detached, its replicas stay what digests name.
//  - cleaning: what counts in some slots, compacted or not, is copied into survivors beside the head, which are
//    replicated. When they are whole, digests name them instead of the segments of which nothing counts elsewhere any
//    more: the victims. When such a digest is durable, the victims' replicas are freed. A crash before leaves no trace
//    of the survivors.
// Compaction is for memory, and goes on as long as the segments on the backups are few enough (disk_expansion).
//
// Either way a slot is free as soon as it is copied, so that two free slots suffice to go on.
//
// Level-triggered: advance() compares what is free with what should be, and does some work. Slots are taken for
// cleaning by cost-benefit, (1 - u) * age / (1 + u), u being of the replicas that it would free; for compaction by u
// alone.
//
// Invariants:
//  - victims are closed on all their backups;
//  - digests leave the victims out only when what makes their dead entries dead is durable, and they are forgotten only
//    when all heads before such a digest are closed everywhere;
//  - at most one cleaning is under way, and nothing is copied for two ends at a time;
//  - three free slots are out of reach for appends: one for survivors, one for the head whose digest names them, and
//  one
//    for compaction, which needs no more to go on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kv/store.h"
#include "core/log/log.h"
#include "core/log/side_log.h"
#include "core/replication/replica_manager.h"
#include "core/turn/outbox.h"

namespace slipstream {

class Cleaner {
 public:
  Cleaner(const LogOptions& options, Log& log, KvStore& store, ReplicaManager& replicas);

  // Once a turn. `starved`: an append found no room since the last time.
  void advance(bool starved, Outbox& out);
  // There is something to be copied now.
  bool needs_turn() const { return phase_ == Phase::kCopying || source_.slot != kNoSlot || goes_on_; }
  // Appends find no room, and cleaning cannot make any: all is live.
  bool is_stuck() const { return is_stuck_; }

  enum class Phase : std::uint8_t {
    kIdle,
    kCopying,      // what counts in the sources into survivors
    kReplicating,  // the survivors, or what the victims' dead entries rest on, are not durable
    kWaiting,      // for a head whose digest names the survivors
    kCommitting,   // that digest is not durable
  };
  Phase phase() const { return phase_; }
  std::uint64_t cleanings() const { return cleanings_; }      // that came to their end
  std::uint64_t compactions() const { return compactions_; }  // slots that were made free by copying
  std::string describe() const;
  // What is live, in words; as of the last look.
  std::string utilization() const;

 private:
  struct Range {
    std::uint32_t slot = kNoSlot;
    std::uint32_t at = 0;
    std::uint32_t end = 0;
  };
  // A segment that could be a victim.
  struct Candidate {
    std::uint64_t segment = 0;
    std::uint64_t live = 0;    // what counts of it, in all slots
    std::uint64_t weight = 0;  // shares it among its slots
  };
  // What cleaning a slot would cost and bring.
  struct Offer {
    std::uint32_t slot = kNoSlot;
    std::uint64_t live = 0;
    double segments = 0;  // it would free, those that lie elsewhere, too, in parts
    double score = 0;
  };
  enum class Moving : std::uint8_t { kOn, kRangeDone, kNoRoom };

  // Choosing.
  bool choose(bool starved, Outbox& out);
  void look();
  bool choose_compaction();
  bool choose_cleaning(bool starved);
  Offer offer_of(std::uint32_t slot, const std::vector<std::uint64_t>& wounded) const;
  const Candidate* candidate(std::uint64_t segment) const;
  void add_victims();
  bool is_victim(std::uint64_t segment) const;
  bool has_wounded() const;
  bool has_many_tombstones() const;
  bool is_candidate(std::uint32_t slot) const;
  std::uint64_t live_of(const Usage& usage) const;
  std::uint64_t live_of(std::uint32_t slot) const;
  std::uint64_t oldest_dead() const;
  bool is_all_settled() const;
  // Copying.
  void compact(Outbox& out);
  void copy(Outbox& out);
  Moving move(Range& range, std::size_t& budget, Outbox& out);
  std::byte* room(std::uint64_t segment, std::size_t bytes, Outbox& out);
  std::size_t budget_of_turn() const;
  bool next_source();
  bool release(std::uint32_t slot);
  // Ending.
  void settle(bool starved, Outbox& out);
  void forget_victims(Outbox& out);

  const bool is_on_;
  const std::uint32_t max_detached_;
  const std::uint32_t compaction_detaches_;  // as far as compaction may go: cleaning needs some room for it, too
  const std::uint32_t most_named_;           // beyond, segments on the backups are too many
  std::uint32_t headroom_ = 0;               // free slots beyond the reserve that are aimed at
  Log& log_;
  KvStore& store_;
  ReplicaManager& replicas_;

  Range source_;                       // being emptied, on either level
  std::uint32_t compacted_ = kNoSlot;  // being filled
  // Cleaning.
  Phase phase_ = Phase::kIdle;
  bool is_needless_ = false;            // a rare choice: without any need
  bool is_urgent_ = false;              // its digest cannot wait for the head to be full
  std::vector<std::uint32_t> sources_;  // slots to be emptied, the next one last
  std::vector<std::uint64_t> victims_;  // rising
  std::optional<SideLog> side_;
  LogPosition rests_on_ = 0;       // must be durable
  std::uint64_t digest_head_ = 0;  // kWaiting: any later one, kCommitting: this one

  std::uint64_t oldest_dead_ = 0;
  std::uint32_t idle_turns_ = 0;  // since a look that found nothing
  std::uint32_t largest_ = 0;     // of the entries seen
  bool goes_on_ = false;          // the last look found something
  bool is_stuck_ = false;
  std::uint64_t cleanings_ = 0;
  std::uint64_t compactions_ = 0;
  // As of the last look.
  std::vector<std::uint64_t> completions_;  // bytes of records that count, by slot
  std::vector<Candidate> candidates_;
  std::uint64_t tombstones_ = 0;
};

}  // namespace slipstream
