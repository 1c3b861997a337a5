// "host:port" as the kernel wants it. Throws std::runtime_error when it cannot be read.
#pragma once

#include <netinet/in.h>

#include <string>

namespace slipstream::emulate {

sockaddr_in parse_address(const std::string& address);

}  // namespace slipstream::emulate
