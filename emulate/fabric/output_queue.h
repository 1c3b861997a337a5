// Bytes on their way to a socket: small pieces are gathered in one buffer, large ones are sent from where they are. One
// system call sends as much as the socket takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/units.h"

namespace slipstream::emulate {

class OutputQueue {
 public:
  // Shorter pieces are copied: an entry of a gather list costs the kernel about as much as a copy of this size.
  static constexpr std::size_t kByReference = 1024;

  enum class Outcome : std::uint8_t { kAllSent, kSomeLeft, kBroken };

  bool empty() const { return pieces_.empty(); }
  // Room for `bytes`, to be filled at once.
  std::byte* append(std::size_t bytes);
  // A copy, or a reference when it is long: then the bytes must stay until they were sent.
  void put(ConstBytes bytes);
  template <typename T>
  void put_value(const T& value) {
    put_copy(&value, sizeof value);
  }
  Outcome send(int socket, std::uint64_t& bytes_sent);
  void clear();

 private:
  struct Piece {
    const std::byte* data;  // nullptr: in the buffer, from `offset`
    std::size_t offset;
    std::size_t size;
  };

  void put_copy(const void* data, std::size_t size);
  void drop(std::size_t bytes);

  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::vector<Piece> pieces_;
  std::size_t first_ = 0;  // the first piece not wholly sent
};

}  // namespace slipstream::emulate
