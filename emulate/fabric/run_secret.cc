#include "emulate/fabric/run_secret.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::emulate {

RunSecret make_run_secret() {
  RunSecret secret;
  ssize_t got = 0;
  do {
    got = ::getrandom(secret.data(), secret.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(secret.size())) {  // so few bytes come whole
    throw std::runtime_error(fmt::format("no random bytes for the run's secret: {}", std::strerror(errno)));
  }
  return secret;
}

bool is_same(const RunSecret& a, const RunSecret& b) {
  std::byte different{0};
  for (std::size_t i = 0; i < a.size(); ++i) different |= a[i] ^ b[i];
  return different == std::byte{0};
}

}  // namespace slipstream::emulate
