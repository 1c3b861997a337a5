#include "emulate/fabric/anonymous_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::emulate {

AnonymousMemory::AnonymousMemory(std::string_view name, std::size_t bytes) {
  constexpr std::size_t kHugePage = 2 * kMiB;
  const std::size_t margin = bytes >= kHugePage ? kHugePage : 0;
  const std::size_t size = bytes + margin + 1;
  void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    throw std::runtime_error(fmt::format("cannot get {} bytes of memory for {}: {}; make logs and buffers smaller",
                                         bytes, name, std::strerror(errno)));
  }
  mapped_ = {static_cast<std::byte*>(mapped), size};
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  memory_ = mapped_.subspan(margin == 0 ? 0 : (kHugePage - address % kHugePage) % kHugePage, bytes);
  if (margin != 0) ::madvise(memory_.data(), memory_.size(), MADV_HUGEPAGE);  // a wish: small pages work, too
  // Now, so that no turn pays for it. Zeroes are what the pages hold anyway.
  std::memset(memory_.data(), 0, memory_.size());
}

AnonymousMemory::~AnonymousMemory() {
  if (mapped_.data() != nullptr) ::munmap(mapped_.data(), mapped_.size());
}

}  // namespace slipstream::emulate
