#include "core/rpc/completion_table.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/mutation.h"

namespace slipstream {

CompletionTable::Client::Slot CompletionTable::Client::slot_of(std::uint64_t sequence, const MutationResult& result,
                                                               RecordPlace place) {
  Slot slot;
  slot.sequence = sequence;
  slot.version = result.version;
  slot.counter = result.counter;
  slot.status = static_cast<std::uint8_t>(result.status);
  slot.place = place & kPlaceMask;
  return slot;
}

CompletionTable::Verdict CompletionTable::Client::look_up(std::uint64_t sequence, std::uint64_t acked_below,
                                                          MutationResult& result) {
  if (acked_below > acked_below_) acked_below_ = acked_below;
  if (sequence < acked_below_) return Verdict::kAnswered;
  if (sequence - acked_below_ >= kMutationWindow) return Verdict::kTooFar;
  const Slot& slot = slots_[sequence % kMutationWindow];
  if (slot.sequence != sequence || mutated(Mutant::kNoExactlyOnce)) return Verdict::kNew;
  result = {static_cast<Status>(slot.status), slot.version, slot.counter};
  return Verdict::kRepeat;
}

void CompletionTable::Client::record(std::uint64_t sequence, const MutationResult& result, RecordPlace place) {
  Slot& slot = slots_[sequence % kMutationWindow];
  SLIP_CHECK(slot.sequence < acked_below_ || mutated(Mutant::kNoExactlyOnce),
             "sequence {} would drop {}, which its client may ask for again", sequence, slot.sequence);
  slot = slot_of(sequence, result, place);
  told_below_ = acked_below_;
  newest_ = std::max(newest_, sequence);
}

bool CompletionTable::Client::replay(std::uint64_t sequence, std::uint64_t acked_below, const MutationResult& result) {
  acked_below_ = std::max(acked_below_, acked_below);
  told_below_ = std::max(told_below_, acked_below);
  if (sequence < told_below_) return false;
  Slot& slot = slots_[sequence % kMutationWindow];
  if (sequence < slot.sequence || (sequence == slot.sequence && slot.place != 0)) return false;
  slot = slot_of(sequence, result, 0);
  newest_ = std::max(newest_, sequence);
  return true;
}

}  // namespace slipstream
