#include "netns/setup.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "launcher/base/unix_socket.h"
#include "netns/netlink.h"
#include "netns/rules.h"
#include "netns/socket_address.h"
#include "netns/socket_request.h"

namespace dirbox::netns {
namespace {

constexpr int kBacklog = 1024;
constexpr std::uint16_t kFirstUnprivilegedPort = 1024;
constexpr std::uint16_t kDnsPort = 53;
constexpr std::uint16_t kStandardPorts[] = {22, 80, 443};

const IpAddress kAnyV4 = IpAddress::v4({});
const IpAddress kAnyV6 = IpAddress::v6({});
const IpAddress kLoopbackV4 = IpAddress::v4({127, 0, 0, 1});
const IpAddress kLoopbackV6 = IpAddress::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

enum class Sharing { exclusive, reuse_port };

constexpr std::string_view kTakenHint = "choose another port";

Result<UniqueFd> make_bound_socket(int type, const IpAddress& address, std::uint16_t port,
                                   Sharing sharing = Sharing::exclusive) {
  auto failed = [&](std::string_view hint = {}) {
    return fail_errno("listen", host_port_text(address, port), errno, hint);
  };
  SocketAddress at = socket_address(address, port);
  UniqueFd fd(::socket(at.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return failed();
  constexpr int on = 1;
  auto set = [&](int level, int option) {
    return ::setsockopt(fd.get(), level, option, &on, sizeof on) == 0;
  };
  if (!set(SOL_SOCKET, SO_REUSEADDR)) return failed();
  if (sharing == Sharing::reuse_port && !set(SOL_SOCKET, SO_REUSEPORT)) return failed();
  if (!address.is_v4()) {
    // Addresses of an AnyIP route are not on an interface: IPv6 wants FREEBIND to bind them.
    if (!set(IPPROTO_IPV6, IPV6_V6ONLY) || !set(IPPROTO_IPV6, IPV6_FREEBIND)) return failed();
  }
  if (::bind(fd.get(), at.get(), at.length) != 0) {
    return failed(errno == EADDRINUSE ? kTakenHint : "");
  }
  if (type == SOCK_STREAM && ::listen(fd.get(), kBacklog) != 0) return failed();
  return fd;
}

/// Collects listeners and remembers what is taken.
class Builder {
 public:
  Result<void> add(ListenerKind kind, int type, const IpAddress& address, std::uint16_t port,
                   std::uint16_t label, Sharing sharing = Sharing::exclusive) {
    // Two that share would each get some of the connections.
    if (type == SOCK_STREAM && !bound_.emplace(address, port).second) {
      return fail_errno("listen", host_port_text(address, port), EADDRINUSE, kTakenHint);
    }
    set_.push_back({kind, label, TRY(make_bound_socket(type, address, port, sharing))});
    return {};
  }
  /// A privileged port, on every address. REUSEPORT, so that the sockets of `host_ports` on the
  /// loopback addresses can stand beside it; the kernel prefers the more specific one.
  Result<void> add_transparent_any(const IpAddress& any, std::uint16_t port) {
    if (!taken_.emplace(any, port).second) return {};
    return add(ListenerKind::transparent, SOCK_STREAM, any, port, port, Sharing::reuse_port);
  }
  Result<void> add_transparent(const IpAddress& address, std::uint16_t port) {
    if (taken_.contains({address.is_v4() ? kAnyV4 : kAnyV6, port})) return {};
    if (!taken_.emplace(address, port).second) return {};
    return add(ListenerKind::transparent, SOCK_STREAM, address, port, port);
  }
  ListenerSet take() { return std::move(set_); }

 private:
  ListenerSet set_;
  std::set<std::pair<IpAddress, std::uint16_t>> taken_;  // by transparent listeners
  std::set<std::pair<IpAddress, std::uint16_t>> bound_;
};

/// The first kMaxPorts ports of `ranges` from `first` on.
std::vector<std::uint16_t> ports_from(const std::vector<PortRange>& ranges, std::uint32_t first,
                                      std::uint32_t last) {
  std::vector<std::uint16_t> out;
  for (const PortRange& range : ranges) {
    for (std::uint32_t port = std::max<std::uint32_t>(first, range.first);
         port <= std::min<std::uint32_t>(last, range.last) && out.size() < kMaxPorts; ++port) {
      out.push_back(static_cast<std::uint16_t>(port));
    }
  }
  return out;
}

/// The addresses of a small network; empty for a large one.
std::vector<IpAddress> addresses_of(const Network& network) {
  unsigned host_bits =
      static_cast<unsigned>(network.address.bytes().size()) * 8 - network.prefix_bits;
  if (host_bits > 4 || (1U << host_bits) > kMaxNetworkAddresses) return {};
  std::vector<IpAddress> out;
  for (unsigned i = 0; i < 1U << host_bits; ++i) {
    auto bytes = network.address.bytes();
    if (network.address.is_v4()) {
      std::array<std::uint8_t, 4> a{};
      std::memcpy(a.data(), bytes.data(), 4);
      a[3] = static_cast<std::uint8_t>(a[3] + i);
      out.push_back(IpAddress::v4(a));
    } else {
      std::array<std::uint8_t, 16> a{};
      std::memcpy(a.data(), bytes.data(), 16);
      a[15] = static_cast<std::uint8_t>(a[15] + i);
      out.push_back(IpAddress::v6(a));
    }
  }
  return out;
}

/// Routes and listeners for one rule that is written as an address.
Result<void> add_network_rule(Builder& builder, const Rule& rule) {
  const auto& network = std::get<Network>(rule.target);
  TRY_VOID(apply_local_route(network.address.bytes(), network.prefix_bits));
  const IpAddress& any = network.address.is_v4() ? kAnyV4 : kAnyV6;
  for (std::uint16_t port : ports_from(rule.ports, 1, kFirstUnprivilegedPort - 1)) {
    TRY_VOID(builder.add_transparent_any(any, port));
  }
  std::vector<IpAddress> addresses = addresses_of(network);
  for (std::uint16_t port : ports_from(rule.ports, kFirstUnprivilegedPort, 65535)) {
    if (addresses.empty()) TRY_VOID(builder.add_transparent_any(any, port));
    for (const IpAddress& address : addresses) {
      TRY_VOID(builder.add_transparent(address, port));
    }
  }
  return {};
}

/// Whether a listener on every address stands beside one on `port`: those of privileged ports, and
/// of networks too large to have one per address.
bool has_wildcard_listener(const RuleSet& rules, std::uint16_t port) {
  if (port < kFirstUnprivilegedPort) return true;
  std::vector<const Rule*> networks = rules.networks();
  return std::any_of(networks.begin(), networks.end(), [&](const Rule* rule) {
    return rule->covers(port) && addresses_of(std::get<Network>(rule->target)).empty();
  });
}

/// Shared only where it must be: COMMAND may bind a port from 1024 on, and sharing lets it take
/// connections that were meant for the host.
Result<void> add_host_port(Builder& builder, const PortForward& forward, const RuleSet& rules) {
  Sharing sharing =
      has_wildcard_listener(rules, forward.inside) ? Sharing::reuse_port : Sharing::exclusive;
  TRY_VOID(builder.add(ListenerKind::host_port, SOCK_STREAM, kLoopbackV4, forward.inside,
                       forward.outside, sharing));
  auto v6 = builder.add(ListenerKind::host_port, SOCK_STREAM, kLoopbackV6, forward.inside,
                        forward.outside, sharing);
  // A kernel without IPv6 has no ::1 to forward.
  if (!v6 && (v6.error().err == EAFNOSUPPORT || v6.error().err == EADDRNOTAVAIL)) return {};
  return v6;
}

}  // namespace

bool is_standard_port(std::uint16_t port) {
  return std::find(std::begin(kStandardPorts), std::end(kStandardPorts), port) !=
         std::end(kStandardPorts);
}

Result<ListenerSet> make_listeners(const NetworkSpec& spec) {
  if (spec.mode == Mode::host) return ListenerSet{};
  TRY_VOID(apply_loopback_up());
  if (spec.mode == Mode::none) return ListenerSet{};
  RuleSet rules = TRY(RuleSet::make(spec.allow, spec.deny));

  const std::uint8_t fake[] = {kFakeNetwork >> 24, kFakeNetwork >> 16 & 0xff, 0, 0};
  TRY_VOID(apply_local_route(fake, kFakePrefixLength));
  Builder builder;
  TRY_VOID(builder.add(ListenerKind::dns_udp, SOCK_DGRAM, kLoopbackV4, kDnsPort, kDnsPort));
  TRY_VOID(builder.add(ListenerKind::dns_tcp, SOCK_STREAM, kLoopbackV4, kDnsPort, kDnsPort,
                       Sharing::reuse_port));
  if (spec.proxy_port != 0) {
    TRY_VOID(builder.add(
        ListenerKind::proxy, SOCK_STREAM, kLoopbackV4, spec.proxy_port, spec.proxy_port,
        has_wildcard_listener(rules, spec.proxy_port) ? Sharing::reuse_port : Sharing::exclusive));
  }
  for (const PortForward& forward : spec.host_ports)
    TRY_VOID(add_host_port(builder, forward, rules));
  for (std::uint16_t port : kStandardPorts) TRY_VOID(builder.add_transparent_any(kAnyV4, port));
  for (std::uint16_t port : ports_from(rules.ports(), 1, kFirstUnprivilegedPort - 1)) {
    TRY_VOID(builder.add_transparent_any(kAnyV4, port));
  }
  // A listener on every address stands beside none on a single one of the same port.
  for (bool on_every_address : {true, false}) {
    for (const Rule* rule : rules.networks()) {
      bool large = addresses_of(std::get<Network>(rule->target)).empty();
      if (large == on_every_address) TRY_VOID(add_network_rule(builder, *rule));
    }
  }
  return builder.take();
}

Result<ListenerSet> make_publish_listeners(const NetworkSpec& spec) {
  ListenerSet out;
  for (const Publish& publish : spec.publish) {
    IpAddress address = TRY(parse_ip(publish.address));
    UniqueFd fd = TRY(make_bound_socket(SOCK_STREAM, address, publish.outside));
    out.push_back({ListenerKind::publish, publish.inside, std::move(fd)});
  }
  return out;
}

namespace {

/// Precedes up to eight descriptors, in the same order.
struct ListenerMessage {
  struct Entry {
    ListenerKind kind;
    std::uint16_t port;
  };
  std::uint32_t count = 0;  ///< 0: the end
  Entry entries[8]{};
};

}  // namespace

Result<void> send_listeners(int socket, const ListenerSet& listeners) {
  for (std::size_t i = 0; i < listeners.size();) {
    ListenerMessage message;
    int fds[8];
    for (; message.count < 8 && i < listeners.size(); ++i, ++message.count) {
      message.entries[message.count] = {listeners[i].kind, listeners[i].port};
      fds[message.count] = listeners[i].fd.get();
    }
    TRY_VOID(send_message(socket, as_bytes_of(message), std::span(fds, message.count)));
  }
  return send_message(socket, as_bytes_of(ListenerMessage{}));
}

Result<ListenerSet> receive_listeners(int socket) {
  ListenerSet out;
  while (true) {
    Message received = TRY(receive_message(socket, sizeof(ListenerMessage), 8));
    ListenerMessage message;
    if (received.bytes.size() != sizeof message) {
      return fail("receive listeners", "", "the sender stopped before the end");
    }
    std::memcpy(&message, received.bytes.data(), sizeof message);
    if (message.count != received.fds.size()) {
      return fail("receive listeners", "", "descriptors are missing");
    }
    if (message.count == 0) return out;
    for (std::size_t i = 0; i < message.count; ++i) {
      out.push_back({message.entries[i].kind, message.entries[i].port, std::move(received.fds[i])});
    }
  }
}

}  // namespace dirbox::netns
