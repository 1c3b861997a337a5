#include "sim/dispatch_workers.h"

#include <algorithm>

namespace slipstream::sim {

DispatchWorkers::DispatchWorkers(Host& host, CheckContext& context, const HardwareProfile& hardware,
                                 const SimOptions& options, const std::vector<NodeKind>& kinds)
    : host_(host),
      context_(context),
      hw_(hardware),
      waiting_(options.waiting),
      kinds_(kinds),
      workers_(options.workers) {}

CostTable DispatchWorkers::compute_costs(const HardwareProfile& hardware) {
  CostTable costs = hardware.costs();
  for (std::size_t work = 0; work < kWorkKinds; ++work) {
    if (is_transport(static_cast<Work>(work))) costs[work] = 0;
  }
  return costs;
}

TimePs DispatchWorkers::occupy_dispatch(TimePs cost) {
  dispatch_free_ = std::max(dispatch_free_, host_.queue().now()) + cost;
  host_.use.dispatch += cost;
  return dispatch_free_;
}

void DispatchWorkers::arrived() {
  Ring<Event>& inbox = host_.network().inbox(host_.id());
  for (; !inbox.empty(); inbox.pop()) take(inbox.front());
  Ring<Event>& stored = host_.storage().inbox();
  for (; !stored.empty(); stored.pop()) take(stored.front());
}

void DispatchWorkers::take(const Event& event) {
  switch (event.kind) {
    case EventKind::kMessage: {
      const TimePs taken = occupy_dispatch(hw_.cpu_message_in);
      if (event.is_answer) return enqueue(served_, taken, event, Happening::kServed);
      return enqueue(handed_, taken + hw_.cpu_hand_off, event, Happening::kHandedOver);
    }
    case EventKind::kDown:
    case EventKind::kRevoked:
      channel_died(event.channel);
      return enqueue(served_, occupy_dispatch(0), event, Happening::kServed);
    case EventKind::kConnected:
    case EventKind::kGranted:
    case EventKind::kWithdrawn: return enqueue(served_, occupy_dispatch(0), event, Happening::kServed);
    default: return enqueue(served_, occupy_dispatch(hw_.cpu_completion), event, Happening::kServed);
  }
}

void DispatchWorkers::enqueue(Ring<Timed>& ring, TimePs time, const Event& event, Happening kind) {
  if (ring.empty()) push(time, kind, index(host_.id()));
  ring.push({time, event});
}

Event DispatchWorkers::dequeue(Ring<Timed>& ring, Happening kind) {
  const Event event = ring.front().event;
  ring.pop();
  if (!ring.empty()) push(ring.front().time, kind, index(host_.id()));
  return event;
}

void DispatchWorkers::served() {
  const Event event = dequeue(served_, Happening::kServed);
  turn_on_dispatch({&event, 1});
  host_.network().release(event);
}

void DispatchWorkers::alarm() {
  host_.rang();
  if (host_.deadline() <= host_.queue().now()) {
    turn_on_dispatch({});
  } else {
    host_.arm(host_.deadline());
  }
}

void DispatchWorkers::turn_on_dispatch(std::span<const Event> events) {
  host_.step(events, context_);
  post_ops(0);
  host_.finish(host_.queue().now() + host_.outbox().compute_ps());
  rearm();
}

void DispatchWorkers::rearm() {
  const TimePs deadline = host_.deadline();
  if (deadline != kPsNever) host_.arm(std::max(deadline, host_.queue().now() + hw_.cpu_idle_turn));
}

void DispatchWorkers::handed_over() {
  const Event event = dequeue(handed_, Happening::kHandedOver);
  const bool client = is_client(event.peer);
  Ring<Event>& waiting = client ? from_clients_ : from_servers_;
  Worker* const worker = waiting.empty() ? free_worker(client) : nullptr;
  if (worker != nullptr) return turn_on_worker(*worker, event);
  ++host_.use.queued;
  waiting.push(event);
  wake_for_waiting();
}

// A worker that a request which is here now can start on: it has been free for the length of a hand-off.
DispatchWorkers::Worker* DispatchWorkers::free_worker(bool for_client) {
  const TimePs now = host_.queue().now();
  Worker* found = nullptr;
  std::size_t free = 0;
  for (Worker& worker : workers_) {
    if (worker.waiting || worker.free_at + hw_.cpu_hand_off > now) continue;
    ++free;
    if (found == nullptr) found = &worker;
  }
  const std::size_t kept = for_client && waiting_ == Waiting::kSpin && workers_.size() > 1 ? 1 : 0;
  return free > kept ? found : nullptr;
}

void DispatchWorkers::turn_on_worker(Worker& worker, const Event& event) {
  const TimePs now = host_.queue().now();
  host_.step({&event, 1}, context_);
  const Outbox& out = host_.outbox();
  const TimePs compute = out.compute_ps();
  host_.use.workers += compute;
  bool answered = false;
  for (const Op& op : out.ops()) answered |= op.answers == event.tag;
  worker.free_at = now + compute;
  if (!answered && waiting_ == Waiting::kSpin) {
    worker.waiting = true;
    worker.tag = event.tag;
    worker.channel = event.channel;
    worker.since = worker.free_at;
  } else if (!answered) {
    worker.free_at += hw_.cpu_context_switch;
    host_.use.workers += hw_.cpu_context_switch;
  }
  post_ops(event.tag);
  host_.finish(now + compute);
  host_.network().release(event);
  rearm();
  wake_for_waiting();
}

void DispatchWorkers::worker_free() {
  if (wake_at_ != host_.queue().now()) return;  // an earlier one came in between
  wake_at_ = kPsNever;
  offer_waiting();
}

void DispatchWorkers::offer_waiting() {
  while (!from_servers_.empty()) {
    Worker* const worker = free_worker(false);
    if (worker == nullptr) break;
    const Event event = from_servers_.front();
    from_servers_.pop();
    turn_on_worker(*worker, event);
  }
  while (!from_clients_.empty()) {
    Worker* const worker = free_worker(true);
    if (worker == nullptr) break;
    const Event event = from_clients_.front();
    from_clients_.pop();
    turn_on_worker(*worker, event);
  }
  wake_for_waiting();
}

void DispatchWorkers::wake_for_waiting() {
  if (from_servers_.empty() && from_clients_.empty()) return;
  const TimePs now = host_.queue().now();
  TimePs next = kPsNever;
  for (const Worker& worker : workers_) {
    const TimePs at = worker.free_at + hw_.cpu_hand_off;
    if (!worker.waiting && at > now) next = std::min(next, at);
  }
  if (next >= wake_at_) return;
  wake_at_ = next;
  push(next, Happening::kWorkerFree, index(host_.id()));
}

// `own_tag`: of the request whose worker takes this turn; 0 on the dispatch core.
void DispatchWorkers::post_ops(std::uint64_t own_tag) {
  Network& network = host_.network();
  TransferId first = kNone;
  TransferId last = kNone;
  TimePs group = 0;
  for (const Op& op : host_.outbox().ops()) {
    TimePs ready = ready_time(op, own_tag);
    const TransferId id = network.prepare(host_.id(), op);
    if (id == kNone) continue;
    TimePs& order = network.last_ready(id);
    ready = order = std::max(ready, order);
    network.next(id) = kNone;
    if (first != kNone && ready == group) {
      network.next(last) = id;
    } else {
      if (first != kNone) push(group, Happening::kOpsReady, first);
      first = id;
      group = ready;
    }
    last = id;
  }
  if (first != kNone) push(group, Happening::kOpsReady, first);
}

TimePs DispatchWorkers::ready_time(const Op& op, std::uint64_t own_tag) {
  const TimePs computed = host_.queue().now() + op.compute_ps;
  if (op.answers == 0) return computed;
  if (op.answers == own_tag) return computed + hw_.cpu_hand_off;
  answer_appears(op.answers, computed);
  return computed + hw_.cpu_hand_off + (waiting_ == Waiting::kYield ? hw_.cpu_context_switch : 0);
}

void DispatchWorkers::answer_appears(std::uint64_t tag, TimePs time) {
  for (Worker& worker : workers_) {
    if (!worker.waiting || worker.tag != tag) continue;
    worker.waiting = false;
    host_.use.waiting += std::max<TimePs>(time - worker.since, 0);
    worker.free_at = std::max(worker.since, time);
    wake_for_waiting();
    return;
  }
}

void DispatchWorkers::channel_died(Channel channel) {
  const TimePs now = host_.queue().now();
  for (Worker& worker : workers_) {
    if (!worker.waiting || worker.channel != channel) continue;
    worker.waiting = false;
    host_.use.waiting += std::max<TimePs>(now - worker.since, 0);
    worker.free_at = std::max(worker.since, now);
  }
  wake_for_waiting();
}

void DispatchWorkers::ops_ready(TransferId first) {
  Network& network = host_.network();
  for (TransferId id = first; id != kNone;) {
    const TransferId next = network.next(id);
    const OpKind kind = network.op_kind(id);
    const TimePs cost = kind == OpKind::kSend                              ? hw_.cpu_message_out
                        : kind == OpKind::kWrite || kind == OpKind::kRead ? hw_.cpu_post_write
                                                                           : 0;
    network.launch(id, occupy_dispatch(cost));
    id = next;
  }
}

}  // namespace slipstream::sim
