#include "emulate/fabric/verbs/loopback/loopback_verbs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/base/check.h"
#include "emulate/fabric/verbs/loopback/card.h"

// The header has macros over these two.
#undef ibv_query_port
#undef ibv_reg_mr

namespace slipstream::emulate::loopback_verbs {
namespace {

// A port's table of GIDs as real ones are: each address for both versions of RoCE, the link's own first, and a hole.
constexpr std::uint8_t kAddresses = 8;
constexpr std::uint32_t kGids = 2 * (kAddresses + 1);
constexpr std::uint32_t kHole = kGids;

Card& card() {
  static Card card;
  return card;
}

Domain& domain_of(ibv_pd* domain) { return *static_cast<Domain*>(domain); }

template <typename Object>
Object* refused(int error) {
  errno = error;
  return nullptr;
}

ibv_device& device() {
  static ibv_device device = [] {
    ibv_device made{};
    made.node_type = IBV_NODE_CA;
    made.transport_type = IBV_TRANSPORT_IB;
    std::strcpy(made.name, "loopback0");
    std::strcpy(made.dev_name, "uverbs0");
    return made;
  }();
  return device;
}

bool gid_at(std::uint32_t index, ibv_gid_entry& entry) {
  if (index >= kHole) return false;
  entry = {};
  entry.gid_index = index;
  entry.port_num = 1;
  entry.gid_type = index % 2 == 0 ? IBV_GID_TYPE_ROCE_V1 : IBV_GID_TYPE_ROCE_V2;
  if (index < 2) {
    entry.gid.raw[0] = 0xfe;
    entry.gid.raw[1] = 0x80;
    entry.gid.raw[15] = 1;
    return true;
  }
  entry.gid.raw[10] = entry.gid.raw[11] = 0xff;
  entry.gid.raw[12] = 127;
  entry.gid.raw[15] = static_cast<std::uint8_t>(index / 2);
  return true;
}

bool has_gid(const ibv_gid& gid) {
  ibv_gid_entry entry{};
  for (std::uint32_t i = 0; i < kGids; ++i) {
    if (gid_at(i, entry) && std::memcmp(entry.gid.raw, gid.raw, sizeof gid.raw) == 0) return true;
  }
  return false;
}

// --- what the header's inline functions call ---

ibv_mw* alloc_mw(ibv_pd* domain, ibv_mw_type type) {
  if (type != IBV_MW_TYPE_2) return refused<ibv_mw>(EOPNOTSUPP);
  auto window = std::make_unique<Window>();
  window->context = domain->context;
  window->pd = domain;
  window->type = type;
  window->rkey = window->key = card().enter(window.get());
  ++domain_of(domain).objects;
  return window.release();
}

int dealloc_mw(ibv_mw* window) {
  const std::unique_ptr<Window> owned(static_cast<Window*>(window));
  card().forget(*owned);
  --domain_of(owned->pd).objects;
  return 0;
}

int poll_cq(ibv_cq* queue, int most, ibv_wc* into) {
  return card().poll(*static_cast<CompletionQueue*>(queue), {into, static_cast<std::size_t>(most)});
}

int req_notify_cq(ibv_cq* queue, int) {
  card().moment();
  SLIP_CHECK(queue->channel != nullptr, "a completion queue without a channel cannot notify");
  static_cast<CompletionQueue*>(queue)->armed = true;
  return 0;
}

int post_send(ibv_qp* pair, ibv_send_wr* wanted, ibv_send_wr** bad) {
  return card().post(*static_cast<Pair*>(pair), wanted, bad);
}
int post_recv(ibv_qp* pair, ibv_recv_wr* wanted, ibv_recv_wr** bad) {
  return card().post(*static_cast<Pair*>(pair), wanted, bad);
}

ibv_mr* register_memory(ibv_pd* domain, void* address, std::size_t bytes, int rights) {
  if (bytes == 0) return refused<ibv_mr>(EINVAL);
  auto registration = std::make_unique<Registration>();
  registration->context = domain->context;
  registration->pd = domain;
  registration->addr = address;
  registration->length = bytes;
  registration->rights = rights;
  registration->lkey = registration->rkey = card().enter(registration.get());
  ++domain_of(domain).objects;
  return registration.release();
}

// What each step of a reliable connection must bring (InfiniBand 1.3, table 96).
struct Step {
  ibv_qp_state from;
  ibv_qp_state to;
  int brings;
};
constexpr std::array<Step, 3> kSteps = {{
    {IBV_QPS_RESET, IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS},
    {IBV_QPS_INIT, IBV_QPS_RTR,
     IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER},
    {IBV_QPS_RTR, IBV_QPS_RTS,
     IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC},
}};

}  // namespace

void use(const Options& options) { card().use(options); }
bool advance() { return card().advance(); }
void break_at(std::uint64_t moment) { card().break_at(moment); }
void raise(ibv_event_type event) { card().raise(event); }
const Counters& counters() { return card().counters(); }

}  // namespace slipstream::emulate::loopback_verbs

namespace stand_in = slipstream::emulate::loopback_verbs;

extern "C" {

ibv_device** ibv_get_device_list(int* count) {
  if (count != nullptr) *count = 1;
  auto list = std::make_unique<ibv_device*[]>(2);
  list[0] = &stand_in::device();
  return list.release();
}
void ibv_free_device_list(ibv_device** list) { delete[] list; }
const char* ibv_get_device_name(ibv_device* device) { return device->name; }

ibv_context* ibv_open_device(ibv_device* device) {
  auto context = std::make_unique<stand_in::Context>();
  context->device = device;
  context->async_fd = context->async.fd;
  context->cmd_fd = -1;
  context->num_comp_vectors = 1;
  context->ops.alloc_mw = stand_in::alloc_mw;
  context->ops.dealloc_mw = stand_in::dealloc_mw;
  context->ops.poll_cq = stand_in::poll_cq;
  context->ops.req_notify_cq = stand_in::req_notify_cq;
  context->ops.post_send = stand_in::post_send;
  context->ops.post_recv = stand_in::post_recv;
  stand_in::card().contexts.push_back(context.get());
  return context.release();
}

int ibv_close_device(ibv_context* context) {
  const std::unique_ptr<stand_in::Context> owned(static_cast<stand_in::Context*>(context));
  SLIP_CHECK(owned->domains == 0, "a device is closed under {} protection domains", owned->domains);
  std::erase(stand_in::card().contexts, owned.get());
  return 0;
}

int ibv_query_device(ibv_context*, ibv_device_attr* attributes) {
  *attributes = {};
  attributes->device_cap_flags = IBV_DEVICE_MEM_WINDOW | IBV_DEVICE_MEM_WINDOW_TYPE_2B;
  attributes->max_mw = 1 << 20;
  attributes->max_mr = 1 << 20;
  attributes->max_qp = 1 << 16;
  attributes->max_qp_wr = 1 << 14;
  attributes->max_sge = 16;
  attributes->max_cq = 1 << 16;
  attributes->max_cqe = (1 << 15) - 1;
  attributes->max_qp_rd_atom = 16;
  attributes->phys_port_cnt = 1;
  return 0;
}

int ibv_query_port(ibv_context*, std::uint8_t port, _compat_ibv_port_attr* into) {
  if (port != 1) return EINVAL;
  auto& attributes = *reinterpret_cast<ibv_port_attr*>(into);
  attributes = {};
  attributes.state = IBV_PORT_ACTIVE;
  attributes.max_mtu = attributes.active_mtu = IBV_MTU_1024;
  attributes.gid_tbl_len = stand_in::kHole + 1;
  attributes.max_msg_sz = stand_in::card().options().most_message;
  attributes.link_layer = IBV_LINK_LAYER_ETHERNET;
  return 0;
}

int _ibv_query_gid_ex(ibv_context*, std::uint32_t port, std::uint32_t index, ibv_gid_entry* entry, std::uint32_t,
                      std::size_t size) {
  return port == 1 && size == sizeof *entry && stand_in::gid_at(index, *entry) ? 0 : ENODATA;
}

ibv_pd* ibv_alloc_pd(ibv_context* context) {
  auto domain = std::make_unique<stand_in::Domain>();
  domain->context = context;
  ++static_cast<stand_in::Context*>(context)->domains;
  return domain.release();
}
int ibv_dealloc_pd(ibv_pd* domain) {
  const std::unique_ptr<stand_in::Domain> owned(static_cast<stand_in::Domain*>(domain));
  SLIP_CHECK(owned->objects == 0, "a protection domain ends under {} objects", owned->objects);
  --static_cast<stand_in::Context*>(owned->context)->domains;
  return 0;
}

ibv_mr* ibv_reg_mr(ibv_pd* domain, void* address, std::size_t bytes, int rights) {
  return stand_in::register_memory(domain, address, bytes, rights);
}
ibv_mr* ibv_reg_mr_iova2(ibv_pd* domain, void* address, std::size_t bytes, std::uint64_t, unsigned rights) {
  return stand_in::register_memory(domain, address, bytes, static_cast<int>(rights));
}
int ibv_dereg_mr(ibv_mr* registration) {
  const std::unique_ptr<stand_in::Registration> owned(static_cast<stand_in::Registration*>(registration));
  stand_in::card().forget(*owned);
  --stand_in::domain_of(owned->pd).objects;
  return 0;
}

ibv_comp_channel* ibv_create_comp_channel(ibv_context* context) {
  auto channel = std::make_unique<stand_in::CompletionChannel>();
  channel->context = context;
  channel->fd = channel->events.fd;
  return channel.release();
}
int ibv_destroy_comp_channel(ibv_comp_channel* channel) {
  SLIP_CHECK(channel->refcnt == 0, "a completion channel ends under {} queues", channel->refcnt);
  delete static_cast<stand_in::CompletionChannel*>(channel);
  return 0;
}
int ibv_get_cq_event(ibv_comp_channel* channel, ibv_cq** queue, void** context) {
  stand_in::CompletionQueue* told = nullptr;
  if (!static_cast<stand_in::CompletionChannel*>(channel)->events.take(told)) return -1;
  *queue = told;
  *context = told->cq_context;
  return 0;
}
void ibv_ack_cq_events(ibv_cq* queue, unsigned count) {
  auto& unacknowledged = static_cast<stand_in::CompletionQueue*>(queue)->unacknowledged;
  SLIP_CHECK(count <= unacknowledged);
  unacknowledged -= count;
}

ibv_cq* ibv_create_cq(ibv_context* context, int depth, void* cq_context, ibv_comp_channel* channel, int) {
  if (depth < 1) return stand_in::refused<ibv_cq>(EINVAL);
  auto queue = std::make_unique<stand_in::CompletionQueue>();
  queue->context = context;
  queue->channel = channel;
  queue->cq_context = cq_context;
  queue->cqe = depth;
  if (channel != nullptr) ++channel->refcnt;
  return queue.release();
}
int ibv_destroy_cq(ibv_cq* queue) {
  const std::unique_ptr<stand_in::CompletionQueue> owned(static_cast<stand_in::CompletionQueue*>(queue));
  SLIP_CHECK(owned->pairs == 0, "a completion queue ends under {} queue pairs", owned->pairs);
  if (owned->channel == nullptr) return 0;
  // The kernel forgets what nobody has fetched; what was fetched and never acknowledged would be waited for for ever.
  auto& events = static_cast<stand_in::CompletionChannel*>(owned->channel)->events;
  const auto waiting = static_cast<std::uint32_t>(std::count(events.events.begin(), events.events.end(), owned.get()));
  SLIP_CHECK(owned->unacknowledged == waiting, "a completion queue ends before its events were acknowledged");
  events.forget_if([&](const stand_in::CompletionQueue* told) { return told == owned.get(); });
  --owned->channel->refcnt;
  return 0;
}

ibv_qp* ibv_create_qp(ibv_pd* domain, ibv_qp_init_attr* wanted) {
  const ibv_qp_cap& cap = wanted->cap;
  if (wanted->qp_type != IBV_QPT_RC || cap.max_inline_data > stand_in::card().options().most_inline ||
      cap.max_send_sge > 16 || cap.max_recv_sge > 1 || wanted->sq_sig_all != 0) {
    return stand_in::refused<ibv_qp>(EINVAL);
  }
  auto pair = std::make_unique<stand_in::Pair>();
  pair->context = domain->context;
  pair->pd = domain;
  pair->qp_context = wanted->qp_context;
  pair->send_cq = wanted->send_cq;
  pair->recv_cq = wanted->recv_cq;
  pair->qp_type = wanted->qp_type;
  pair->state = IBV_QPS_RESET;
  pair->cap = cap;
  ++static_cast<stand_in::CompletionQueue*>(pair->send_cq)->pairs;
  ++static_cast<stand_in::CompletionQueue*>(pair->recv_cq)->pairs;
  ++stand_in::domain_of(domain).objects;
  stand_in::card().enter(*pair);
  return pair.release();
}

int ibv_destroy_qp(ibv_qp* ended) {
  const std::unique_ptr<stand_in::Pair> pair(static_cast<stand_in::Pair*>(ended));
  stand_in::card().forget(*pair);
  --static_cast<stand_in::CompletionQueue*>(pair->send_cq)->pairs;
  --static_cast<stand_in::CompletionQueue*>(pair->recv_cq)->pairs;
  --stand_in::domain_of(pair->pd).objects;
  return 0;
}

int ibv_modify_qp(ibv_qp* changed, ibv_qp_attr* wanted, int brings) {
  auto& pair = *static_cast<stand_in::Pair*>(changed);
  stand_in::card().moment();
  if ((brings & IBV_QP_STATE) == 0) return EINVAL;
  if (wanted->qp_state == IBV_QPS_ERR) {
    stand_in::card().end(pair);
    return 0;
  }
  const auto step = std::find_if(stand_in::kSteps.begin(), stand_in::kSteps.end(), [&](const stand_in::Step& s) {
    return s.from == pair.state && s.to == wanted->qp_state;
  });
  if (step == stand_in::kSteps.end() || (brings & step->brings) != step->brings) return EINVAL;
  if (wanted->qp_state == IBV_QPS_RTR) {
    const bool good = wanted->ah_attr.is_global == 1 && stand_in::has_gid(wanted->ah_attr.grh.dgid) &&
                      wanted->ah_attr.grh.sgid_index % 2 == 1 && wanted->path_mtu <= IBV_MTU_1024;
    if (!good) return EINVAL;
    pair.line.to = wanted->dest_qp_num;
  }
  pair.state = wanted->qp_state;
  return 0;
}

int ibv_query_qp_data_in_order(ibv_qp*, ibv_wr_opcode, std::uint32_t) { return 0; }

int ibv_get_async_event(ibv_context* context, ibv_async_event* event) {
  return static_cast<stand_in::Context*>(context)->async.take(*event) ? 0 : -1;
}
void ibv_ack_async_event(ibv_async_event*) {}

}  // extern "C"
