#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launcher/base/unique_fd.h"

/// Sockets of the host that wait for what must not come.
namespace dirbox::verify {

/// A TCP and a UDP socket at one IPv4 address of the host.
struct Listener {
  std::string address;
  unsigned port = 0;  ///< of both
  UniqueFd tcp, udp;

  /// nullopt when the host has no such address, or no port that is free for both.
  static std::optional<Listener> make(const std::string& address);
  /// True when a connection, or a datagram, waits. It is taken.
  bool take_connection() const;
  bool take_datagram() const;
};

/// The first address of an interface that is up and not lo; "" when there is none.
std::string find_host_address();
/// The first name of /etc/hosts that stands for a private or loopback IPv4 address of this host
/// without being localhost, and that address.
std::optional<std::pair<std::string, std::string>> find_private_name();
/// What resolv.conf(5) names.
std::vector<std::string> find_resolvers();

}  // namespace dirbox::verify
