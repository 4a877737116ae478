#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include "netns/host.h"

/// Between IpAddress and the kernel's sockaddr, and what else sockets share.
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

/// The congestion control of connections that do not leave the machine. They lose nothing, and
/// pacing, which the host's default may have (BBR), costs them half of their speed and a timer per
/// burst. Every kernel has this one and lets everyone choose it.
constexpr char kLocalCongestionControl[] = "reno";
/// For a TCP socket, and for what a listener accepts. On failure the host's default stays: slower,
/// not less safe.
void choose_local_congestion_control(int socket);

}  // namespace dirbox::netns
