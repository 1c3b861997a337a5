#include "emulate/fabric/verbs/verbs_fabric.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "emulate/fabric/real_clock.h"

namespace slipstream::emulate {

std::unique_ptr<RealFabric> make_verbs_fabric(const VerbsOptions& options) {
  return std::make_unique<verbs::VerbsFabric>(options);
}

}  // namespace slipstream::emulate

namespace slipstream::emulate::verbs {
namespace {

constexpr int kMostCompletions = 32;
// SoftRoCE has queues of at most 32767; a few large ones are looked at faster than many small ones.
constexpr int kQueueDepth = 16384;
// Polls between two looks at the sockets when nothing calls for one.
constexpr std::uint32_t kLookEvery = 256;
constexpr TimeNs kBusySleep = kMillisecond;

std::string bootstrap_address(const VerbsOptions& options) {
  SLIP_CHECK(index(options.node) < options.addresses.size(), "node {} has no address", index(options.node));
  return options.addresses[index(options.node)];
}

std::string rdma_address(const VerbsOptions& options) {
  if (!options.rdma_address.empty()) return options.rdma_address;
  const std::string address = bootstrap_address(options);
  return address.substr(0, address.rfind(':'));
}

FileDescriptor listener_of(const VerbsOptions& options) {
  if (options.listener >= 0) return FileDescriptor(options.listener);
  return FileDescriptor(listen_tcp(bootstrap_address(options)).descriptor);
}

void set_nonblocking(int descriptor) { ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK); }

Event event_of(EventKind kind, const VerbsChannel& channel, Ticket ticket = 0) {
  Event event;
  event.kind = kind;
  event.channel = channel.number;
  event.peer = channel.peer;
  event.ticket = ticket;
  return event;
}

}  // namespace

VerbsFabric::VerbsFabric(const VerbsOptions& options)
    : options_(options),
      device_(open_device(options.device, rdma_address(options))),
      bootstrap_(listener_of(options), options.node, options.secret),
      wakes_(ibv_create_comp_channel(device_.context.get())),
      windows_(device_) {
  SLIP_CHECK(options.ring_bytes >= 64 * kKiB && (options.ring_bytes & (options.ring_bytes - 1)) == 0);
  if (!wakes_) {
    throw std::runtime_error(fmt::format("no completion channel on {}: {}", device_.name, remedy(errno)));
  }
  set_nonblocking(wakes_->fd);
  set_nonblocking(device_.context->async_fd);
  bootstrap_.watch(wakes_->fd);
  bootstrap_.watch(device_.context->async_fd);
}

// Peers, and who dials, are told first: a kernel may take long over a queue pair.
VerbsFabric::~VerbsFabric() { bootstrap_.hang_up(); }

// Memory that already lies in a region of ours; asked once for each piece that is sent from there.
std::uint32_t VerbsFabric::local_key(const void* fabric, const std::byte* data, std::size_t bytes) {
  const auto& self = *static_cast<const VerbsFabric*>(fabric);
  const auto holds = [&](const Registered& r) { return r.region.holds({data, bytes}); };
  if (self.last_region_ >= self.regions_.size() || !holds(self.regions_[self.last_region_])) {
    const auto found = std::find_if(self.regions_.begin(), self.regions_.end(), holds);
    SLIP_CHECK(found != self.regions_.end(), "node {} sends from memory that is in no region of its own",
               index(self.options_.node));
    self.last_region_ = static_cast<std::size_t>(found - self.regions_.begin());
  }
  return self.regions_[self.last_region_].registration->lkey;
}

Region VerbsFabric::create_region(std::string_view name, std::size_t bytes, Access access) {
  LocalRegion region(name, bytes, access, options_.region_directory, options_.node);
  const Bytes memory = region.memory();
  Owned<ibv_mr> registration = register_memory(device_, memory.data(), std::max<std::size_t>(memory.size(), 1), false);
  regions_.push_back({std::move(region), std::move(registration)});
  return {static_cast<std::uint32_t>(regions_.size() - 1), memory};
}

// --- channels ---

std::size_t VerbsFabric::queue_with_room() {
  const std::uint32_t wanted = VerbsChannel::completions(options_.ring_bytes);
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    if (queues_[i].room >= wanted) return i;
  }
  const int depth = std::min(kQueueDepth, device_.attributes.max_cqe);
  Queue made;
  made.queue.reset(ibv_create_cq(device_.context.get(), depth, nullptr, wakes_.get(), 0));
  if (!made.queue) {
    throw std::runtime_error(fmt::format("no completion queue on {}: {}", device_.name, remedy(errno)));
  }
  made.room = static_cast<std::uint32_t>(depth);
  SLIP_CHECK(made.room >= wanted, "completion queues of {} are too short", device_.name);
  queues_.push_back(std::move(made));
  return queues_.size() - 1;
}

VerbsChannel& VerbsFabric::make_channel(Channel number, NodeId peer) {
  const std::size_t queue = queue_with_room();
  if (free_places_.empty()) {
    SLIP_CHECK(places_.size() < 0xffff, "node {} has {} channels", index(options_.node), places_.size());
    free_places_.push_back(static_cast<std::uint16_t>(places_.size()));
    places_.emplace_back();
  }
  const std::uint16_t at = free_places_.back();
  Place& place = places_[at];
  Surroundings around;
  around.device = &device_;
  around.windows = &windows_;
  around.queue = queues_[queue].queue.get();
  around.ring_bytes = options_.ring_bytes;
  around.local_key = &local_key;
  around.fabric = this;
  const std::uint32_t id = static_cast<std::uint32_t>(at) << 16 | place.generation;
  place.channel = std::make_unique<VerbsChannel>(number, peer, id, around);
  place.queue = queue;
  queues_[queue].room -= VerbsChannel::completions(options_.ring_bytes);
  free_places_.pop_back();
  auto& table = number < kFirstAccepted ? near_ : far_;
  const std::size_t i = number % kFirstAccepted;
  if (table.size() <= i) table.resize(i + 1);
  table[i] = place.channel.get();
  return *place.channel;
}

VerbsChannel* VerbsFabric::find(Channel number) {
  const auto& table = number < kFirstAccepted ? near_ : far_;
  const std::size_t i = number % kFirstAccepted;
  return i < table.size() ? table[i] : nullptr;
}

// A completion of a channel that is no more leads nowhere.
VerbsChannel* VerbsFabric::of_completion(std::uint64_t wr_id) {
  const auto id = static_cast<std::uint32_t>(wr_id >> 32);
  const std::size_t at = id >> 16;
  if (at >= places_.size()) return nullptr;
  VerbsChannel* const channel = places_[at].channel.get();
  return channel == nullptr || channel->id != id || channel->state == VerbsChannel::State::kDead ? nullptr : channel;
}

void VerbsFabric::connect(const Op& op) {
  SLIP_CHECK(op.channel < kFirstAccepted && find(op.channel) == nullptr, "channel {} is in use", op.channel);
  if (index(op.peer) >= options_.addresses.size()) {
    Event event;
    event.kind = EventKind::kDown;
    event.channel = op.channel;
    event.peer = op.peer;
    local_.push(event);
    return;
  }
  VerbsChannel& channel = make_channel(op.channel, op.peer);
  channel.link = &bootstrap_.connect(options_.addresses[index(op.peer)], options_.connect_patience_ns, channel);
  look_now_ = true;
}

void VerbsFabric::up(VerbsChannel& channel) {
  channel.state = VerbsChannel::State::kUp;
  write_order_ = channel.write_order();
  local_.push(event_of(EventKind::kConnected, channel));
}

void VerbsFabric::on_greeting(Link& link) {
  const Greeting theirs = bootstrap_.greeting_of(link);
  if (link.connects) {
    VerbsChannel& channel = *link.channel;
    if (!channel.meet(theirs) || !bootstrap_.say_ready(link)) return down(channel);
    channel.other_end_is_ready();
    return up(channel);
  }
  SLIP_CHECK(far_.size() < kFirstAccepted, "node {} has accepted {} channels", index(options_.node), far_.size());
  const auto number = static_cast<Channel>(kFirstAccepted + far_.size());
  VerbsChannel& channel = make_channel(number, NodeId{theirs.from});
  channel.link = &link;
  link.channel = &channel;
  if (!channel.meet(theirs) || !bootstrap_.greet(link, channel.greeting())) return end(channel);
  up(channel);  // it may receive; what it sends waits for the other end's last word
}

void VerbsFabric::look_at_sockets() {
  look_now_ = false;
  link_events_.clear();
  bootstrap_.poll(link_events_);
  for (const LinkEvent& event : link_events_) {
    Link& link = *event.link;
    if (link.state == Link::State::kClosed) continue;
    switch (event.kind) {
      case LinkEvent::Kind::kConnected:
        if (!bootstrap_.greet(link, link.channel->greeting())) down(*link.channel);
        break;
      case LinkEvent::Kind::kGreeting: on_greeting(link); break;
      case LinkEvent::Kind::kReady:
        link.channel->other_end_is_ready();
        mark_waiting(*link.channel);
        break;
      case LinkEvent::Kind::kGone:
        if (link.channel->state == VerbsChannel::State::kConnecting) {
          down(*link.channel);
          break;
        }
        link.channel->is_deserted = true;  // what it sent before it went comes first
        look_at_completions();
        if (link.state != Link::State::kClosed) mark_ready(*link.channel);
        break;
    }
  }
  hear_device();
}

// A device or port that is lost takes all its channels along.
void VerbsFabric::hear_device() {
  ibv_async_event event{};
  while (ibv_get_async_event(device_.context.get(), &event) == 0) {
    ibv_ack_async_event(&event);
    const bool lost = event.event_type == IBV_EVENT_DEVICE_FATAL ||
                      (event.event_type == IBV_EVENT_PORT_ERR && event.element.port_num == device_.port);
    for (std::size_t i = 0; lost && i < places_.size(); ++i) {
      if (places_[i].channel && places_[i].channel->state != VerbsChannel::State::kDead) down(*places_[i].channel);
    }
  }
}

void VerbsFabric::revoke(Channel number) {
  if (VerbsChannel* const channel = find(number); channel != nullptr) end(*channel);
  Event event;
  event.kind = EventKind::kRevoked;
  event.channel = number;
  local_.push(event);
}

void VerbsFabric::end(VerbsChannel& channel) {
  // Its peer is told first: a kernel may take long over a queue pair.
  if (channel.link != nullptr) bootstrap_.close(*channel.link);
  channel.link = nullptr;
  channel.kill();
  (channel.number < kFirstAccepted ? near_ : far_)[channel.number % kFirstAccepted] = nullptr;
  retired_.push_back(static_cast<std::uint16_t>(channel.id >> 16));
}

void VerbsFabric::down(VerbsChannel& channel) {
  if (channel.state == VerbsChannel::State::kDead) return;
  end(channel);
  local_.push(event_of(EventKind::kDown, channel));
}

// Views of the last poll have ended: dead channels can go.
void VerbsFabric::forget_retired() {
  for (const std::uint16_t at : retired_) {
    Place& place = places_[at];
    for (auto* list : {&acks_, &ready_, &held_, &dirty_, &waiting_}) std::erase(*list, place.channel.get());
    bytes_of_dead_ += place.channel->bytes_sent();
    queues_[place.queue].room += VerbsChannel::completions(options_.ring_bytes);
    place.channel.reset();
    ++place.generation;
    free_places_.push_back(at);
  }
  retired_.clear();
}

// --- ops ---

void VerbsFabric::post(std::span<const Op> ops) {
  for (const Op& op : ops) {
    if (op.kind == OpKind::kConnect) {
      connect(op);
      continue;
    }
    if (op.kind == OpKind::kRevoke) {
      revoke(op.channel);
      continue;
    }
    VerbsChannel* const channel = find(op.channel);
    if (channel == nullptr || channel->state != VerbsChannel::State::kUp) continue;
    if (op.kind == OpKind::kGrant) {
      const bool ours = std::any_of(regions_.begin(), regions_.end(),
                                    [&](const Registered& r) { return r.region.may_grant(op.local); });
      SLIP_CHECK(ours, "node {} grants memory that is not in a grantable region of its own", index(options_.node));
    }
    channel->post(op);
    mark_dirty(*channel);
  }
  for (VerbsChannel* const channel : dirty_) {
    channel->dirty = false;
    flush(*channel);
  }
  dirty_.clear();
}

void VerbsFabric::flush(VerbsChannel& channel) {
  if (channel.state == VerbsChannel::State::kDead) return;
  channel.flush();
  if (channel.is_broken()) return down(channel);
  if (channel.has_waiting()) mark_waiting(channel);
}

void VerbsFabric::mark_dirty(VerbsChannel& channel) {
  if (!std::exchange(channel.dirty, true)) dirty_.push_back(&channel);
}
void VerbsFabric::mark_waiting(VerbsChannel& channel) {
  if (!std::exchange(channel.waiting, true)) waiting_.push_back(&channel);
}
void VerbsFabric::mark_ready(VerbsChannel& channel) {
  if (!std::exchange(channel.ready, true)) ready_.push_back(&channel);
}

// --- a poll ---

void VerbsFabric::on_completion(const ibv_wc& completion) {
  VerbsChannel* const channel = of_completion(completion.wr_id);
  if (channel == nullptr) return;
  if (completion.status != IBV_WC_SUCCESS) return down(*channel);
  if ((completion.opcode & IBV_WC_RECV) != 0) {
    channel->other_end_is_ready();  // a message may overtake the last word of the handshake
    channel->on_received(completion);
    mark_ready(*channel);
    if (channel->has_waiting()) mark_waiting(*channel);
    return;
  }
  VerbsChannel::Done done;
  while (channel->take_done(static_cast<std::uint32_t>(completion.wr_id), done)) {
    if (done.kind == VerbsChannel::Done::Kind::kAck) {
      channel->ack = done.ticket;
      if (!std::exchange(channel->ack_listed, true)) acks_.push_back(channel);
      continue;
    }
    // In their order: what was acknowledged before the read is told before it.
    if (channel->ack != 0) local_.push(event_of(EventKind::kAcked, *channel, std::exchange(channel->ack, 0)));
    local_.push(event_of(EventKind::kReadDone, *channel, done.ticket));
  }
  if (channel->has_waiting()) mark_waiting(*channel);
}

bool VerbsFabric::look_at_completions() {
  bool any = false;
  for (const Queue& queue : queues_) {
    ibv_wc completions[kMostCompletions];
    int n = kMostCompletions;
    while (n == kMostCompletions) {
      n = ibv_poll_cq(queue.queue.get(), kMostCompletions, completions);
      SLIP_CHECK(n >= 0, "a completion queue of {} cannot be polled", device_.name);
      for (int i = 0; i < n; ++i) on_completion(completions[i]);
      any = any || n > 0;
    }
  }
  return any;
}

void VerbsFabric::release_views() {
  for (VerbsChannel* const channel : held_) {
    channel->held = false;
    if (channel->state == VerbsChannel::State::kDead) continue;
    channel->release();
    mark_ready(*channel);  // behind a message from pieces there may be more
    if (channel->has_waiting()) mark_waiting(*channel);
  }
  held_.clear();
}

void VerbsFabric::work_off_waiting() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    VerbsChannel* const channel = waiting_[i];
    channel->waiting = false;
    if (channel->state != VerbsChannel::State::kUp) continue;
    channel->work_off();
    channel->flush();
    if (channel->is_broken()) {
      down(*channel);
    } else if (channel->has_waiting()) {
      channel->waiting = true;
      waiting_[kept++] = channel;
    }
  }
  waiting_.resize(kept);
}

std::size_t VerbsFabric::take_local(std::span<Event> events) {
  std::size_t n = 0;
  for (; n < events.size() && !local_.empty(); ++n) {
    events[n] = local_.front();
    local_.pop();
  }
  return n;
}

std::size_t VerbsFabric::take_acks(std::span<Event> events) {
  std::size_t n = 0;
  std::size_t done = 0;
  for (; done < acks_.size() && n < events.size(); ++done) {
    VerbsChannel& channel = *acks_[done];
    channel.ack_listed = false;
    if (channel.ack != 0) events[n++] = event_of(EventKind::kAcked, channel, std::exchange(channel.ack, 0));
  }
  acks_.erase(acks_.begin(), acks_.begin() + static_cast<std::ptrdiff_t>(done));
  return n;
}

// True: `event` is a message for the node. What is for the fabric raises its events behind the local ones.
bool VerbsFabric::take_frame(VerbsChannel& channel, const Frame& frame, Event& event) {
  if (frame.header.kind == FrameKind::kMessage) {
    event = event_of(EventKind::kMessage, channel);
    event.bytes = frame.bytes;
    event.tag = next_tag_++;
    event.is_answer = (frame.header.flags & kIsAnswer) != 0;
    return true;
  }
  if (frame.header.kind == FrameKind::kGrant && frame.bytes.size() == sizeof(GrantFrame)) {
    GrantFrame grant;
    std::memcpy(&grant, frame.bytes.data(), sizeof grant);
    channel.learn(grant);
    channel.answer(FrameKind::kLearned, grant.key);
  } else if (frame.bytes.size() == sizeof(KeyFrame)) {
    KeyFrame body;
    std::memcpy(&body, frame.bytes.data(), sizeof body);
    std::optional<Ticket> ticket;
    if (frame.header.kind == FrameKind::kWithdraw) {
      channel.unlearn(body.key);
      channel.answer(FrameKind::kWithdrawn, body.key);
    } else if (frame.header.kind == FrameKind::kLearned) {
      ticket = channel.on_learned(body.key);
    } else {
      ticket = channel.on_withdrawn(body.key);
    }
    if (ticket) {
      const bool granted = frame.header.kind == FrameKind::kLearned;
      Event ended = event_of(granted ? EventKind::kGranted : EventKind::kWithdrawn, channel, *ticket);
      if (granted) ended.key = body.key;
      local_.push(ended);
    }
  }
  mark_waiting(channel);
  return false;
}

std::size_t VerbsFabric::take_messages(std::span<Event> events) {
  std::size_t n = 0;
  std::size_t done = 0;
  for (; done < ready_.size() && n < events.size(); ++done) {
    VerbsChannel& channel = *ready_[done];
    Frame frame;
    ReceiveRing::Next next = ReceiveRing::Next::kNothing;
    while (channel.state == VerbsChannel::State::kUp && n < events.size() &&
           (next = channel.ring().next(frame)) == ReceiveRing::Next::kFrame) {
      if (take_frame(channel, frame, events[n])) ++n;
    }
    if (channel.state == VerbsChannel::State::kUp) {
      if (channel.ring().needs_release() && !std::exchange(channel.held, true)) held_.push_back(&channel);
      if (next == ReceiveRing::Next::kFrame) break;  // no room for more events
      if (next == ReceiveRing::Next::kGarbled || (channel.is_deserted && !channel.ring().is_assembled())) down(channel);
    }
    channel.ready = false;
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(done));
  return n;
}

std::size_t VerbsFabric::poll(std::span<Event> events) {
  if (!retired_.empty()) forget_retired();
  if (!held_.empty()) release_views();
  look_at_completions();
  if (look_now_ || bootstrap_.is_busy() || ++polls_ % kLookEvery == 0) look_at_sockets();
  std::size_t n = take_local(events);
  n += take_acks(events.subspan(n));
  n += take_messages(events.subspan(n));
  if (!waiting_.empty()) work_off_waiting();
  if (n < events.size() && !local_.empty()) n += take_local(events.subspan(n));
  return n;
}

// --- sleep ---

bool VerbsFabric::arm() {
  for (const Queue& queue : queues_) ibv_req_notify_cq(queue.queue.get(), 0);
  // Whatever came meanwhile may also have made room for what waits.
  if (look_at_completions()) return false;
  return local_.empty() && acks_.empty() && ready_.empty() && held_.empty() && retired_.empty();
}

void VerbsFabric::disarm() {
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  while (ibv_get_cq_event(wakes_.get(), &queue, &context) == 0) ibv_ack_cq_events(queue, 1);
  look_now_ = true;
}

TimeNs VerbsFabric::longest_sleep_ns() const { return bootstrap_.is_busy() ? kBusySleep : kNever; }

std::uint64_t VerbsFabric::network_bytes() const {
  std::uint64_t bytes = bytes_of_dead_;
  for (const Place& place : places_) {
    if (place.channel) bytes += place.channel->bytes_sent();
  }
  return bytes;
}

}  // namespace slipstream::emulate::verbs
