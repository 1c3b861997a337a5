// Threading model "dispatch-workers" (RAMCloud, TOCS'15): one dispatch core polls the NIC and posts to it, W workers
// execute requests. core knows nothing of it; this is how a node's turns are laid on those cores:
//
// - The dispatch core is a first-in first-out server. Taking a message costs message_in, an acknowledgement or a
//   storage event completion; posting a message costs message_out, a one-sided op post_write. These prices are taken
//   per event and op here, so the Outbox prices computation only: nothing is counted twice.
// - A message that is not an answer, nor of the membership (pings, views), is a request: served by the dispatch core,
// then handed to a free worker
//   (hand-off). The worker takes a turn of the node with that one event and is busy for the turn's computation. An
//   answer posted by it reaches the dispatch core a hand-off after the computation before it; other ops go there
//   without one (RAMCloud's workers post replication requests themselves, under the dispatch lock).
// - A worker whose turn did not answer its request spins until an op with that answer's tag appears in a later turn,
//   and is free when that op is. When it yields instead, it is free a context switch after its turn, and the answer is
//   later by a context switch.
// - Answers, pings, views, acknowledgements, deadlines and storage events are turns of their own, one event each, when
// the dispatch
//   core has taken them (an idle one takes the turn at the arrival, and its ops wait for the price of taking). Their
//   computation delays their own ops but does not occupy the dispatch core: it is the waiting worker that does it.
// - Ops of one channel keep the order of the turns that made them, also when a later turn's computation ends earlier.
// - Requests wait in two queues, those of servers first. When all workers are busy and none of them for a server, a
//   server's request starts on one extra worker: otherwise workers of two servers that wait for each other's
//   replication would wait for ever (RAMCloud exceeds its limit of workers in the same case, per level of RPC).
//
// A worker whose channel dies is free at once. Invariant: every request is answered, or its channel dies.
#pragma once

#include <vector>

#include "sim/host.h"
#include "sim/sim_options.h"

namespace slipstream::sim {

class DispatchWorkers {
 public:
  // `kinds` gives each node's kind; it and the rest outlive this.
  DispatchWorkers(Host& host, CheckContext& context, const HardwareProfile& hardware, const SimOptions& options,
                  const std::vector<NodeKind>& kinds);

  // What the Outbox of such a node prices: computation only.
  static CostTable compute_costs(const HardwareProfile& hardware);

  // The cores stood still until now: what they were about to do, they do `by` later.
  void stood_still(TimePs by);
  void set_hardware(const HardwareProfile& hardware) { hw_ = &hardware; }
  // The node is no more: gives back the messages that wait.
  void end_life();

  void start() { turn_on_dispatch({}, host_.queue().now()); }
  void arrived();                    // something is in the inboxes
  void alarm();                      // Happening::kAlarm
  void served();                     // Happening::kServed
  void workers_wake();               // Happening::kWorkers
  void ops_ready(TransferId first);  // Happening::kOpsReady

 private:
  struct Worker {
    TimePs free_at = 0;
    bool waiting = false;     // spins for the answer to `tag`
    bool for_server = false;  // its last request came from a server
    Channel channel = 0;
    std::uint64_t tag = 0;
    TimePs since = 0;
  };
  struct Timed {
    TimePs time = 0;
    Event event;
  };

  TimePs occupy_dispatch(TimePs cost);
  void take(const Event& event);
  void take_itself(const Event& event, TimePs cost);
  void turn_on_dispatch(std::span<const Event> events, TimePs start);
  void turn_on_worker(Worker& worker, const Event& event);
  bool serve(Ring<Timed>& requests, bool servers);
  TimePs next_start(const Ring<Timed>& requests, bool servers) const;
  void arm_workers();
  // When the worker can start a request that is here; kPsNever: not before it is released.
  TimePs ready_at(const Worker& worker) const { return worker.waiting ? kPsNever : worker.free_at + hw_->cpu_hand_off; }
  TimePs extra_ready_at() const;
  void post_ops(TimePs start, std::uint64_t own_tag);
  TimePs ready_time(const Op& op, TimePs start, std::uint64_t own_tag);
  void answer_appears(std::uint64_t tag, TimePs time);
  void channel_died(Channel channel);
  void rearm(TimePs compute);
  bool is_client(NodeId node) const { return kinds_[index(node)] == NodeKind::kClient; }
  void push(TimePs time, Happening kind, std::uint32_t what) {
    host_.queue().push(time, static_cast<std::uint32_t>(kind), what);
  }

  Host& host_;
  CheckContext& context_;
  const HardwareProfile* hw_;
  const Waiting waiting_;
  const std::vector<NodeKind>& kinds_;
  TimePs dispatch_free_ = 0;
  std::vector<Worker> workers_;  // the last one is the extra worker
  Ring<Timed> served_;           // taken by the dispatch core, to be handled by it
  Ring<Timed> from_servers_;     // requests, and when each reaches the workers
  Ring<Timed> from_clients_;
  TimePs wake_at_ = kPsNever;  // a kWorkers is in the queue for then
};

}  // namespace slipstream::sim
