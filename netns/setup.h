#pragma once
#include <cstdint>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "netns/spec.h"

/// The part of the network that is made inside the sandbox's network namespace, before COMMAND.
///
/// Theory of operation: a socket belongs to the namespace in which it was made, whoever holds it.
/// The sandbox's init, still with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE over its fresh namespace,
/// sets lo up, adds a local route for the fake addresses 198.18.0.0/15 and for every address rule,
/// makes the listeners, and passes them out; the proxy accepts on them from the host's side. No
/// process of ours forwards anything inside, and every listener exists before COMMAND does.
///
///   port          listener                                       made
///   53            127.0.0.1, UDP and TCP                         here
///   proxy_port    127.0.0.1                                      here
///   < 1024        any address, v4 and v6: 22, 80, 443 and each   here: COMMAND cannot bind
///                 port that a rule names                         these ports itself
///   >= 1024       the fake address of a name, and that port      on request, before the DNS
///                                                                answer that gives the address
///   >= 1024       each address of a network rule of at most      here
///                 kMaxNetworkAddresses, else any address
///   host_ports    127.0.0.1 and ::1                              here
///
/// So a server inside can listen on 127.0.0.1:5432 while a rule names db.example:5432. Listening on
/// the wildcard address with a port whose name was resolved gives it EADDRINUSE.
///
/// Limits: kMaxPorts ports from all rules together have listeners; the others of a wide range are
/// reached through the explicit proxy only.
namespace dirbox::netns {

constexpr std::size_t kMaxPorts = 128;
constexpr std::size_t kMaxNetworkAddresses = 16;

enum class ListenerKind : std::uint8_t {
  dns_udp,
  dns_tcp,
  transparent,  ///< getsockname(2) of an accepted socket tells the target
  proxy,        ///< HTTP and SOCKS5
  host_port,    ///< `port`: where to connect on the host's 127.0.0.1
  publish,      ///< made on the host; `port`: where to connect on 127.0.0.1 inside
};

struct Listener {
  ListenerKind kind{};
  std::uint16_t port = 0;
  UniqueFd fd;
};
using ListenerSet = std::vector<Listener>;

/// Sets up the calling process's network namespace and makes its listeners, non-blocking and
/// close-on-exec. Mode none: lo only, and no listener. Errors name the port: EADDRINUSE where two
/// parts of `spec` want the same one.
Result<ListenerSet> make_listeners(const NetworkSpec& spec);

/// Whether make_listeners makes a transparent listener for a privileged port whatever the rules
/// say. So `grant` can open it later, and a refused connection gets its reason.
bool is_standard_port(std::uint16_t port);

/// The host's side of `spec.publish`: call it in the host's network namespace. EADDRINUSE names the
/// address and says to choose another.
Result<ListenerSet> make_publish_listeners(const NetworkSpec& spec);

/// Passes `listeners` over a SOCK_SEQPACKET socket, in messages of up to eight, and an end mark.
Result<void> send_listeners(int socket, const ListenerSet& listeners);
/// The counterpart. Blocks until the end mark.
Result<ListenerSet> receive_listeners(int socket);

}  // namespace dirbox::netns
