#include "emulate/fabric/verbs/mirrored_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "emulate/fabric/file_descriptor.h"

namespace slipstream::emulate::verbs {

MirroredMemory::MirroredMemory(std::size_t bytes) : size_(bytes) {
  const FileDescriptor file(::memfd_create("slipstream-ring", MFD_CLOEXEC));
  void* both = MAP_FAILED;
  if (file.valid() && ::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0) {
    both = ::mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  bool mapped = both != MAP_FAILED;
  for (std::size_t half = 0; half < 2 && mapped; ++half) {
    void* const at = static_cast<std::byte*>(both) + half * bytes;
    mapped = ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.get(), 0) == at;
  }
  if (!mapped) {
    const int error = errno;
    if (both != MAP_FAILED) ::munmap(both, 2 * bytes);
    throw std::runtime_error(
        fmt::format("cannot get {} bytes of memory for a channel: {}; use fewer nodes, or give "
                    "the machine more memory",
                    bytes, std::strerror(error)));
  }
  data_ = static_cast<std::byte*>(both);
}

MirroredMemory::~MirroredMemory() {
  if (data_ != nullptr) ::munmap(data_, 2 * size_);
}

}  // namespace slipstream::emulate::verbs
