#include "emulate/fabric/output_queue.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace slipstream::emulate {

namespace {

constexpr std::size_t kFirstCapacity = 16 * kKiB;
constexpr std::size_t kMostVectors = 64;

}  // namespace

std::byte* OutputQueue::append(std::size_t bytes) {
  if (used_ + bytes > capacity_) {
    // Sent pieces at the front make room first.
    const std::size_t front = first_ < pieces_.size() && pieces_[first_].data == nullptr ? pieces_[first_].offset : 0;
    const std::size_t left = used_ - front;
    const std::size_t capacity =
        std::max(left + bytes > capacity_ ? capacity_ * 2 : capacity_, std::max(left + bytes, kFirstCapacity));
    auto bigger = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (left > 0) std::memcpy(bigger.get(), buffer_.get() + front, left);
    for (Piece& piece : pieces_) piece.offset -= std::min(front, piece.offset);
    buffer_ = std::move(bigger);
    capacity_ = capacity;
    used_ = left;
  }
  std::byte* const at = buffer_.get() + used_;
  if (!pieces_.empty() && pieces_.back().data == nullptr && pieces_.back().offset + pieces_.back().size == used_) {
    pieces_.back().size += bytes;
  } else {
    pieces_.push_back({nullptr, used_, bytes});
  }
  used_ += bytes;
  return at;
}

void OutputQueue::put(ConstBytes bytes) {
  if (bytes.size() < kByReference) {
    put_copy(bytes.data(), bytes.size());
  } else {
    pieces_.push_back({bytes.data(), 0, bytes.size()});
  }
}

void OutputQueue::put_copy(const void* data, std::size_t size) {
  if (size > 0) std::memcpy(append(size), data, size);
}

void OutputQueue::clear() {
  pieces_.clear();
  first_ = 0;
  used_ = 0;
}

void OutputQueue::drop(std::size_t bytes) {
  while (bytes > 0) {
    Piece& piece = pieces_[first_];
    const std::size_t part = std::min(bytes, piece.size);
    if (piece.data == nullptr) {
      piece.offset += part;
    } else {
      piece.data += part;
    }
    piece.size -= part;
    bytes -= part;
    if (piece.size == 0) ++first_;
  }
  if (first_ == pieces_.size()) {
    clear();
  } else if (first_ > kMostVectors) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

OutputQueue::Outcome OutputQueue::send(int socket, std::uint64_t& bytes_sent) {
  while (!pieces_.empty()) {
    iovec vectors[kMostVectors];
    std::size_t n = 0;
    std::size_t total = 0;
    for (std::size_t i = first_; i < pieces_.size() && n < kMostVectors; ++i, ++n) {
      const Piece& piece = pieces_[i];
      const std::byte* const data = piece.data == nullptr ? buffer_.get() + piece.offset : piece.data;
      vectors[n] = {const_cast<std::byte*>(data), piece.size};
      total += piece.size;
    }
    msghdr message = {};
    message.msg_iov = vectors;
    message.msg_iovlen = n;
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN ? Outcome::kSomeLeft : Outcome::kBroken;
    }
    bytes_sent += static_cast<std::uint64_t>(sent);
    drop(static_cast<std::size_t>(sent));
    if (static_cast<std::size_t>(sent) < total) return Outcome::kSomeLeft;
  }
  return Outcome::kAllSent;
}

}  // namespace slipstream::emulate
