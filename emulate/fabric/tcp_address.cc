#include "emulate/fabric/tcp_address.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/shared_file.h"

namespace slipstream::emulate {

sockaddr_in parse_address(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  sockaddr_in result = {};
  result.sin_family = AF_INET;
  std::uint16_t port = 0;
  bool readable =
      colon != std::string::npos && ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &result.sin_addr) == 1;
  if (readable) {
    const char* const end = address.data() + address.size();
    const auto parsed = std::from_chars(address.data() + colon + 1, end, port);
    readable = parsed.ec == std::errc{} && parsed.ptr == end;
  }
  if (!readable) {
    throw std::runtime_error(
        fmt::format("cannot read the address \"{}\"; write a numeric one with a port, as 127.0.0.1:7000", address));
  }
  result.sin_port = htons(port);
  return result;
}

namespace {

TcpListener open_tcp(const std::string& address, bool listens) {
  sockaddr_in name = parse_address(address);
  FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int yes = 1;
  if (fd.valid()) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  socklen_t size = sizeof name;
  if (!fd.valid() || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0 ||
      (listens && ::listen(fd.get(), SOMAXCONN) != 0) ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    const int error = errno;
    if (error == EADDRINUSE) {
      throw std::runtime_error(
          fmt::format("port {} is in use; end the program that listens on it or choose another port",
                      address.substr(address.rfind(':') + 1)));
    }
    throw std::runtime_error(
        fmt::format("cannot listen on {}: {}; choose an address of this machine", address, std::strerror(error)));
  }
  return {fd.release(), fmt::format("{}:{}", address.substr(0, address.rfind(':')), ntohs(name.sin_port))};
}

}  // namespace

TcpListener listen_tcp(const std::string& address) { return open_tcp(address, true); }
TcpListener bind_tcp(const std::string& address) { return open_tcp(address, false); }

}  // namespace slipstream::emulate
