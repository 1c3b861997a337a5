// The card of the stand-in (loopback_verbs.h): how requests come to pass.
//
// The requests of a queue pair form a line. One at the front is begun, admitted by the other end, carried out (a write
// or read piece by piece), and acknowledged: it leaves the line, with a completion if it asked for one. Invariants:
//
// - Requests are begun and admitted in order. A SEND is delivered when all before it but reads are carried out. A write
//   lands only when all before it are admitted, and never before an earlier one where the two overlap. A read that no
//   fence follows may see later writes.
// - Whether a key holds is asked at admission, of the whole range, and again for each piece.
// - A refusal takes effect when all before it are carried out; nothing behind it is admitted.
// - A place in the send queue is free again when a completion behind it has been polled.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <infiniband/verbs.h>

#include "core/base/rng.h"
#include "emulate/fabric/verbs/loopback/loopback_verbs.h"
#include "emulate/fabric/verbs/loopback/objects.h"

namespace slipstream::emulate::loopback_verbs {

class Card {
 public:
  Card() : rng_(0, "loopback") {}
  void use(const Options& options);
  const Options& options() const { return options_; }
  const Counters& counters() const { return counters_; }
  bool advance();
  void moment();  // a call has come: something happens, or nothing
  void break_at(std::uint64_t moment) { breaks_at_ = moment; }
  void raise(ibv_event_type event);

  std::vector<Context*> contexts;

  std::uint32_t enter(Registration* registration);
  std::uint32_t enter(Window* window);
  void forget(Registration& registration);
  void forget(Window& window);
  void enter(Pair& pair);
  void forget(Pair& pair);
  // To its error state; all that waits is flushed. What it had sent may go on its way for a while.
  void end(Pair& pair, bool leaves_some_behind = true);

  int post(Pair& pair, ibv_send_wr* wanted, ibv_send_wr** bad);
  int post(Pair& pair, ibv_recv_wr* wanted, ibv_recv_wr** bad);
  int poll(CompletionQueue& queue, std::span<ibv_wc> into);

 private:
  struct Ahead;  // what is before a request in its line

  bool is_eager() const { return options_.seed == 0; }
  int problem_of(const Pair& pair, const ibv_send_wr& wanted) const;
  void queue(Pair& pair, const ibv_send_wr& wanted);
  void carry_out_now(Pair& pair, const ibv_send_wr& wanted);
  ibv_wc_status outcome_now(Pair& pair, const ibv_send_wr& wanted);

  void tick();
  void list(Line& line);
  bool step(Line& line);  // false: there is no more to do
  void begin(Line& line);
  void carry_on(Line& line);
  void carry_on_send(const Line& line, Request& request, const Ahead& ahead, Pair& peer);
  void carry_on_access(Line& line, std::size_t at, const Ahead& ahead, Pair& peer);
  void cut_in_pieces(Request& request);
  static void copy_of(Request& request);
  void acknowledge(Line& line);
  void leave_behind(Pair& pair);
  bool has_to_flush(const Pair& pair) const { return !pair.line.requests.empty() || !pair.receives.empty(); }
  void flush(Pair& pair);
  void flush_one(Pair& pair);

  Pair* peer_of(const Line& line) const;
  Pair* pair_of(std::uint32_t number) const;
  // Whether the other end's card lets this pass. Nothing of no bytes is ever refused.
  bool allows(const Pair& peer, std::uint32_t key, std::uint64_t address, std::size_t bytes, unsigned right) const;
  bool holds(const ibv_sge& place, const ibv_pd* domain, int rights) const;
  ibv_wc_status deliver(Pair& peer, std::uint32_t from, std::span<const ibv_sge> places, std::size_t bytes,
                        __be32 immediate);
  ibv_wc_status bind(Pair& pair, Window* window, std::uint32_t key, const ibv_mw_bind_info& info);
  ibv_wc_status invalidate(Pair& pair, std::uint32_t key);
  void unbind(Window& window);
  void refuse(Pair& peer);
  void complete(Pair& pair, std::uint64_t id, std::uint64_t number, ibv_wr_opcode opcode, ibv_wc_status status);
  void push(CompletionQueue& queue, const CompletionQueue::Entry& entry);

  Options options_;
  Counters counters_;
  std::uint64_t breaks_at_ = 0;
  Rng rng_;
  std::vector<Registration*> registrations_;  // by index, which is not used again
  std::vector<Window*> windows_;
  std::vector<Pair*> pairs_;
  std::vector<Line*> active_;
  std::vector<std::unique_ptr<Line>> remains_;  // of pairs that have ended
};

}  // namespace slipstream::emulate::loopback_verbs
