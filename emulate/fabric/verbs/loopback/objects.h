// What a program of the stand-in (loopback_verbs.h) holds pointers to, and what is behind those: contexts, domains,
// registrations, windows, queues, queue pairs with the line of their requests. Plain state; card.h has the life in it.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include <infiniband/verbs.h>

#include "core/base/ring.h"

namespace slipstream::emulate::loopback_verbs {

// Readable while it holds an event, as the kernel's files are.
template <typename Event>
struct EventFile {
  EventFile();
  ~EventFile();
  void push(const Event& event);
  bool take(Event& event);  // blocks, or sets errno to EAGAIN
  template <typename Condition>
  void forget_if(Condition condition) {
    for (std::size_t n = std::erase_if(events, condition); n > 0; --n) take_one();
  }

  int fd = -1;
  std::deque<Event> events;

 private:
  bool take_one();
};

struct Context : ibv_context {
  EventFile<ibv_async_event> async;
  std::uint32_t domains = 0;
};
struct Domain : ibv_pd {
  std::uint32_t objects = 0;
};
struct CompletionQueue;
struct CompletionChannel : ibv_comp_channel {
  EventFile<CompletionQueue*> events;
};
struct Registration : ibv_mr {
  int rights = 0;
  std::uint32_t windows = 0;  // bound over it
};
struct Window : ibv_mw {
  std::uint32_t key = 0;         // the rkey that its user must count on from
  Registration* over = nullptr;  // nullptr: not bound
  std::uint32_t pair = 0;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  unsigned rights = 0;
};

struct CompletionQueue : ibv_cq {
  struct Entry {
    ibv_wc completion;
    std::uint64_t frees = 0;  // of a send queue: requests up to this one
  };
  Ring<Entry> entries;
  bool armed = false;
  std::uint32_t pairs = 0;
  std::uint32_t unacknowledged = 0;  // events
};

struct Piece {
  std::size_t from = 0;
  std::size_t size = 0;
};

struct Request {
  ibv_wr_opcode opcode = IBV_WR_SEND;
  bool signalled = false;
  bool fenced = false;
  bool admitted = false;
  bool finished = false;
  ibv_wc_status status = IBV_WC_SUCCESS;
  std::uint64_t id = 0;
  std::uint64_t number = 0;  // of the pair's requests, from 1
  std::uint64_t remote = 0;
  std::uint32_t key = 0;
  __be32 immediate = 0;
  Window* window = nullptr;
  ibv_mw_bind_info bind{};
  std::vector<ibv_sge> places;
  std::vector<std::byte> copied;  // where `places` is: inline data, or what was on its way when its pair ended
  std::size_t bytes = 0;
  std::vector<Piece> pieces;  // that have not landed
};

struct Pair;
struct Line {
  Pair* pair = nullptr;  // nullptr: it has ended, and this is what it had sent
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::deque<Request> requests;
  std::size_t begun = 0;  // of them
  bool listed = false;
};

struct Receive {
  std::uint64_t id = 0;
  ibv_sge place{};
};

struct Pair : ibv_qp {
  ibv_qp_cap cap{};
  Line line;
  Ring<Receive> receives;
  std::uint64_t posted = 0;  // requests
  std::uint64_t freed = 0;   // of them
  std::uint32_t receives_in_use = 0;
};

}  // namespace slipstream::emulate::loopback_verbs
