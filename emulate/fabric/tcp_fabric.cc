#include "emulate/fabric/tcp_fabric.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "core/base/check.h"
#include "emulate/fabric/real_clock.h"
#include "emulate/fabric/tcp_address.h"

namespace slipstream::emulate {

namespace {

constexpr TimeNs kTryAgainEvery = kMillisecond;
constexpr std::size_t kMostStrangers = 64;
constexpr std::size_t kMostEpollEvents = 64;
// A grant's slot is in the low bits of its key; above it the granter's running number, so that no key comes twice.
constexpr std::uint64_t kSlotBits = 16;
constexpr std::uint64_t kSlotMask = (1 << kSlotBits) - 1;

template <typename T>
void put_frame(OutputQueue& out, tcp::FrameKind kind, std::uint8_t flags, const T& head, std::size_t more = 0) {
  out.put_value(tcp::FrameHeader{static_cast<std::uint32_t>(sizeof head + more), kind, flags, 0});
  out.put_value(head);
}

Event event_of(EventKind kind, const TcpChannel& channel, Ticket ticket = 0) {
  Event event;
  event.kind = kind;
  event.channel = channel.number;
  event.peer = channel.peer;
  event.ticket = ticket;
  return event;
}

}  // namespace

std::unique_ptr<RealFabric> make_tcp_fabric(const TcpOptions& options) { return std::make_unique<TcpFabric>(options); }

TcpFabric::TcpFabric(const TcpOptions& options) : options_(options), listener_(options.listener) {
  SLIP_CHECK(index(options.node) < options.addresses.size(), "node {} has no address", index(options.node));
  if (!listener_.valid()) listener_ = FileDescriptor(listen_tcp(options.addresses[index(options.node)]).descriptor);
  epoll_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {};
  event.events = EPOLLIN;
  if (!epoll_.valid() || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event) != 0) {
    throw std::runtime_error(
        fmt::format("cannot watch sockets: {}; raise the limit of open files (ulimit -n)", std::strerror(errno)));
  }
}

Region TcpFabric::create_region(std::string_view name, std::size_t bytes, Access access) {
  regions_.emplace_back(name, bytes, access, options_.region_directory, options_.node);
  return {static_cast<std::uint32_t>(regions_.size() - 1), regions_.back().memory()};
}

// --- channels ---

TcpFabric::ChannelPtr& TcpFabric::slot(Channel number) {
  auto& table = number < kFirstAccepted ? near_ : far_;
  const std::size_t i = number % kFirstAccepted;
  if (table.size() <= i) table.resize(i + 1);
  return table[i];
}

TcpChannel* TcpFabric::find(Channel number) {
  const auto& table = number < kFirstAccepted ? near_ : far_;
  const std::size_t i = number % kFirstAccepted;
  TcpChannel* const channel = i < table.size() ? table[i].get() : nullptr;
  return channel == nullptr || channel->state == TcpChannel::State::kDead ? nullptr : channel;
}

void TcpFabric::connect(const Op& op) {
  SLIP_CHECK(op.channel < kFirstAccepted && find(op.channel) == nullptr, "channel {} is in use", op.channel);
  auto channel = std::make_shared<TcpChannel>(op.channel, op.peer, TcpChannel::State::kConnecting);
  slot(op.channel) = channel;
  put_frame(channel->out, tcp::FrameKind::kHello, 0, greeting_for(op.peer));
  if (index(op.peer) >= options_.addresses.size()) {
    down(*channel);
    return;
  }
  channel->give_up_at = monotonic_ns() + options_.connect_patience_ns;
  start_connecting(*channel);
}

void TcpFabric::start_connecting(TcpChannel& channel) {
  const sockaddr_in name = parse_address(options_.addresses[index(channel.peer)]);
  channel.socket = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  channel.epoll_events = 0;
  if (!channel.socket.valid()) {
    throw std::runtime_error(
        fmt::format("cannot open a socket: {}; raise the limit of open files (ulimit -n)", std::strerror(errno)));
  }
  if (::connect(channel.socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
      errno != EINPROGRESS) {
    failed_to_connect(channel);
    return;
  }
  watch(channel, EPOLLIN | EPOLLOUT);
}

void TcpFabric::failed_to_connect(TcpChannel& channel) {
  channel.socket.reset();
  if (monotonic_ns() >= channel.give_up_at) {
    down(channel);
  } else {
    waiting_.push_back(slot(channel.number));
  }
}

void TcpFabric::try_again() {
  std::vector<ChannelPtr> waiting;
  waiting.swap(waiting_);
  for (const ChannelPtr& channel : waiting) {
    if (channel->state == TcpChannel::State::kConnecting) start_connecting(*channel);
  }
}

void TcpFabric::connected(TcpChannel& channel) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(channel.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    failed_to_connect(channel);
    return;
  }
  const int yes = 1;
  ::setsockopt(channel.socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  channel.state = TcpChannel::State::kGreeting;
  mark_dirty(channel);
}

tcp::Greeting TcpFabric::greeting_for(NodeId peer) const {
  return {tcp::kMagic, index(options_.node), index(peer), options_.secret};
}

void TcpFabric::accept_all() {
  while (true) {
    if (strangers_.size() >= kMostStrangers) {
      listening_ = false;
      epoll_event nothing = {};
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &nothing);
      return;
    }
    FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) return;
    const int yes = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    auto channel = std::make_shared<TcpChannel>(Channel{0}, kNoNode, TcpChannel::State::kGreeting);
    channel->socket = std::move(socket);
    channel->give_up_at = monotonic_ns() + options_.greeting_patience_ns;
    watch(*channel, EPOLLIN);
    strangers_.push_back(std::move(channel));
  }
}

// Who has spoken, and was not heard because this node had a long turn, is not silent.
void TcpFabric::turn_away_the_silent() {
  const TimeNs now = monotonic_ns();
  std::byte byte{};
  while (!strangers_.empty() && strangers_.front()->give_up_at <= now) {
    TcpChannel& stranger = *strangers_.front();
    if (::recv(stranger.socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) return;
    down(stranger);
  }
}

void TcpFabric::listen_again() {
  if (listening_ || strangers_.size() >= kMostStrangers) return;
  listening_ = true;
  epoll_event event = {};
  event.events = EPOLLIN;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event);
}

void TcpFabric::accepted(TcpChannel& channel, NodeId from) {
  const auto stranger =
      std::find_if(strangers_.begin(), strangers_.end(), [&](const auto& s) { return s.get() == &channel; });
  SLIP_CHECK(stranger != strangers_.end());
  SLIP_CHECK(far_.size() < kFirstAccepted, "node {} has accepted {} channels", index(options_.node), far_.size());
  channel.number = static_cast<Channel>(kFirstAccepted + far_.size());
  channel.peer = from;
  channel.state = TcpChannel::State::kUp;
  far_.push_back(std::move(*stranger));
  strangers_.erase(stranger);
  put_frame(channel.out, tcp::FrameKind::kWelcome, 0, greeting_for(from));
  mark_dirty(channel);
  local_.push(event_of(EventKind::kConnected, channel));
}

void TcpFabric::watch(TcpChannel& channel, std::uint32_t events) {
  if (channel.epoll_events == events) return;
  epoll_event event = {};
  event.events = events;
  event.data.ptr = &channel;
  ::epoll_ctl(epoll_.get(), channel.epoll_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, channel.socket.get(), &event);
  channel.epoll_events = events;
}

void TcpFabric::revoke(Channel number) {
  if (TcpChannel* const channel = find(number); channel != nullptr) end(*channel);
  Event event;
  event.kind = EventKind::kRevoked;
  event.channel = number;
  local_.push(event);
}

// This fabric alone applies the peer's writes: once the socket is closed nothing can land.
void TcpFabric::end(TcpChannel& channel) {
  const bool stranger = channel.number == 0 && channel.peer == kNoNode;
  channel.state = TcpChannel::State::kDead;
  channel.socket.reset();
  channel.out.clear();
  channel.ack = 0;
  channel.landing = TcpChannel::Landing::kNothing;
  if (!stranger) {
    retired_.push_back(slot(channel.number));
    return;
  }
  const auto at =
      std::find_if(strangers_.begin(), strangers_.end(), [&](const auto& s) { return s.get() == &channel; });
  retired_.push_back(std::move(*at));
  strangers_.erase(at);
}

void TcpFabric::down(TcpChannel& channel) {
  if (channel.state == TcpChannel::State::kDead) return;
  const bool stranger = channel.number == 0 && channel.peer == kNoNode;
  end(channel);
  if (!stranger) local_.push(event_of(EventKind::kDown, channel));
}

// Views of the last poll have ended: dead channels' buffers can go.
void TcpFabric::forget_retired() {
  for (const ChannelPtr& channel : retired_) {
    for (auto* list : {&dirty_, &ready_, &acks_, &received_}) std::erase(*list, channel.get());
    channel->in.reset();
    channel->capacity = 0;
    bytes_of_dead_ += std::exchange(channel->bytes_sent, 0);
  }
  retired_.clear();
}

// --- ops ---

void TcpFabric::post(std::span<const Op> ops) {
  for (const Op& op : ops) {
    switch (op.kind) {
      case OpKind::kSend: send(op); break;
      case OpKind::kWrite: write(op); break;
      case OpKind::kRead: read(op); break;
      case OpKind::kConnect: connect(op); break;
      case OpKind::kRevoke: revoke(op.channel); break;
      case OpKind::kGrant: grant(op); break;
      case OpKind::kWithdraw: withdraw(op); break;
    }
  }
  flush();
}

void TcpFabric::mark_dirty(TcpChannel& channel) {
  if (channel.dirty) return;
  channel.dirty = true;
  dirty_.push_back(&channel);
}

std::uint8_t TcpFabric::count_op(TcpChannel& channel, Ticket ticket) {
  ++channel.posted;
  if (ticket == 0) return 0;
  channel.tickets.push({channel.posted, ticket});
  return tcp::kWantsAck;
}

void TcpFabric::send(const Op& op) {
  TcpChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  std::size_t size = op.head.size();
  for (const Slice& slice : op.body) size += slice.size;
  SLIP_CHECK(size <= kMaxMessage, "a message of {} bytes", size);
  std::uint8_t flags = count_op(*channel, op.ticket);
  if (op.answers != 0) flags = static_cast<std::uint8_t>(flags | tcp::kIsAnswer);
  const tcp::FrameHeader header{static_cast<std::uint32_t>(size), tcp::FrameKind::kMessage, flags, 0};
  std::byte* const at = channel->out.append(sizeof header + op.head.size());
  std::memcpy(at, &header, sizeof header);
  if (!op.head.empty()) std::memcpy(at + sizeof header, op.head.data(), op.head.size());
  for (const Slice& slice : op.body) channel->out.put({slice.data, slice.size});
  mark_dirty(*channel);
}

void TcpFabric::write(const Op& op) {
  TcpChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  std::size_t size = 0;
  for (const Slice& slice : op.body) size += slice.size;
  SLIP_CHECK(size <= kGiB, "a write of {} bytes", size);
  put_frame(channel->out, tcp::FrameKind::kWrite, count_op(*channel, op.ticket), tcp::WriteHead{op.key, op.offset},
            size);
  for (const Slice& slice : op.body) channel->out.put({slice.data, slice.size});
  mark_dirty(*channel);
}

void TcpFabric::read(const Op& op) {
  TcpChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  SLIP_CHECK(op.local.size() <= kGiB, "a read of {} bytes", op.local.size());
  ++channel->posted;
  channel->reads.push({channel->posted, op.ticket, op.local});
  put_frame(channel->out, tcp::FrameKind::kRead, 0, tcp::ReadHead{op.key, op.offset, op.local.size()});
  mark_dirty(*channel);
}

void TcpFabric::grant(const Op& op) {
  TcpChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  const bool ours = std::any_of(regions_.begin(), regions_.end(),
                                [&](const LocalRegion& region) { return region.may_grant(op.local); });
  SLIP_CHECK(ours, "node {} grants memory that is not in a grantable region of its own", index(options_.node));
  std::size_t place = channel->grants.size();
  if (channel->free_grants.empty()) {
    SLIP_CHECK(place <= kSlotMask, "more than {} grants on channel {}", kSlotMask, channel->number);
    channel->grants.emplace_back();
  } else {
    place = channel->free_grants.back();
    channel->free_grants.pop_back();
  }
  Event event = event_of(EventKind::kGranted, *channel, op.ticket);
  event.key = next_key_++ << kSlotBits | place;
  channel->grants[place] = {event.key, op.local};
  local_.push(event);
}

void TcpFabric::withdraw(const Op& op) {
  TcpChannel* const channel = find(op.channel);
  if (channel == nullptr) return;
  const std::size_t place = op.key & kSlotMask;
  SLIP_CHECK(place < channel->grants.size() && channel->grants[place].key == op.key && op.key != 0,
             "node {} withdraws key {} that it has not granted", index(options_.node), op.key);
  channel->grants[place] = {};
  channel->free_grants.push_back(static_cast<std::uint16_t>(place));
  local_.push(event_of(EventKind::kWithdrawn, *channel, op.ticket));
  if (channel->landing == TcpChannel::Landing::kWrite && channel->landing_key == op.key) down(*channel);
}

void TcpFabric::flush() {
  for (TcpChannel* const channel : dirty_) {
    channel->dirty = false;
    if (channel->state == TcpChannel::State::kDead || channel->state == TcpChannel::State::kConnecting) continue;
    if (std::exchange(channel->owes_ack, false)) {
      put_frame(channel->out, tcp::FrameKind::kAck, 0, tcp::AckHead{channel->done});
    }
    channel->send();
    watch(*channel, channel->out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  }
  dirty_.clear();
}

// --- frames ---

void TcpFabric::serve(TcpChannel& channel, std::uint32_t happened, Room& room) {
  if (channel.state == TcpChannel::State::kConnecting) {
    connected(channel);
    return;
  }
  if ((happened & EPOLLOUT) != 0) mark_dirty(channel);
  if ((happened & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0 || channel.ready || channel.received) return;
  const std::ptrdiff_t n = channel.receive();
  if (n < 0) return;
  if (n == 0) {
    down(channel);
    return;
  }
  channel.received = true;
  received_.push_back(&channel);
  parse_all(channel, room);
}

void TcpFabric::parse_all(TcpChannel& channel, Room& room) {
  Parsed parsed = Parsed::kFrame;
  while (parsed == Parsed::kFrame) parsed = parse(channel, room);
  if (parsed == Parsed::kDead) {
    down(channel);
  } else if (parsed == Parsed::kNoRoom) {
    channel.ready = true;
    ready_.push_back(&channel);
  }
}

TcpFabric::Parsed TcpFabric::parse(TcpChannel& channel, Room& room) {
  if (channel.is_landing()) {
    if (!channel.landing_rest.empty()) return Parsed::kIncomplete;
    finish_landing(channel);
  }
  tcp::FrameHeader header;
  const ConstBytes bytes = channel.unparsed();
  if (bytes.size() < sizeof header) return Parsed::kIncomplete;
  std::memcpy(&header, bytes.data(), sizeof header);
  const bool up = channel.state == TcpChannel::State::kUp;
  switch (header.kind) {
    case tcp::FrameKind::kHello:
    case tcp::FrameKind::kWelcome: return up ? Parsed::kDead : parse_greeting(channel, header);
    case tcp::FrameKind::kMessage: return up ? parse_message(channel, header, room) : Parsed::kDead;
    case tcp::FrameKind::kWrite: return up ? parse_write(channel, header) : Parsed::kDead;
    case tcp::FrameKind::kRead: return up ? parse_read(channel, header) : Parsed::kDead;
    case tcp::FrameKind::kReadData: return up ? parse_read_data(channel, header) : Parsed::kDead;
    case tcp::FrameKind::kAck: {
      tcp::AckHead head;
      if (!up || header.size != sizeof head) return Parsed::kDead;
      if (bytes.size() < sizeof header + sizeof head) return Parsed::kIncomplete;
      std::memcpy(&head, bytes.data() + sizeof header, sizeof head);
      channel.take(sizeof header + sizeof head);
      if (head.op > channel.posted) return Parsed::kDead;
      acknowledged(channel, head.op);
      return Parsed::kFrame;
    }
  }
  return Parsed::kDead;
}

TcpFabric::Parsed TcpFabric::parse_greeting(TcpChannel& channel, const tcp::FrameHeader& header) {
  tcp::Greeting greeting;
  if (header.size != sizeof greeting) return Parsed::kDead;
  if (channel.unparsed().size() < sizeof header + sizeof greeting) return Parsed::kIncomplete;
  std::memcpy(&greeting, channel.unparsed().data() + sizeof header, sizeof greeting);
  channel.take(sizeof header + sizeof greeting);
  const bool hello = header.kind == tcp::FrameKind::kHello;
  const bool stranger = channel.peer == kNoNode;
  if (greeting.magic != tcp::kMagic || greeting.to != index(options_.node) || hello != stranger) return Parsed::kDead;
  if (!is_same(greeting.secret, options_.secret)) return Parsed::kDead;
  if (hello) {
    if (greeting.from >= options_.addresses.size()) return Parsed::kDead;
    accepted(channel, NodeId{greeting.from});
    return Parsed::kFrame;
  }
  if (greeting.from != index(channel.peer)) return Parsed::kDead;
  channel.state = TcpChannel::State::kUp;
  local_.push(event_of(EventKind::kConnected, channel));
  return Parsed::kFrame;
}

TcpFabric::Parsed TcpFabric::parse_message(TcpChannel& channel, const tcp::FrameHeader& header, Room& room) {
  if (header.size > kMaxMessage) return Parsed::kDead;
  const std::size_t whole = sizeof header + header.size;
  if (channel.unparsed().size() < whole) {
    channel.need(whole);
    return Parsed::kIncomplete;
  }
  if (!drain_local(room) || room.full()) return Parsed::kNoRoom;
  Event& event = room.events[room.n++];
  event = event_of(EventKind::kMessage, channel);
  event.is_answer = (header.flags & tcp::kIsAnswer) != 0;
  event.bytes = channel.unparsed().subspan(sizeof header, header.size);
  event.tag = next_tag_++;
  channel.take(whole);
  op_done(channel, (header.flags & tcp::kWantsAck) != 0);
  return Parsed::kFrame;
}

Bytes TcpFabric::granted(const TcpChannel& channel, RemoteKey key, std::uint64_t offset, std::uint64_t bytes,
                         bool& ok) {
  const std::size_t place = key & kSlotMask;
  ok = key != 0 && place < channel.grants.size() && channel.grants[place].key == key;
  if (!ok) return {};
  const Bytes memory = channel.grants[place].memory;
  ok = offset <= memory.size() && bytes <= memory.size() - offset;
  return ok ? memory.subspan(offset, bytes) : Bytes{};
}

TcpFabric::Parsed TcpFabric::parse_write(TcpChannel& channel, const tcp::FrameHeader& header) {
  tcp::WriteHead head;
  if (header.size < sizeof head) return Parsed::kDead;
  if (channel.unparsed().size() < sizeof header + sizeof head) return Parsed::kIncomplete;
  std::memcpy(&head, channel.unparsed().data() + sizeof header, sizeof head);
  bool ok = false;
  const Bytes target = granted(channel, head.key, head.offset, header.size - sizeof head, ok);
  if (!ok) return Parsed::kDead;
  channel.take(sizeof header + sizeof head);
  channel.landing_wants_ack = (header.flags & tcp::kWantsAck) != 0;
  channel.land(TcpChannel::Landing::kWrite, target, head.key);
  return Parsed::kFrame;
}

TcpFabric::Parsed TcpFabric::parse_read(TcpChannel& channel, const tcp::FrameHeader& header) {
  tcp::ReadHead head;
  if (header.size != sizeof head) return Parsed::kDead;
  if (channel.unparsed().size() < sizeof header + sizeof head) return Parsed::kIncomplete;
  std::memcpy(&head, channel.unparsed().data() + sizeof header, sizeof head);
  bool ok = false;
  const Bytes source = granted(channel, head.key, head.offset, head.bytes, ok);
  if (!ok) return Parsed::kDead;
  channel.take(sizeof header + sizeof head);
  ++channel.done;
  channel.owes_ack = false;  // the data says as much
  put_frame(channel.out, tcp::FrameKind::kReadData, 0, tcp::AckHead{channel.done}, source.size());
  // A copy: later writes of the channel must not show.
  if (!source.empty()) std::memcpy(channel.out.append(source.size()), source.data(), source.size());
  mark_dirty(channel);
  return Parsed::kFrame;
}

TcpFabric::Parsed TcpFabric::parse_read_data(TcpChannel& channel, const tcp::FrameHeader& header) {
  tcp::AckHead head;
  if (header.size < sizeof head) return Parsed::kDead;
  if (channel.unparsed().size() < sizeof header + sizeof head) return Parsed::kIncomplete;
  std::memcpy(&head, channel.unparsed().data() + sizeof header, sizeof head);
  if (channel.reads.empty() || channel.reads.front().op != head.op ||
      channel.reads.front().into.size() != header.size - sizeof head) {
    return Parsed::kDead;
  }
  channel.take(sizeof header + sizeof head);
  channel.land(TcpChannel::Landing::kReadData, channel.reads.front().into, 0);
  return Parsed::kFrame;
}

void TcpFabric::finish_landing(TcpChannel& channel) {
  const auto kind = std::exchange(channel.landing, TcpChannel::Landing::kNothing);
  if (kind == TcpChannel::Landing::kWrite) {
    op_done(channel, channel.landing_wants_ack);
    return;
  }
  const TcpChannel::PendingRead read = channel.reads.front();
  channel.reads.pop();
  acknowledged(channel, read.op);
  flush_ack(channel);
  local_.push(event_of(EventKind::kReadDone, channel, read.ticket));
}

void TcpFabric::op_done(TcpChannel& channel, bool wants_ack) {
  ++channel.done;
  if (!wants_ack) return;
  channel.owes_ack = true;
  mark_dirty(channel);
}

void TcpFabric::acknowledged(TcpChannel& channel, std::uint64_t op) {
  while (!channel.tickets.empty() && channel.tickets.front().op <= op) {
    channel.ack = channel.tickets.front().ticket;
    channel.tickets.pop();
  }
  if (channel.ack == 0 || channel.ack_listed) return;
  channel.ack_listed = true;
  acks_.push_back(&channel);
}

void TcpFabric::flush_ack(TcpChannel& channel) {
  if (channel.ack == 0) return;
  local_.push(event_of(EventKind::kAcked, channel, channel.ack));
  channel.ack = 0;
}

// --- poll ---

std::size_t TcpFabric::poll(std::span<Event> events) {
  for (TcpChannel* const channel : received_) channel->received = false;
  received_.clear();
  if (!retired_.empty()) forget_retired();
  if (!dirty_.empty()) flush();
  if (!waiting_.empty()) try_again();
  if (!strangers_.empty()) turn_away_the_silent();
  Room room{events, 0};
  drain_local(room);
  if (!ready_.empty()) parse_ready(room);
  if (!room.full()) wait_for_sockets(room);
  drain_local(room);
  take_acks(room);
  if (!listening_) listen_again();
  if (room.n == 0 && !dirty_.empty()) flush();  // no turn follows whose post could carry the acknowledgements
  return room.n;
}

void TcpFabric::parse_ready(Room& room) {
  now_ready_.swap(ready_);
  for (TcpChannel* const channel : now_ready_) {
    channel->ready = false;
    if (channel->state == TcpChannel::State::kDead) continue;
    if (!channel->received) {
      channel->received = true;
      received_.push_back(channel);
    }
    parse_all(*channel, room);
  }
  now_ready_.clear();
}

void TcpFabric::wait_for_sockets(Room& room) {
  epoll_event happened[kMostEpollEvents];
  const int n = ::epoll_wait(epoll_.get(), happened, kMostEpollEvents, 0);
  for (int i = 0; i < n && !room.full(); ++i) {
    auto* const channel = static_cast<TcpChannel*>(happened[i].data.ptr);
    if (channel == nullptr) {
      accept_all();
    } else if (channel->state != TcpChannel::State::kDead) {
      serve(*channel, happened[i].events, room);
    }
  }
}

bool TcpFabric::drain_local(Room& room) {
  while (!local_.empty() && !room.full()) {
    room.events[room.n++] = local_.front();
    local_.pop();
  }
  return local_.empty();
}

void TcpFabric::take_acks(Room& room) {
  if (!local_.empty() || acks_.empty()) return;
  std::size_t taken = 0;
  for (; taken < acks_.size() && !room.full(); ++taken) {
    TcpChannel& channel = *acks_[taken];
    channel.ack_listed = false;
    if (channel.ack == 0) continue;
    room.events[room.n++] = event_of(EventKind::kAcked, channel, channel.ack);
    channel.ack = 0;
  }
  acks_.erase(acks_.begin(), acks_.begin() + static_cast<std::ptrdiff_t>(taken));
}

bool TcpFabric::arm() {
  flush();
  return local_.empty() && ready_.empty() && acks_.empty();
}

TimeNs TcpFabric::longest_sleep_ns() const {
  if (!waiting_.empty()) return kTryAgainEvery;
  return strangers_.empty() ? kNever : options_.greeting_patience_ns;
}

std::uint64_t TcpFabric::network_bytes() const {
  std::uint64_t bytes = bytes_of_dead_;
  for (const auto* table : {&near_, &far_}) {
    for (const ChannelPtr& channel : *table) bytes += channel == nullptr ? 0 : channel->bytes_sent;
  }
  return bytes;
}

}  // namespace slipstream::emulate
