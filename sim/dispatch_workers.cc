#include "sim/dispatch_workers.h"

#include <algorithm>

#include "core/rpc/wire.h"

namespace slipstream::sim {

DispatchWorkers::DispatchWorkers(Host& host, CheckContext& context, const HardwareProfile& hardware,
                                 const SimOptions& options, const std::vector<NodeKind>& kinds)
    : host_(host),
      context_(context),
      hw_(&hardware),
      waiting_(options.waiting),
      kinds_(kinds),
      workers_(options.workers + 1) {}

CostTable DispatchWorkers::compute_costs(const HardwareProfile& hardware) {
  CostTable costs = hardware.costs();
  for (std::size_t work = 0; work < kWorkKinds; ++work) {
    if (is_transport(static_cast<Work>(work))) costs[work] = 0;
  }
  return costs;
}

void DispatchWorkers::stood_still(TimePs by) {
  const TimePs since = host_.queue().now() - by;
  const auto later = [=](TimePs& time) {
    if (time >= since && time != kPsNever) time += by;
  };
  later(dispatch_free_);
  later(wake_at_);
  for (Worker& worker : workers_) {
    later(worker.free_at);
    if (worker.waiting) later(worker.since);
  }
  for (Ring<Timed>* waiting : {&served_, &from_servers_, &from_clients_}) {
    for (std::size_t i = 0; i < waiting->size(); ++i) later((*waiting)[i].time);
  }
}

void DispatchWorkers::end_life() {
  for (Ring<Timed>* waiting : {&served_, &from_servers_, &from_clients_}) {
    for (; !waiting->empty(); waiting->pop()) host_.network().release(waiting->front().event);
  }
}

TimePs DispatchWorkers::occupy_dispatch(TimePs cost) {
  dispatch_free_ = std::max(dispatch_free_, host_.queue().now()) + cost;
  host_.use.dispatch += cost;
  return dispatch_free_;
}

void DispatchWorkers::arrived() {
  Ring<Event>& inbox = host_.network().inbox(host_.id());
  while (!inbox.empty()) {
    const Event event = inbox.front();
    inbox.pop();
    take(event);
  }
  Ring<Event>& stored = host_.storage().inbox();
  while (!stored.empty()) {
    const Event event = stored.front();
    stored.pop();
    take(event);
  }
}

namespace {

bool is_of_membership(ConstBytes message) {
  RpcMessage parsed;
  return parse(message, parsed) && slipstream::is_of_membership(parsed.header.opcode);
}

}  // namespace

void DispatchWorkers::take(const Event& event) {
  switch (event.kind) {
    case EventKind::kMessage: {
      if (event.is_answer || is_of_membership(event.bytes)) return take_itself(event, hw_->cpu_message_in);
      Ring<Timed>& requests = is_client(event.peer) ? from_clients_ : from_servers_;
      requests.push({occupy_dispatch(hw_->cpu_message_in) + hw_->cpu_hand_off, event});
      if (requests.size() == 1) arm_workers();
      return;
    }
    case EventKind::kDown:
    case EventKind::kRevoked: channel_died(event.channel); return take_itself(event, 0);
    case EventKind::kConnected:
    case EventKind::kGranted:
    case EventKind::kWithdrawn: return take_itself(event, 0);
    default: return take_itself(event, hw_->cpu_completion);
  }
}

void DispatchWorkers::take_itself(const Event& event, TimePs cost) {
  const bool idle = dispatch_free_ <= host_.queue().now() && served_.empty();
  const TimePs taken = occupy_dispatch(cost);
  if (idle) {
    turn_on_dispatch({&event, 1}, taken);
    host_.network().release(event);
    return;
  }
  if (served_.empty()) push(taken, Happening::kServed, index(host_.id()));
  served_.push({taken, event});
}

void DispatchWorkers::served() {
  const Timed served = served_.front();
  served_.pop();
  if (!served_.empty()) push(served_.front().time, Happening::kServed, index(host_.id()));
  turn_on_dispatch({&served.event, 1}, served.time);
  host_.network().release(served.event);
}

void DispatchWorkers::alarm() {
  host_.rang();
  if (host_.deadline() <= host_.queue().now()) {
    turn_on_dispatch({}, host_.queue().now());
  } else {
    host_.arm(host_.deadline());
  }
}

void DispatchWorkers::turn_on_dispatch(std::span<const Event> events, TimePs start) {
  host_.step(events, context_);
  const TimePs compute = host_.outbox().compute_ps();
  post_ops(start, 0);
  host_.finish(start + compute);
  host_.took_turn(0, start, 0, events.size());
  rearm(compute);
}

// A deadline that has passed asks for the next turn when this one's computation is done.
void DispatchWorkers::rearm(TimePs compute) {
  const TimePs deadline = host_.deadline();
  const TimePs soonest = host_.queue().now() + std::max(hw_->cpu_idle_turn, compute);
  if (deadline != kPsNever) host_.arm(std::max(deadline, soonest));
}

// The extra worker starts when none of the others works for a server.
TimePs DispatchWorkers::extra_ready_at() const {
  TimePs ready = 0;
  for (const Worker& worker : workers_) {
    if (worker.for_server) ready = std::max(ready, ready_at(worker));
  }
  return std::max(ready, ready_at(workers_.back()));
}

// Starts the first request when it is here and a worker is ready: free for the length of a hand-off.
bool DispatchWorkers::serve(Ring<Timed>& requests, bool servers) {
  const TimePs now = host_.queue().now();
  if (requests.empty() || requests.front().time > now) return false;
  const auto extra = workers_.end() - 1;
  auto found = std::find_if(workers_.begin(), extra, [&](const Worker& worker) { return ready_at(worker) <= now; });
  if (found == extra && (!servers || extra_ready_at() > now)) return false;
  const Timed request = requests.front();
  requests.pop();
  if (request.time < now) ++host_.use.queued;
  found->for_server = servers;
  turn_on_worker(*found, request.event);
  return true;
}

// When serve() may succeed next, as far as is known now; kPsNever: when a spinning worker is released.
TimePs DispatchWorkers::next_start(const Ring<Timed>& requests, bool servers) const {
  if (requests.empty()) return kPsNever;
  TimePs ready = servers ? extra_ready_at() : kPsNever;
  for (std::size_t i = 0; i + 1 < workers_.size(); ++i) ready = std::min(ready, ready_at(workers_[i]));
  return ready == kPsNever ? kPsNever : std::max({ready, requests.front().time, host_.queue().now()});
}

void DispatchWorkers::arm_workers() {
  const TimePs next = std::min(next_start(from_servers_, true), next_start(from_clients_, false));
  if (next >= wake_at_) return;
  wake_at_ = next;
  push(next, Happening::kWorkers, index(host_.id()));
}

void DispatchWorkers::workers_wake() {
  if (wake_at_ != host_.queue().now()) return;  // an earlier one came in between
  while (serve(from_servers_, true) || serve(from_clients_, false)) {
  }
  wake_at_ = kPsNever;
  arm_workers();
}

void DispatchWorkers::turn_on_worker(Worker& worker, const Event& event) {
  const TimePs now = host_.queue().now();
  host_.step({&event, 1}, context_);
  const Outbox& out = host_.outbox();
  const TimePs compute = out.compute_ps();
  host_.use.workers += compute;
  bool answered = false;
  for (const Op& op : out.ops()) answered |= op.answers == event.tag;
  for (const std::uint64_t tag : out.dismissed()) answered |= tag == event.tag;
  worker.free_at = now + compute;
  if (!answered && waiting_ == Waiting::kSpin) {
    worker.waiting = true;
    worker.tag = event.tag;
    worker.channel = event.channel;
    worker.since = worker.free_at;
  } else if (!answered) {
    worker.free_at += hw_->cpu_context_switch;
    host_.use.workers += hw_->cpu_context_switch;
  }
  post_ops(now, event.tag);
  host_.finish(now + compute);
  host_.took_turn(static_cast<std::uint32_t>(&worker - workers_.data() + 1), now, compute, 1);
  host_.network().release(event);
  rearm(compute);
}

// `own_tag`: of the request whose worker takes this turn; 0 on the dispatch core.
void DispatchWorkers::post_ops(TimePs start, std::uint64_t own_tag) {
  for (const std::uint64_t tag : host_.outbox().dismissed()) answer_appears(tag, start);
  Network& network = host_.network();
  TransferId first = kNone;
  TransferId last = kNone;
  TimePs group = 0;
  for (const Op& op : host_.outbox().ops()) {
    TimePs ready = ready_time(op, start, own_tag);
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

TimePs DispatchWorkers::ready_time(const Op& op, TimePs start, std::uint64_t own_tag) {
  const TimePs computed = start + op.compute_ps;
  if (op.answers == 0) return computed;
  if (op.answers == own_tag) return computed + hw_->cpu_hand_off;
  answer_appears(op.answers, computed);
  return computed + hw_->cpu_hand_off + (waiting_ == Waiting::kYield ? hw_->cpu_context_switch : 0);
}

void DispatchWorkers::answer_appears(std::uint64_t tag, TimePs time) {
  for (Worker& worker : workers_) {
    if (!worker.waiting || worker.tag != tag) continue;
    worker.waiting = false;
    host_.use.waiting += std::max<TimePs>(time - worker.since, 0);
    worker.free_at = std::max(worker.since, time);
    arm_workers();
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
  arm_workers();
}

void DispatchWorkers::ops_ready(TransferId first) {
  Network& network = host_.network();
  for (TransferId id = first; id != kNone;) {
    const TransferId next = network.next(id);
    const OpKind kind = network.op_kind(id);
    const TimePs cost = kind == OpKind::kSend                             ? hw_->cpu_message_out
                        : kind == OpKind::kWrite || kind == OpKind::kRead ? hw_->cpu_post_write
                                                                          : 0;
    network.launch(id, occupy_dispatch(cost));
    id = next;
  }
}

}  // namespace slipstream::sim
