#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include "netns/host.h"

/// Between IpAddress and the kernel's sockaddr.
namespace dirbox::netns {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress socket_address(const IpAddress& address, std::uint16_t port);

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
};
/// nullopt for families other than IPv4 and IPv6.
std::optional<Endpoint> endpoint_of(const sockaddr& address);
/// getsockname(2).
std::optional<Endpoint> local_endpoint(int socket);

}  // namespace dirbox::netns
