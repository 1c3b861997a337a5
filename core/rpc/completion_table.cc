#include "core/rpc/completion_table.h"

#include "core/base/check.h"

namespace slipstream {

CompletionTable::Verdict CompletionTable::Client::look_up(std::uint64_t sequence, std::uint64_t acked_below,
                                                          MutationResult& result) {
  if (acked_below > acked_below_) acked_below_ = acked_below;
  if (sequence < acked_below_) return Verdict::kAnswered;
  if (sequence - acked_below_ >= kMutationWindow) return Verdict::kTooFar;
  const Slot& slot = slots_[sequence % kMutationWindow];
  if (slot.sequence != sequence) return Verdict::kNew;
  result = slot.result;
  return Verdict::kRepeat;
}

void CompletionTable::Client::record(std::uint64_t sequence, const MutationResult& result) {
  Slot& slot = slots_[sequence % kMutationWindow];
  SLIP_CHECK(slot.sequence < acked_below_, "sequence {} would drop {}, which its client may ask for again", sequence,
             slot.sequence);
  slot = {sequence, result};
}

}  // namespace slipstream
