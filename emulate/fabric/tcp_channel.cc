#include "emulate/fabric/tcp_channel.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace slipstream::emulate {

namespace {

constexpr std::size_t kBuffer = 128 * kKiB;

}  // namespace

std::ptrdiff_t TcpChannel::receive() {
  const std::size_t left = end - begin;
  const std::size_t size = std::max(kBuffer, wanted);
  if (capacity < size) {
    auto bigger = std::make_unique_for_overwrite<std::byte[]>(size);
    if (left > 0) std::memcpy(bigger.get(), in.get() + begin, left);
    in = std::move(bigger);
    capacity = size;
  } else if (left > 0 && begin > 0) {
    std::memmove(in.get(), in.get() + begin, left);
  }
  begin = 0;
  end = left;
  iovec vectors[2] = {{landing_rest.data(), landing_rest.size()}, {in.get() + end, capacity - end}};
  msghdr message = {};
  message.msg_iov = landing_rest.empty() ? vectors + 1 : vectors;
  message.msg_iovlen = landing_rest.empty() ? 1 : 2;
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket.get(), &message, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : 0;
  const std::size_t landed = std::min(static_cast<std::size_t>(n), landing_rest.size());
  landing_rest = landing_rest.subspan(landed);
  end += static_cast<std::size_t>(n) - landed;
  return n;
}

void TcpChannel::land(Landing kind, Bytes memory, RemoteKey key) {
  landing = kind;
  landing_key = key;
  const std::size_t here = std::min(memory.size(), end - begin);
  if (here > 0) std::memcpy(memory.data(), in.get() + begin, here);
  begin += here;
  landing_rest = memory.subspan(here);
}

void TcpChannel::send() {
  if (!socket.valid() || out.empty()) return;
  // A broken connection is noticed by the next receive.
  if (out.send(socket.get(), bytes_sent) == OutputQueue::Outcome::kBroken) out.clear();
}

}  // namespace slipstream::emulate
