#include "emulate/fabric/verbs/bootstrap.h"

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

namespace slipstream::emulate::verbs {
namespace {

constexpr TimeNs kStrangersPatience = 5 * kSecond;
constexpr std::size_t kMostStrangers = 256;
constexpr int kMostEpollEvents = 64;
// A machine that is gone without a word is missed after this.
constexpr int kSilentSeconds = 3;

void set_option(int socket, int level, int option, int value) {
  ::setsockopt(socket, level, option, &value, sizeof value);
}

void tune(int socket) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, kSilentSeconds);
}

}  // namespace

Bootstrap::Bootstrap(FileDescriptor listener, NodeId node, const RunSecret& secret)
    : listener_(std::move(listener)), epoll_(::epoll_create1(EPOLL_CLOEXEC)), node_(node), secret_(secret) {
  if (!epoll_.valid()) {
    throw std::runtime_error(
        fmt::format("cannot watch sockets: {}; raise the limit of open files (ulimit -n)", std::strerror(errno)));
  }
  watch(listener_.get());
}

void Bootstrap::watch(int descriptor) {
  epoll_event event = {};
  event.events = EPOLLIN;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event);
}

Link& Bootstrap::add(std::unique_ptr<Link> link) {
  links_.push_back(std::move(link));
  count_unsettled();
  return *links_.back();
}

void Bootstrap::count_unsettled() {
  unsettled_ = static_cast<std::size_t>(
      std::count_if(links_.begin(), links_.end(), [](const auto& l) { return l->state != Link::State::kUp; }));
}

void Bootstrap::settle(Link& link, Link::State state) {
  link.state = state;
  count_unsettled();
}

Link& Bootstrap::connect(const std::string& address, TimeNs patience_ns, VerbsChannel& channel) {
  auto link = std::make_unique<Link>();
  link->state = Link::State::kWaiting;
  link->connects = true;
  link->channel = &channel;
  link->address = address;
  link->give_up_at = monotonic_ns() + patience_ns;
  return add(std::move(link));
}

void Bootstrap::start_connecting(Link& link, std::vector<LinkEvent>& events) {
  const sockaddr_in name = parse_address(link.address);
  link.socket = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!link.socket.valid()) {
    throw std::runtime_error(
        fmt::format("cannot open a socket: {}; raise the limit of open files (ulimit -n)", std::strerror(errno)));
  }
  settle(link, Link::State::kConnecting);
  if (::connect(link.socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
      errno != EINPROGRESS) {
    failed(link, events);
    return;
  }
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = &link;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, link.socket.get(), &event);
}

void Bootstrap::failed(Link& link, std::vector<LinkEvent>& events) {
  link.socket.reset();
  if (monotonic_ns() < link.give_up_at) {
    settle(link, Link::State::kWaiting);
  } else {
    events.push_back({LinkEvent::Kind::kGone, &link});
  }
}

void Bootstrap::accept_all() {
  while (true) {
    FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) return;
    const auto strangers = std::count_if(links_.begin(), links_.end(), [](const auto& l) { return !l->channel; });
    if (static_cast<std::size_t>(strangers) >= kMostStrangers) continue;  // shown out at the door
    tune(socket.get());
    auto link = std::make_unique<Link>();
    link->socket = std::move(socket);
    link->give_up_at = monotonic_ns() + kStrangersPatience;
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = link.get();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, link->socket.get(), &event);
    add(std::move(link));
  }
}

bool Bootstrap::send(Link& link, ConstBytes bytes) {
  // A few bytes on a fresh connection: they go whole, or the connection is no good.
  return ::send(link.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

bool Bootstrap::greet(Link& link, Greeting greeting) {
  greeting.from = index(node_);
  greeting.secret = secret_;
  settle(link, link.connects ? Link::State::kGreeting : Link::State::kReady);
  link.received = 0;
  return send(link, std::as_bytes(std::span(&greeting, 1)));
}

bool Bootstrap::say_ready(Link& link) {
  settle(link, Link::State::kUp);
  return send(link, {&kReadyWord, 1});
}

const Greeting& Bootstrap::greeting_of(const Link& link) const {
  return *reinterpret_cast<const Greeting*>(link.in.data());
}

void Bootstrap::close(Link& link) {
  const auto at = std::find_if(links_.begin(), links_.end(), [&](const auto& l) { return l.get() == &link; });
  SLIP_CHECK(at != links_.end());
  link.socket.reset();
  link.state = Link::State::kClosed;
  link.channel = nullptr;
  closed_.push_back(std::move(*at));
  links_.erase(at);
  count_unsettled();
}

void Bootstrap::hang_up() {
  listener_.reset();
  for (const auto& link : links_) link->socket.reset();
}

bool Bootstrap::is_welcome(const Greeting& greeting, const Link& link) const {
  return greeting.magic == kMagic && is_same(greeting.secret, secret_) && greeting.to == index(node_) &&
         (link.connects || greeting.from != index(node_));
}

void Bootstrap::serve(Link& link, std::uint32_t happened, std::vector<LinkEvent>& events) {
  if (link.state == Link::State::kConnecting) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(link.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return failed(link, events);
    if ((happened & EPOLLOUT) == 0) return;
    tune(link.socket.get());
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = &link;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, link.socket.get(), &event);
    settle(link, Link::State::kGreeting);
    events.push_back({LinkEvent::Kind::kConnected, &link});
    return;
  }
  const bool greets = link.state == Link::State::kGreeting;
  std::byte ready{};
  const Bytes into = greets ? Bytes(link.in).subspan(link.received) : Bytes(&ready, 1);
  const ssize_t n = ::recv(link.socket.get(), into.data(), into.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  bool good = n > 0 && link.state != Link::State::kUp;  // an end that is up has nothing more to say
  if (good && greets) {
    link.received += static_cast<std::size_t>(n);
    if (link.received < link.in.size()) return;
    good = is_welcome(greeting_of(link), link);
    if (good) events.push_back({LinkEvent::Kind::kGreeting, &link});
  } else if (good) {
    good = ready == kReadyWord;
    if (good) {
      settle(link, Link::State::kUp);
      events.push_back({LinkEvent::Kind::kReady, &link});
    }
  }
  if (good) return;
  if (link.channel == nullptr) {
    close(link);
  } else {
    events.push_back({LinkEvent::Kind::kGone, &link});
  }
}

void Bootstrap::show_out_silent() {
  const TimeNs now = monotonic_ns();
  std::vector<Link*> silent;
  for (const auto& link : links_) {
    const bool waits_for_us = link->received == sizeof(Greeting);
    if (link->channel == nullptr && !waits_for_us && link->give_up_at <= now) silent.push_back(link.get());
  }
  for (Link* const link : silent) close(*link);
}

void Bootstrap::poll(std::vector<LinkEvent>& events) {
  closed_.clear();
  for (std::size_t i = 0; unsettled_ != 0 && i < links_.size(); ++i) {
    if (links_[i]->state == Link::State::kWaiting) start_connecting(*links_[i], events);
  }
  epoll_event happened[kMostEpollEvents];
  const int n = ::epoll_wait(epoll_.get(), happened, kMostEpollEvents, 0);
  for (int i = 0; i < n; ++i) {
    auto* const link = static_cast<Link*>(happened[i].data.ptr);
    if (link == nullptr) {
      accept_all();
    } else if (link->state != Link::State::kClosed) {
      serve(*link, happened[i].events, events);
    }
  }
  // Only when all that was said has been heard, however long that took.
  if (unsettled_ != 0 && n < kMostEpollEvents) show_out_silent();
}

}  // namespace slipstream::emulate::verbs
