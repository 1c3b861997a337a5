#include "sim/run_to_completion.h"

#include <algorithm>

namespace slipstream::sim {

void RunToCompletion::stood_still(TimePs by) {
  if (busy_until_ >= host_.queue().now() - by) busy_until_ += by;
}

void RunToCompletion::arrived() {
  if (scheduled_) return;
  if (busy_until_ <= host_.queue().now()) return turn();
  scheduled_ = true;
  host_.queue().push(busy_until_, static_cast<std::uint32_t>(Happening::kTurn), index(host_.id()));
}

void RunToCompletion::turn() {
  scheduled_ = false;
  const TimePs now = host_.queue().now();
  std::size_t n = host_.fabric().poll(events_);
  n += host_.storage().poll(std::span(events_).subspan(n));
  host_.step({events_.data(), n}, context_);

  Outbox& out = host_.outbox();
  for (const Op& op : out.ops()) {
    const TransferId transfer = host_.network().prepare(host_.id(), op);
    if (transfer != kNone) host_.network().launch(transfer, now + op.transport_ps + op.compute_ps);
  }
  const TimePs busy = std::max(idle_turn_, out.transport_ps() + out.compute_ps());
  host_.use.dispatch += busy;
  busy_until_ = now + busy;
  host_.finish(busy_until_);
  host_.took_turn(0, now, busy, n);

  const TimePs deadline = host_.deadline();
  if (pending() || deadline <= busy_until_) {
    arrived();
  } else {
    host_.arm(deadline);
  }
}

void RunToCompletion::alarm() {
  host_.rang();
  const TimePs deadline = host_.deadline();
  if (deadline <= host_.queue().now()) {
    arrived();
  } else {
    host_.arm(deadline);
  }
}

}  // namespace slipstream::sim
