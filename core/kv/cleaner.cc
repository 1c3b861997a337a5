#include "core/kv/cleaner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/mutation.h"

namespace slipstream {
namespace {

constexpr std::uint32_t kReserve = 2;          // a slot for survivors or an urgent head, and one for compaction
constexpr std::size_t kBudget = 64 * kKiB;     // of entries looked at in one turn
constexpr std::size_t kStarved = 4;            // times as much, while appends find no room
constexpr std::size_t kLookAhead = 8;          // entries whose buckets are fetched at the same time
constexpr std::uint64_t kFull = 98;            // per cent: what is fuller is not worth copying
constexpr std::uint32_t kIdleTurns = 16;       // between looks, while they find nothing
constexpr double kWounded = 1e30;              // the score of a slot that holds some of a wounded segment
constexpr std::uint64_t kTombstoneShare = 20;  // 1/20 of memory in tombstones: the oldest segments go first

}  // namespace

Cleaner::Cleaner(const LogOptions& options, Log& log, KvStore& store, ReplicaManager& replicas)
    : is_on_(options.cleans()),
      max_detached_(options.max_detached()),
      compaction_detaches_(max_detached_ - std::min(max_detached_, log.slots() / 8 + 4)),
      most_named_(options.expanded()),
      headroom_(1 + log.slots() / 64),
      log_(log),
      store_(store),
      replicas_(replicas),
      completions_(log.slots()) {
  if (is_on_) log_.set_reserve(kReserve);
}

void Cleaner::advance(bool starved, Outbox& out) {
  if (!is_on_) {
    is_stuck_ = is_stuck_ || starved;
    return;
  }
  if (log_.head_slot() == kNoSlot) return;
  if (phase_ > Phase::kCopying) settle(starved, out);
  if (phase_ != Phase::kCopying && source_.slot == kNoSlot) goes_on_ = choose(starved, out);
  if (phase_ == Phase::kCopying) {
    copy(out);
  } else if (source_.slot != kNoSlot) {
    compact(out);
  }
}

// ---- Choosing.

bool Cleaner::choose(bool starved, Outbox& out) {
  is_needless_ = out.rare(Rare::kNeedlessCleaning);
  const bool is_low = log_.free_slots() <= log_.reserve() + headroom_ || out.rare(Rare::kNeedlessCompaction);
  const bool is_wide = log_.named() >= most_named_;
  if (!is_low) is_stuck_ = false;
  if (!is_low && !is_wide && !is_needless_ && !has_wounded()) return false;
  if (!starved && idle_turns_ > 0 && idle_turns_-- > 0) return false;
  look();
  const bool is_pressed = is_wide || is_needless_ || has_wounded() || has_many_tombstones() ||
                          log_.detached().size() >= compaction_detaches_;
  if (is_pressed && phase_ == Phase::kIdle && choose_cleaning(starved)) return true;
  if (is_low && choose_compaction()) return true;
  if (is_low && phase_ == Phase::kIdle && choose_cleaning(starved)) return true;
  idle_turns_ = kIdleTurns;
  is_stuck_ = starved && phase_ == Phase::kIdle && is_all_settled();
  return false;
}

bool Cleaner::has_wounded() const { return replicas_.has_wounded() && !mutated(Mutant::kWoundedStay); }

bool Cleaner::has_many_tombstones() const {
  return tombstones_ * kTombstoneShare > log_.slots() * log_.segment_bytes();
}

// Closed on all its backups, and part of the log.
bool Cleaner::is_candidate(std::uint32_t slot) const {
  const Segment& segment = log_.slot(slot);
  return segment.listed && segment.closed && replicas_.is_whole(slot);
}

// False: segments are still on their way to be candidates.
bool Cleaner::is_all_settled() const {
  if (has_wounded()) return false;
  for (std::uint32_t i = 0; i < log_.slots(); ++i) {
    const Segment& segment = log_.slot(i);
    if (segment.use == SegmentUse::kFree || segment.use == SegmentUse::kCompacted || i == log_.head_slot()) continue;
    if (!is_candidate(i)) return false;
  }
  return true;
}

std::uint64_t Cleaner::live_of(const Usage& usage) const {
  return usage.live + (usage.needed_until >= oldest_dead_ ? usage.tombstones : 0);
}

std::uint64_t Cleaner::live_of(std::uint32_t slot) const {
  const Segment& segment = log_.slot(slot);
  std::uint64_t live = live_of(segment.usage) + completions_[slot];
  for (const Part& part : segment.parts) live += live_of(part.usage);
  return live;
}

// The oldest segment whose replicas hold dead objects. Victims are as good as gone: they go when the survivors come.
std::uint64_t Cleaner::oldest_dead() const {
  std::uint64_t oldest = ~std::uint64_t{0};
  for (std::uint32_t i = 0; i < log_.slots(); ++i) {
    const Segment& segment = log_.slot(i);
    if (segment.use == SegmentUse::kFree || !segment.usage.has_dead) continue;
    const std::uint64_t id = index(segment.identity.segment);
    if (id < oldest && !is_victim(id)) oldest = id;
  }
  for (const Detached& segment : log_.detached()) {
    if (segment.segment >= oldest) break;
    if (!is_victim(segment.segment)) oldest = segment.segment;
  }
  return oldest;
}

// Only for what is copied into survivors: to all others, victims are there until they are forgotten.
bool Cleaner::is_victim(std::uint64_t segment) const {
  return phase_ == Phase::kCopying && std::binary_search(victims_.begin(), victims_.end(), segment);
}

// Sums up what counts, by slot and by segment.
void Cleaner::look() {
  oldest_dead_ = oldest_dead();
  tombstones_ = 0;
  candidates_.clear();
  for (const Detached& segment : log_.detached()) {
    if (segment.listed) candidates_.push_back({segment.segment, 0, 0});
  }
  for (std::uint32_t i = 0; i < log_.slots(); ++i) {
    if (is_candidate(i)) candidates_.push_back({index(log_.slot(i).identity.segment), 0, 0});
  }
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.segment < b.segment; });
  const auto add = [this](std::uint64_t segment, std::uint64_t live, std::uint64_t weight) {
    auto* const found = const_cast<Candidate*>(candidate(segment));
    if (found == nullptr) return;
    found->live += live;
    found->weight += weight;
  };
  for (std::uint32_t i = 0; i < log_.slots(); ++i) {
    const Segment& segment = log_.slot(i);
    tombstones_ += segment.usage.tombstones;
    if (segment.listed) add(index(segment.identity.segment), live_of(segment.usage), live_of(segment.usage) + 1);
    for (const Part& part : segment.parts) {
      tombstones_ += part.usage.tombstones;
      add(part.segment, live_of(part.usage), live_of(part.usage) + 1);
    }
  }
  std::fill(completions_.begin(), completions_.end(), 0);
  store_.for_each_completion([&](EntryRef at) {
    completions_[slot_of(at)] += KvStore::kCompletionBytes;
    add(log_.segment_at(at), KvStore::kCompletionBytes, 0);
  });
}

const Cleaner::Candidate* Cleaner::candidate(std::uint64_t segment) const {
  const auto found = std::lower_bound(candidates_.begin(), candidates_.end(), segment,
                                      [](const Candidate& c, std::uint64_t id) { return c.segment < id; });
  return found == candidates_.end() || found->segment != segment ? nullptr : &*found;
}

// The emptiest slot; the copies must find room.
bool Cleaner::choose_compaction() {
  const bool may_detach = log_.detached().size() < compaction_detaches_;
  std::uint32_t best = kNoSlot;
  std::uint64_t least = log_.segment_bytes() * kFull / 100;
  for (std::uint32_t i = 0; i < log_.slots(); ++i) {
    const Segment& segment = log_.slot(i);
    const bool is_compacted = segment.use == SegmentUse::kCompacted;
    if (!is_compacted && !(may_detach && is_candidate(i))) continue;
    // Of the one that is being filled, what is not filled yet is no loss.
    const std::uint64_t live = live_of(i) + (i == compacted_ ? log_.segment_bytes() - segment.appended : 0);
    if (live >= least) continue;
    least = live;
    best = i;
  }
  if (best == kNoSlot) return false;
  if (live_of(best) == 0) return release(best);
  if (best == compacted_) compacted_ = kNoSlot;
  const std::uint64_t left = compacted_ == kNoSlot ? 0 : log_.segment_bytes() - log_.slot(compacted_).appended;
  if (log_.free_slots() == 0 && left < least) return false;
  const Segment& segment = log_.slot(best);
  source_ = {best, segment.parts.empty() ? 0 : segment.parts.front().from, segment.appended};
  return true;
}

Cleaner::Offer Cleaner::offer_of(std::uint32_t slot, const std::vector<std::uint64_t>& wounded) const {
  const Segment& segment = log_.slot(slot);
  Offer offer{slot, live_of(slot), 0, 0};
  double ages = 0;
  double oldest = 0;
  bool has_wounded = false;
  const auto add = [&](std::uint64_t id, const Usage& usage) {
    const Candidate* const c = candidate(id);
    if (c == nullptr || c->live == 0) return;
    const double share = static_cast<double>(live_of(usage) + 1) / static_cast<double>(c->weight);
    const auto age = static_cast<double>(log_.last_segment() - id + 1);
    offer.segments += share;
    ages += share * age;
    oldest = std::max(oldest, age);
    has_wounded = has_wounded || std::binary_search(wounded.begin(), wounded.end(), id);
  };
  if (segment.listed) add(index(segment.identity.segment), segment.usage);
  for (const Part& part : segment.parts) add(part.segment, part.usage);
  if (offer.segments == 0) return offer;
  const double u = static_cast<double>(offer.live) / (offer.segments * static_cast<double>(log_.segment_bytes()));
  offer.score = u * 100 > static_cast<double>(kFull) ? 0 : (1 - u) * ages / offer.segments / (1 + u);
  if (has_many_tombstones()) offer.score = oldest;
  if (has_wounded) offer.score = kWounded;
  return offer;
}

// By cost-benefit; for the tombstones' sake, the oldest; and first of all those that have lost a replica.
bool Cleaner::choose_cleaning(bool starved) {
  const auto wounded = has_wounded() ? replicas_.wounded() : std::vector<std::uint64_t>();
  std::vector<Offer> offers;
  for (std::uint32_t i = 0; i < log_.slots(); ++i) {
    if (!is_candidate(i) && log_.slot(i).use != SegmentUse::kCompacted) continue;
    const Offer offer = offer_of(i, wounded);
    if (offer.score > 0) offers.push_back(offer);
  }
  std::sort(offers.begin(), offers.end(),
            [](const Offer& a, const Offer& b) { return a.score != b.score ? a.score > b.score : a.slot < b.slot; });
  const auto empty =
      std::count_if(candidates_.begin(), candidates_.end(), [](const Candidate& c) { return c.live == 0; });
  // Survivors are closed when the next entry does not fit.
  const auto fits = static_cast<double>(log_.side_bytes() - std::min<std::uint64_t>(largest_, log_.side_bytes() / 2));
  const double aim = std::max(4.0, log_.slots() / 16.0);  // segments fewer than before
  double live = 0;
  double segments = static_cast<double>(empty);
  sources_.clear();
  if (log_.has_slot_for_side(true)) {
    for (const Offer& offer : offers) {
      const bool is_enough = segments >= std::ceil(live / fits) + aim || live > fits * log_.slots() / 2;
      if (is_enough && offer.score < kWounded) break;
      sources_.push_back(offer.slot);
      live += static_cast<double>(offer.live);
      segments += offer.segments;
    }
  }
  const bool is_forced = has_many_tombstones() || is_needless_ || !wounded.empty();
  is_urgent_ = starved || is_forced || log_.detached().size() >= compaction_detaches_;
  // A head that is given up before it is full is a segment more.
  const bool gains = segments > std::ceil(live / fits) + (is_urgent_ ? 1 : 0);
  // What is forced is done also when all that it takes is to forget segments of which nothing counts.
  if (!gains && !(is_forced && (!sources_.empty() || empty > 0))) return false;
  std::reverse(sources_.begin(), sources_.end());
  side_.emplace(log_, true);
  phase_ = Phase::kCopying;
  victims_.clear();
  return true;
}

// What counts nowhere any more need not be named. Once it is said that a segment goes, others rely on it.
void Cleaner::add_victims() {
  look();
  for (const Candidate& c : candidates_) {
    if (c.live == 0) victims_.push_back(c.segment);
  }
  std::sort(victims_.begin(), victims_.end());
  victims_.erase(std::unique(victims_.begin(), victims_.end()), victims_.end());
  oldest_dead_ = oldest_dead();
}

// ---- Copying.

// At most a segment, so that small logs, which are there to be looked at, show all states.
std::size_t Cleaner::budget_of_turn() const {
  const std::size_t budget = std::min(kBudget, log_.segment_bytes());
  return log_.free_slots() <= log_.reserve() ? kStarved * budget : budget;
}

void Cleaner::compact(Outbox& out) {
  std::size_t budget = budget_of_turn();
  Moving moving = Moving::kOn;
  while (moving == Moving::kOn && budget > 0) moving = move(source_, budget, out);
  if (moving == Moving::kOn) return;
  const std::uint32_t slot = std::exchange(source_.slot, kNoSlot);
  if (moving == Moving::kRangeDone && release(slot)) {
    ++compactions_;
  } else if (log_.slot(slot).use != SegmentUse::kCompacted) {
    log_.note_dead(slot);  // what was copied can die elsewhere without its segment hearing of it
  }
}

void Cleaner::copy(Outbox& out) {
  std::size_t budget = budget_of_turn();
  bool has_room = true;
  while (budget > 0 && has_room) {
    if (source_.slot == kNoSlot && !next_source()) break;
    const Moving moving = move(source_, budget, out);
    if (moving == Moving::kRangeDone) release(std::exchange(source_.slot, kNoSlot));
    has_room = moving != Moving::kNoRoom;
  }
  if (has_room && (source_.slot != kNoSlot || !sources_.empty())) return;
  source_.slot = kNoSlot;
  add_victims();
  if (victims_.empty() && side_->slots().empty()) {
    phase_ = Phase::kIdle;
    return;
  }
  side_->close(out);
  rests_on_ = log_.appended_position();
  phase_ = Phase::kReplicating;
}

bool Cleaner::next_source() {
  if (sources_.empty()) return false;
  const std::uint32_t slot = sources_.back();
  sources_.pop_back();
  add_victims();
  if (slot == compacted_) compacted_ = kNoSlot;
  const Segment& segment = log_.slot(slot);
  source_ = {slot, segment.parts.empty() ? 0 : segment.parts.front().from, segment.appended};
  return true;
}

// A few entries at a time, so that their buckets come into the cache together.
Cleaner::Moving Cleaner::move(Range& range, std::size_t& budget, Outbox& out) {
  std::array<KvStore::Entry, kLookAhead> ahead;
  std::size_t n = 0;
  for (std::uint32_t at = range.at; n < kLookAhead && at < range.end; ++n) {
    ahead[n] = store_.entry_at(EntryRef{range.slot} << 24 | at);
    at += ahead[n].bytes;
  }
  for (std::size_t i = 0; i < n; ++i) {
    KvStore::Entry& entry = ahead[i];
    store_.examine(entry, oldest_dead_, out);
    if (entry.counts) {
      largest_ = std::max(largest_, entry.bytes);
      std::byte* const to = room(log_.segment_at(entry.at), entry.bytes, out);
      if (to == nullptr) return Moving::kNoRoom;
      std::memcpy(to, log_.entry(entry.at), entry.bytes);
      store_.moved(entry, log_.ref(to));
      out.work(Work::kLogAppend);
      out.work(Work::kCopyBytes, entry.bytes);
      out.work(Work::kCleanedBytes, entry.bytes);
    } else {
      store_.dropped(entry);
    }
    range.at += entry.bytes;
    budget -= std::min<std::size_t>(budget, entry.bytes);
  }
  return range.at < range.end ? Moving::kOn : Moving::kRangeDone;
}

std::byte* Cleaner::room(std::uint64_t segment, std::size_t bytes, Outbox& out) {
  if (phase_ == Phase::kCopying) return side_->append(bytes, out);
  std::byte* at = compacted_ == kNoSlot ? nullptr : log_.append_compacted(compacted_, segment, bytes);
  if (at != nullptr) return at;
  const std::uint32_t slot = log_.open_compacted();
  if (slot == kNoSlot) return nullptr;
  compacted_ = slot;
  return log_.append_compacted(slot, segment, bytes);
}

// Nothing in the slot counts any more: its memory can be another's. Its segment stays on its backups.
bool Cleaner::release(std::uint32_t slot) {
  if (log_.slot(slot).use == SegmentUse::kCompacted) {
    if (slot == compacted_) compacted_ = kNoSlot;
    log_.release(slot);
    return true;
  }
  if (!replicas_.is_whole(slot) || log_.detached().size() >= max_detached_) return false;
  replicas_.detach(slot);
  log_.detach(slot);
  return true;
}

// ---- Ending.

void Cleaner::settle(bool starved, Outbox& out) {
  if (phase_ == Phase::kReplicating) {
    const auto is_whole = [&](std::uint32_t slot) {
      return replicas_.is_whole(slot) || mutated(Mutant::kSurvivorsEarly);
    };
    if (!std::all_of(side_->slots().begin(), side_->slots().end(), is_whole)) return;
    if (replicas_.durable_position() < rests_on_ && !mutated(Mutant::kRestsOnNothing)) return;
    side_->list();
    for (const std::uint64_t victim : victims_) {
      const std::uint32_t slot = log_.find(victim);
      if (slot == kNoSlot) {
        log_.retire_detached(victim);
      } else {
        log_.retire(slot);
      }
    }
    digest_head_ = index(log_.head().identity.segment);
    phase_ = Phase::kWaiting;
  }
  if (phase_ == Phase::kWaiting) {
    is_urgent_ = is_urgent_ || starved || has_wounded();
    if (is_urgent_ && index(log_.head().identity.segment) == digest_head_ && log_.has_slot_for_head(true))
      log_.roll(out, true);
    if (index(log_.head().identity.segment) == digest_head_) return;
    digest_head_ = index(log_.head().identity.segment);
    phase_ = Phase::kCommitting;
  }
  if (phase_ != Phase::kCommitting) return;
  if (replicas_.is_digest_durable(digest_head_) || mutated(Mutant::kFreedEarly)) forget_victims(out);
}

void Cleaner::forget_victims(Outbox& out) {
  for (const std::uint64_t victim : victims_) {
    const std::uint32_t slot = log_.find(victim);
    if (slot == kNoSlot) {
      replicas_.forget_detached(victim, out);
      log_.release_detached(victim);
    } else {
      replicas_.forget(slot, out);
      log_.release(slot);
    }
  }
  victims_.clear();
  side_.reset();
  phase_ = Phase::kIdle;
  ++cleanings_;
}

std::string Cleaner::utilization() const {
  std::uint64_t live = 0;
  for (std::uint32_t i = 0; i < log_.slots(); ++i) live += live_of(i);
  const double all = static_cast<double>(log_.slots() * log_.segment_bytes());
  return fmt::format("{:.1f} % live, {:.1f} % of it tombstones, {} slots free", 100.0 * static_cast<double>(live) / all,
                     live == 0 ? 0.0 : 100.0 * static_cast<double>(tombstones_) / static_cast<double>(live),
                     log_.free_slots());
}

std::string Cleaner::describe() const {
  static constexpr std::array kNames = {"idle", "copying", "replicating", "waiting", "committing"};
  return fmt::format(
      "cleaner {} sources {} victims {} survivors {} head {} source {} at {} into {} detached {} done {}+{}",
      kNames[static_cast<std::size_t>(phase_)], sources_.size(), victims_.size(), side_ ? side_->slots().size() : 0,
      digest_head_, static_cast<int>(source_.slot), source_.at, static_cast<int>(compacted_), log_.detached().size(),
      cleanings_, compactions_);
}

}  // namespace slipstream
