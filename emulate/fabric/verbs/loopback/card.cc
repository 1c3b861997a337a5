#include "emulate/fabric/verbs/loopback/card.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "core/base/check.h"

namespace slipstream::emulate::loopback_verbs {
namespace {

constexpr std::size_t kBegunAtOnce = 8;
constexpr std::uint64_t kMostStepsInACall = 5;
constexpr std::uint64_t kMostPieces = 6;
// Steps, on average, until a pair without its other end is told.
constexpr std::uint64_t kRetries = 16;
constexpr std::uint32_t kFirstPair = 0x11;
constexpr std::uint32_t kFirstWindow = 0x8000;
constexpr int kKeyBits = 8;
// What a completion that tells of an error holds where it need hold nothing.
constexpr auto kUndefined = static_cast<ibv_wc_opcode>(0xda);

std::byte* at(std::uint64_t address) { return reinterpret_cast<std::byte*>(address); }

bool overlap(std::uint64_t a, std::size_t a_bytes, std::uint64_t b, std::size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

std::size_t bytes_of(std::span<const ibv_sge> places) {
  return std::accumulate(places.begin(), places.end(), std::size_t{0},
                         [](std::size_t sum, const ibv_sge& place) { return sum + place.length; });
}

// Copies between [address, address + size) and the bytes from `from` on of what the places list.
template <bool kGathers>
void move_bytes(std::span<const ibv_sge> places, std::size_t from, std::uint64_t address, std::size_t size) {
  for (const ibv_sge& place : places) {
    if (from >= place.length) {
      from -= place.length;
      continue;
    }
    const std::size_t n = std::min<std::size_t>(size, place.length - from);
    if (n == 0) return;
    if constexpr (kGathers) {
      std::memmove(at(address), at(place.addr + from), n);
    } else {
      std::memmove(at(place.addr + from), at(address), n);
    }
    address += n;
    size -= n;
    from = 0;
  }
}

void finish(Request& request, ibv_wc_status status) {
  request.admitted = request.finished = true;
  request.status = status;
  request.pieces.clear();
}

ibv_wc_opcode completed(ibv_wr_opcode opcode) {
  switch (opcode) {
    case IBV_WR_RDMA_WRITE: return IBV_WC_RDMA_WRITE;
    case IBV_WR_RDMA_READ: return IBV_WC_RDMA_READ;
    case IBV_WR_BIND_MW: return IBV_WC_BIND_MW;
    case IBV_WR_LOCAL_INV: return IBV_WC_LOCAL_INV;
    default: return IBV_WC_SEND;
  }
}

// Whether a piece of a write would land before bytes of an earlier one that overlap it.
bool is_in_the_way(const Line& line, std::size_t of, std::uint64_t address, std::size_t bytes) {
  for (std::size_t i = 0; i < of; ++i) {
    const Request& earlier = line.requests[i];
    if (earlier.opcode != IBV_WR_RDMA_WRITE) continue;
    for (const Piece& piece : earlier.pieces) {
      if (overlap(earlier.remote + piece.from, piece.size, address, bytes)) return true;
    }
  }
  return false;
}

}  // namespace

template <typename Event>
EventFile<Event>::EventFile() : fd(::eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC)) {
  SLIP_CHECK(fd >= 0, "no eventfd: {}", std::strerror(errno));
}
template <typename Event>
EventFile<Event>::~EventFile() {
  ::close(fd);
}
template <typename Event>
void EventFile<Event>::push(const Event& event) {
  events.push_back(event);
  const std::uint64_t one = 1;
  SLIP_CHECK(::write(fd, &one, sizeof one) == sizeof one);
}
template <typename Event>
bool EventFile<Event>::take_one() {
  std::uint64_t one = 0;
  return ::read(fd, &one, sizeof one) == sizeof one;
}
template <typename Event>
bool EventFile<Event>::take(Event& event) {
  if (!take_one()) return false;
  event = events.front();
  events.pop_front();
  return true;
}
template struct EventFile<ibv_async_event>;
template struct EventFile<CompletionQueue*>;

// --- objects ---

void Card::use(const Options& options) {
  SLIP_CHECK(contexts.empty(), "a device is open");
  options_ = options;
  counters_ = {};
  breaks_at_ = 0;
  rng_ = Rng(options.seed, "loopback");
  active_.clear();
  remains_.clear();
}

std::uint32_t Card::enter(Registration* registration) {
  registrations_.push_back(registration);
  return static_cast<std::uint32_t>(registrations_.size()) << kKeyBits | 0x4c;
}
std::uint32_t Card::enter(Window* window) {
  windows_.push_back(window);
  return (kFirstWindow + static_cast<std::uint32_t>(windows_.size() - 1)) << kKeyBits;
}
void Card::enter(Pair& pair) {
  pair.line.from = pair.qp_num = kFirstPair + static_cast<std::uint32_t>(pairs_.size());
  pair.line.pair = &pair;
  pairs_.push_back(&pair);
}

void Card::forget(Registration& registration) {
  SLIP_CHECK(registration.windows == 0, "memory is deregistered under {} windows", registration.windows);
  registrations_[(registration.lkey >> kKeyBits) - 1] = nullptr;
}
void Card::forget(Window& window) {
  unbind(window);
  windows_[(window.key >> kKeyBits) - kFirstWindow] = nullptr;
}

void Card::forget(Pair& pair) {
  if (pair.state != IBV_QPS_ERR && !is_eager() && rng_.chance(1, 2)) leave_behind(pair);
  static_cast<Context*>(pair.context)->async.forget_if([&pair](const ibv_async_event& event) {
    return event.event_type == IBV_EVENT_QP_ACCESS_ERR && event.element.qp == &pair;
  });
  std::erase(active_, &pair.line);
  pairs_[pair.qp_num - kFirstPair] = nullptr;
  if (options_.seed % 2 == 0) return;
  // Some cards take a pair's completions back when it goes, others do not.
  auto& queue = *static_cast<CompletionQueue*>(pair.send_cq);
  for (std::size_t n = queue.entries.size(); n > 0; --n) {
    const CompletionQueue::Entry entry = queue.entries.front();
    queue.entries.pop();
    if (entry.completion.qp_num != pair.qp_num) queue.entries.push(entry);
  }
}

Pair* Card::pair_of(std::uint32_t number) const {
  const std::uint32_t index = number - kFirstPair;
  return index < pairs_.size() ? pairs_[index] : nullptr;
}

Pair* Card::peer_of(const Line& line) const {
  Pair* const peer = pair_of(line.to);
  const bool hears = peer != nullptr && (peer->state == IBV_QPS_RTR || peer->state == IBV_QPS_RTS);
  return hears && peer->line.to == line.from ? peer : nullptr;
}

bool Card::holds(const ibv_sge& place, const ibv_pd* domain, int rights) const {
  const std::size_t index = (place.lkey >> kKeyBits) - 1;
  const Registration* const r = index < registrations_.size() ? registrations_[index] : nullptr;
  const auto first = r == nullptr ? 0 : reinterpret_cast<std::uint64_t>(r->addr);
  return r != nullptr && r->lkey == place.lkey && r->pd == domain && (r->rights & rights) == rights &&
         place.addr >= first && place.length <= r->length && place.addr - first <= r->length - place.length;
}

bool Card::allows(const Pair& peer, std::uint32_t key, std::uint64_t address, std::size_t bytes, unsigned right) const {
  if (bytes == 0) return true;
  const std::size_t index = (key >> kKeyBits) - kFirstWindow;
  const Window* const window = index < windows_.size() ? windows_[index] : nullptr;
  return window != nullptr && window->over != nullptr && window->key == key && window->pair == peer.qp_num &&
         (window->rights & right) != 0 && address >= window->address && bytes <= window->bytes &&
         address - window->address <= window->bytes - bytes;
}

ibv_wc_status Card::bind(Pair& pair, Window* window, std::uint32_t key, const ibv_mw_bind_info& info) {
  auto* const over = static_cast<Registration*>(info.mr);
  const auto first = reinterpret_cast<std::uint64_t>(over->addr);
  const bool good = window->over == nullptr && window->key >> kKeyBits == key >> kKeyBits && window->key != key &&
                    window->pd == pair.pd && over->pd == pair.pd && (over->rights & IBV_ACCESS_MW_BIND) != 0 &&
                    (over->rights & IBV_ACCESS_LOCAL_WRITE) != 0 && info.addr >= first && info.length > 0 &&
                    info.addr + info.length <= first + over->length;
  if (!good) return IBV_WC_MW_BIND_ERR;
  window->key = key;
  window->over = over;
  window->pair = pair.qp_num;
  window->address = info.addr;
  window->bytes = info.length;
  window->rights = info.mw_access_flags;
  ++over->windows;
  ++counters_.binds;
  return IBV_WC_SUCCESS;
}

ibv_wc_status Card::invalidate(Pair& pair, std::uint32_t key) {
  const std::size_t index = (key >> kKeyBits) - kFirstWindow;
  Window* const window = index < windows_.size() ? windows_[index] : nullptr;
  if (window == nullptr || window->over == nullptr || window->key != key || window->pair != pair.qp_num) {
    return IBV_WC_LOC_QP_OP_ERR;
  }
  unbind(*window);
  return IBV_WC_SUCCESS;
}

void Card::unbind(Window& window) {
  if (window.over != nullptr) --window.over->windows;
  window.over = nullptr;
}

void Card::raise(ibv_event_type event) {
  for (Context* const context : contexts) {
    ibv_async_event told{};
    told.element.port_num = 1;
    told.event_type = event;
    context->async.push(told);
  }
}

// --- completions ---

void Card::push(CompletionQueue& queue, const CompletionQueue::Entry& entry) {
  SLIP_CHECK(queue.entries.size() < static_cast<std::size_t>(queue.cqe), "a completion queue of {} overflows",
             queue.cqe);
  queue.entries.push(entry);
  if (!queue.armed) return;
  queue.armed = false;
  ++queue.unacknowledged;
  static_cast<CompletionChannel*>(queue.channel)->events.push(&queue);
}

void Card::complete(Pair& pair, std::uint64_t id, std::uint64_t number, ibv_wr_opcode opcode, ibv_wc_status status) {
  CompletionQueue::Entry entry{};
  entry.completion.wr_id = id;
  entry.completion.status = status;
  entry.completion.opcode = status == IBV_WC_SUCCESS ? completed(opcode) : kUndefined;
  entry.completion.qp_num = pair.qp_num;
  entry.frees = number;
  push(*static_cast<CompletionQueue*>(pair.send_cq), entry);
}

int Card::poll(CompletionQueue& queue, std::span<ibv_wc> into) {
  moment();
  std::size_t n = 0;
  for (; n < into.size() && !queue.entries.empty(); ++n) {
    const CompletionQueue::Entry& entry = queue.entries.front();
    into[n] = entry.completion;
    if (Pair* const pair = pair_of(entry.completion.qp_num); pair != nullptr) {
      if (entry.frees == 0) --pair->receives_in_use;
      pair->freed = std::max(pair->freed, entry.frees);
    }
    queue.entries.pop();
  }
  return static_cast<int>(n);
}

// --- posts ---

int Card::problem_of(const Pair& pair, const ibv_send_wr& wanted) const {
  if (pair.state != IBV_QPS_RTS && pair.state != IBV_QPS_ERR) return EINVAL;
  if (pair.posted - pair.freed >= pair.cap.max_send_wr) return ENOMEM;
  if (wanted.num_sge < 0 || static_cast<std::uint32_t>(wanted.num_sge) > pair.cap.max_send_sge) return EINVAL;
  const std::size_t bytes = bytes_of({wanted.sg_list, static_cast<std::size_t>(wanted.num_sge)});
  if (bytes > options_.most_message) return EINVAL;
  switch (wanted.opcode) {
    case IBV_WR_SEND_WITH_IMM:
    case IBV_WR_RDMA_WRITE:
      return (wanted.send_flags & IBV_SEND_INLINE) != 0 && bytes > pair.cap.max_inline_data ? EINVAL : 0;
    case IBV_WR_RDMA_READ:
    case IBV_WR_LOCAL_INV: return (wanted.send_flags & IBV_SEND_INLINE) != 0 ? EINVAL : 0;
    case IBV_WR_BIND_MW:  // SoftRoCE wants nothing else in it
      return wanted.bind_mw.mw->type == IBV_MW_TYPE_2 && wanted.imm_data == 0 && wanted.num_sge == 0 ? 0 : EINVAL;
    default: return EOPNOTSUPP;
  }
}

int Card::post(Pair& pair, ibv_send_wr* wanted, ibv_send_wr** bad) {
  moment();
  for (; wanted != nullptr; wanted = wanted->next) {
    if (const int problem = problem_of(pair, *wanted); problem != 0) {
      ++counters_.rejected;
      *bad = wanted;
      return problem;
    }
    ++pair.posted;
    if (is_eager()) {
      carry_out_now(pair, *wanted);
    } else {
      queue(pair, *wanted);
    }
  }
  return 0;
}

int Card::post(Pair& pair, ibv_recv_wr* wanted, ibv_recv_wr** bad) {
  moment();
  for (; wanted != nullptr; wanted = wanted->next) {
    const bool good = pair.state != IBV_QPS_RESET && wanted->num_sge == 1;
    if (!good || pair.receives_in_use >= pair.cap.max_recv_wr) {
      ++counters_.rejected;
      *bad = wanted;
      return good ? ENOMEM : EINVAL;
    }
    ++pair.receives_in_use;
    pair.receives.push({wanted->wr_id, wanted->sg_list[0]});
  }
  if (pair.state == IBV_QPS_ERR) flush(pair);
  return 0;
}

void Card::queue(Pair& pair, const ibv_send_wr& wanted) {
  Request& request = pair.line.requests.emplace_back();
  request.opcode = wanted.opcode;
  request.signalled = (wanted.send_flags & IBV_SEND_SIGNALED) != 0;
  request.fenced = (wanted.send_flags & IBV_SEND_FENCE) != 0;
  request.id = wanted.wr_id;
  request.number = pair.posted;
  list(pair.line);
  if (wanted.opcode == IBV_WR_BIND_MW) {
    request.window = static_cast<Window*>(wanted.bind_mw.mw);
    request.key = wanted.bind_mw.rkey;
    request.bind = wanted.bind_mw.bind_info;
    return;
  }
  if (wanted.opcode == IBV_WR_LOCAL_INV) {
    request.key = wanted.invalidate_rkey;
    return;
  }
  request.immediate = wanted.imm_data;
  request.remote = wanted.wr.rdma.remote_addr;
  request.key = wanted.wr.rdma.rkey;
  request.places.assign(wanted.sg_list, wanted.sg_list + wanted.num_sge);
  request.bytes = bytes_of(request.places);
  if ((wanted.send_flags & IBV_SEND_INLINE) != 0) copy_of(request);
}

void Card::carry_out_now(Pair& pair, const ibv_send_wr& wanted) {
  if (pair.state == IBV_QPS_ERR) {
    complete(pair, wanted.wr_id, pair.posted, wanted.opcode, IBV_WC_WR_FLUSH_ERR);
    return;
  }
  const ibv_wc_status status = outcome_now(pair, wanted);
  if (status != IBV_WC_SUCCESS || (wanted.send_flags & IBV_SEND_SIGNALED) != 0) {
    complete(pair, wanted.wr_id, pair.posted, wanted.opcode, status);
  }
  if (status != IBV_WC_SUCCESS) end(pair, false);
}

ibv_wc_status Card::outcome_now(Pair& pair, const ibv_send_wr& wanted) {
  if (wanted.opcode == IBV_WR_BIND_MW) {
    return bind(pair, static_cast<Window*>(wanted.bind_mw.mw), wanted.bind_mw.rkey, wanted.bind_mw.bind_info);
  }
  if (wanted.opcode == IBV_WR_LOCAL_INV) return invalidate(pair, wanted.invalidate_rkey);
  const std::span<const ibv_sge> places(wanted.sg_list, static_cast<std::size_t>(wanted.num_sge));
  const bool reads = wanted.opcode == IBV_WR_RDMA_READ;
  if ((wanted.send_flags & IBV_SEND_INLINE) == 0) {
    for (const ibv_sge& place : places) {
      if (!holds(place, pair.pd, reads ? IBV_ACCESS_LOCAL_WRITE : 0)) return IBV_WC_LOC_PROT_ERR;
    }
  }
  Pair* const peer = peer_of(pair.line);
  if (peer == nullptr) return IBV_WC_RETRY_EXC_ERR;
  const std::size_t bytes = bytes_of(places);
  if (wanted.opcode == IBV_WR_SEND_WITH_IMM) return deliver(*peer, pair.qp_num, places, bytes, wanted.imm_data);
  const std::uint64_t remote = wanted.wr.rdma.remote_addr;
  if (!allows(*peer, wanted.wr.rdma.rkey, remote, bytes, reads ? IBV_ACCESS_REMOTE_READ : IBV_ACCESS_REMOTE_WRITE)) {
    refuse(*peer);
    return IBV_WC_REM_ACCESS_ERR;
  }
  ++(reads ? counters_.reads : counters_.writes);
  if (reads) {
    move_bytes<false>(places, 0, remote, bytes);
  } else {
    move_bytes<true>(places, 0, remote, bytes);
  }
  return IBV_WC_SUCCESS;
}

// --- the end of a pair ---

void Card::refuse(Pair& peer) {
  ++counters_.refused;
  ibv_async_event told{};
  told.element.qp = &peer;
  told.event_type = IBV_EVENT_QP_ACCESS_ERR;
  static_cast<Context*>(peer.context)->async.push(told);
  end(peer);
}

void Card::end(Pair& pair, bool leaves_some_behind) {
  if (pair.state == IBV_QPS_ERR) return;
  if (leaves_some_behind && !is_eager() && rng_.chance(1, 2)) leave_behind(pair);
  pair.state = IBV_QPS_ERR;
  pair.line.begun = 0;
  ++counters_.broken;
  flush(pair);
}

void Card::flush(Pair& pair) {
  if (!is_eager()) return list(pair.line);
  while (has_to_flush(pair)) flush_one(pair);
}

// What had been sent, and a little more, is on its way by itself from now on, with bytes as they are now.
void Card::leave_behind(Pair& pair) {
  auto remains = std::make_unique<Line>();
  remains->from = pair.line.from;
  remains->to = pair.line.to;
  std::size_t most = pair.line.begun + rng_.below(4);
  for (const Request& request : pair.line.requests) {
    if (most-- == 0 || request.status != IBV_WC_SUCCESS) break;
    if (request.finished) continue;
    if (request.opcode != IBV_WR_RDMA_WRITE && request.opcode != IBV_WR_SEND_WITH_IMM) break;
    Request& sent = remains->requests.emplace_back(request);
    if (sent.pieces.empty()) cut_in_pieces(sent);
    sent.copied.clear();
    copy_of(sent);
  }
  remains->begun = remains->requests.size();
  if (remains->begun == 0) return;
  remains_.push_back(std::move(remains));
  list(*remains_.back());
}

void Card::flush_one(Pair& pair) {
  auto& requests = pair.line.requests;
  if (!requests.empty() && (pair.receives.empty() || rng_.chance(1, 2))) {
    const Request& request = requests.front();
    complete(pair, request.id, request.number, request.opcode, IBV_WC_WR_FLUSH_ERR);
    requests.pop_front();
    return;
  }
  CompletionQueue::Entry entry{};
  entry.completion.wr_id = pair.receives.front().id;
  entry.completion.status = IBV_WC_WR_FLUSH_ERR;
  entry.completion.opcode = kUndefined;
  entry.completion.qp_num = pair.qp_num;
  pair.receives.pop();
  push(*static_cast<CompletionQueue*>(pair.recv_cq), entry);
}

// --- what is under way ---

void Card::tick() {
  ++counters_.moments;
  if (counters_.moments != breaks_at_) return;
  std::vector<Pair*> alive;
  std::copy_if(pairs_.begin(), pairs_.end(), std::back_inserter(alive), [](const Pair* pair) {
    return pair != nullptr && pair->state != IBV_QPS_RESET && pair->state != IBV_QPS_ERR;
  });
  if (!alive.empty()) end(*alive[rng_.below(alive.size())]);
}

void Card::moment() {
  tick();
  if (is_eager()) return;
  for (std::uint64_t n = rng_.below(kMostStepsInACall + 1); n > 0 && advance(); --n) {
  }
}

void Card::list(Line& line) {
  if (!std::exchange(line.listed, true)) active_.push_back(&line);
}

bool Card::advance() {
  tick();
  if (active_.empty()) return false;
  Line* const line = active_[rng_.below(active_.size())];
  if (step(*line)) return true;
  line->listed = false;
  std::erase(active_, line);
  if (line->pair == nullptr) std::erase_if(remains_, [line](const auto& remains) { return remains.get() == line; });
  return true;
}

bool Card::step(Line& line) {
  if (line.pair == nullptr) {
    carry_on(line);
    const auto failed = [](const Request& r) { return r.status != IBV_WC_SUCCESS; };
    if (std::any_of(line.requests.begin(), line.requests.end(), failed)) return false;
    for (; !line.requests.empty() && line.requests.front().finished; --line.begun) line.requests.pop_front();
    return !line.requests.empty();
  }
  Pair& pair = *line.pair;
  if (pair.state == IBV_QPS_ERR) {
    if (has_to_flush(pair)) flush_one(pair);
    return has_to_flush(pair);
  }
  switch (rng_.below(4)) {
    case 0: begin(line); break;
    case 1: acknowledge(line); break;
    default: carry_on(line); break;
  }
  return pair.state == IBV_QPS_ERR ? has_to_flush(pair) : !line.requests.empty();
}

void Card::begin(Line& line) {
  if (line.begun == line.requests.size() || line.begun >= kBegunAtOnce) return;
  Request& request = line.requests[line.begun];
  for (std::size_t i = 0; i < line.begun; ++i) {
    const Request& earlier = line.requests[i];
    if (earlier.status != IBV_WC_SUCCESS) return;
    if (request.fenced && earlier.opcode == IBV_WR_RDMA_READ && !earlier.finished) return;
  }
  ++line.begun;
  if (request.opcode == IBV_WR_BIND_MW) {
    return finish(request, bind(*line.pair, request.window, request.key, request.bind));
  }
  if (request.opcode == IBV_WR_LOCAL_INV) return finish(request, invalidate(*line.pair, request.key));
  const int rights = request.opcode == IBV_WR_RDMA_READ ? IBV_ACCESS_LOCAL_WRITE : 0;
  for (const ibv_sge& place : request.places) {
    if (request.copied.empty() && !holds(place, line.pair->pd, rights)) return finish(request, IBV_WC_LOC_PROT_ERR);
  }
  cut_in_pieces(request);
}

void Card::cut_in_pieces(Request& request) {
  request.pieces.clear();
  std::size_t from = 0;
  for (std::uint64_t left = 1 + rng_.below(kMostPieces); from < request.bytes; --left) {
    const std::size_t rest = request.bytes - from;
    const std::size_t size = left <= 1 ? rest : 1 + rng_.below(rest);
    request.pieces.push_back({from, size});
    from += size;
  }
}

// The bytes as they are now.
void Card::copy_of(Request& request) {
  if (request.bytes == 0 || !request.copied.empty()) return;
  request.copied.resize(request.bytes);
  const auto copied = reinterpret_cast<std::uint64_t>(request.copied.data());
  move_bytes<true>(request.places, 0, copied, request.bytes);
  request.places = {{copied, static_cast<std::uint32_t>(request.bytes), 0}};
}

struct Card::Ahead {
  bool admitted = true;       // all
  bool finished = true;       // all
  bool all_but_reads = true;  // finished
};

void Card::carry_on(Line& line) {
  if (line.begun == 0) return;
  const std::size_t n = rng_.below(line.begun);
  Request& request = line.requests[n];
  if (request.finished) return;
  Ahead ahead;
  for (std::size_t i = 0; i < n; ++i) {
    const Request& earlier = line.requests[i];
    if (earlier.status != IBV_WC_SUCCESS) return;
    ahead.admitted = ahead.admitted && earlier.admitted;
    ahead.finished = ahead.finished && earlier.finished;
    ahead.all_but_reads = ahead.all_but_reads && (earlier.finished || earlier.opcode == IBV_WR_RDMA_READ);
  }
  Pair* const peer = peer_of(line);
  if (peer == nullptr) {
    if (ahead.finished && rng_.chance(1, kRetries)) finish(request, IBV_WC_RETRY_EXC_ERR);
    return;
  }
  if (request.opcode == IBV_WR_SEND_WITH_IMM) {
    carry_on_send(line, request, ahead, *peer);
  } else {
    carry_on_access(line, n, ahead, *peer);
  }
}

void Card::carry_on_send(const Line& line, Request& request, const Ahead& ahead, Pair& peer) {
  if (!ahead.admitted || !ahead.all_but_reads || (peer.receives.empty() && !ahead.finished)) return;
  finish(request, deliver(peer, line.from, request.places, request.bytes, request.immediate));
}

void Card::carry_on_access(Line& line, std::size_t n, const Ahead& ahead, Pair& peer) {
  Request& request = line.requests[n];
  const bool reads = request.opcode == IBV_WR_RDMA_READ;
  const unsigned right = reads ? IBV_ACCESS_REMOTE_READ : IBV_ACCESS_REMOTE_WRITE;
  if (!request.admitted && (!ahead.admitted || (reads && !ahead.all_but_reads))) return;
  const std::size_t drawn = request.pieces.empty() ? 0 : rng_.below(request.pieces.size());
  const Piece piece = !request.admitted || request.pieces.empty() ? Piece{0, request.bytes} : request.pieces[drawn];
  const std::uint64_t remote = request.remote + piece.from;
  if (!allows(peer, request.key, remote, piece.size, right)) {
    if (!ahead.finished) return;
    refuse(peer);
    return finish(request, IBV_WC_REM_ACCESS_ERR);
  }
  if (!std::exchange(request.admitted, true)) {
    ++(reads ? counters_.reads : counters_.writes);
    if (request.bytes == 0) finish(request, IBV_WC_SUCCESS);
    return;
  }
  if (reads) {
    move_bytes<false>(request.places, piece.from, remote, piece.size);
  } else {
    if (is_in_the_way(line, n, remote, piece.size)) return;
    move_bytes<true>(request.places, piece.from, remote, piece.size);
  }
  if (line.pair == nullptr) ++counters_.late;
  request.pieces.erase(request.pieces.begin() + static_cast<std::ptrdiff_t>(drawn));
  if (request.pieces.empty()) finish(request, IBV_WC_SUCCESS);
}

ibv_wc_status Card::deliver(Pair& peer, std::uint32_t from, std::span<const ibv_sge> places, std::size_t bytes,
                            __be32 immediate) {
  if (peer.receives.empty()) {
    ++counters_.not_ready;
    return IBV_WC_RNR_RETRY_EXC_ERR;
  }
  const Receive receive = peer.receives.front();
  SLIP_CHECK(holds(receive.place, peer.pd, IBV_ACCESS_LOCAL_WRITE), "a receive into memory that is not registered");
  if (bytes > receive.place.length) {
    end(peer);
    return IBV_WC_REM_INV_REQ_ERR;
  }
  peer.receives.pop();
  move_bytes<true>(places, 0, receive.place.addr, bytes);
  ++counters_.sends;
  CompletionQueue::Entry entry{};
  entry.completion.wr_id = receive.id;
  entry.completion.status = IBV_WC_SUCCESS;
  entry.completion.opcode = IBV_WC_RECV;
  entry.completion.byte_len = static_cast<std::uint32_t>(bytes);
  entry.completion.imm_data = immediate;
  entry.completion.wc_flags = IBV_WC_WITH_IMM;
  entry.completion.qp_num = peer.qp_num;
  entry.completion.src_qp = from;
  push(*static_cast<CompletionQueue*>(peer.recv_cq), entry);
  return IBV_WC_SUCCESS;
}

void Card::acknowledge(Line& line) {
  std::size_t n = 0;
  while (n < line.begun && line.requests[n].finished) ++n;
  if (n == 0) return;
  for (n = 1 + rng_.below(n); n > 0; --n, --line.begun) {
    const Request request = std::move(line.requests.front());
    line.requests.pop_front();
    if (request.signalled || request.status != IBV_WC_SUCCESS) {
      complete(*line.pair, request.id, request.number, request.opcode, request.status);
    }
    if (request.status != IBV_WC_SUCCESS) return end(*line.pair, false);
  }
}

}  // namespace slipstream::emulate::loopback_verbs
