#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <sstream>

#include "launcher/base/file.h"
#include "launcher/doctor/probes.h"
#include "netns/netlink.h"
#include "netns/setup.h"
#include "netns/socket_address.h"

namespace dirbox::doctor {
namespace {

constexpr int kPatienceMs = 1500;

/// The name servers of resolv.conf(5), in its order.
std::vector<std::string> servers_of(const std::string& text) {
  std::vector<std::string> servers;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key, value;
    if (words >> key >> value && key == "nameserver") servers.push_back(value);
  }
  return servers;
}

/// Whether `server` answers a question for the name servers of the root, with whatever.
Outcome ask_server(const std::string& server) {
  // RFC 1035, 4.1: id, recursion desired, one question; the root; type NS, class IN.
  constexpr std::array<unsigned char, 17> kQuestion = {0xd1, 0x0c, 1, 0, 0, 1, 0, 0, 0,
                                                       0,    0,    0, 0, 0, 2, 0, 1};
  auto address = netns::parse_ip(server.substr(0, server.find('%')));
  if (!address) return {State::failed, EINVAL, 0, {}, server};
  const netns::SocketAddress at = netns::socket_address(*address, 53);
  UniqueFd socket(::socket(at.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return refused("socket", server);
  if (::connect(socket.get(), at.get(), at.length) != 0) return refused("connect", server);
  if (::send(socket.get(), kQuestion.data(), kQuestion.size(), 0) < 0)
    return refused("send", server);
  pollfd source{socket.get(), POLLIN, 0};
  if (::poll(&source, 1, kPatienceMs) <= 0) return refused("recv", server, ETIMEDOUT);
  std::array<unsigned char, 512> reply;
  if (::recv(socket.get(), reply.data(), reply.size(), 0) < 12) return refused("recv", server);
  return passed(server);
}

}  // namespace

Outcome probe_loopback(const HostState&) {
  if (auto done = netns::apply_loopback_up(); !done) return refused("sendmsg", done.error());
  return passed();
}

Outcome probe_route(const HostState&) {
  constexpr std::array<std::uint8_t, 4> kFake = {198, 18, 0, 0};
  if (auto done = netns::apply_loopback_up(); !done) return refused("sendmsg", done.error());
  if (auto done = netns::apply_local_route(kFake, 15); !done)
    return refused("sendmsg", done.error());
  return passed();
}

Outcome probe_listen(const HostState&) {
  netns::NetworkSpec spec;
  spec.mode = netns::Mode::proxy;
  auto listeners = netns::make_listeners(spec);
  if (!listeners) return refused("bind", listeners.error());
  return passed(fmt::format("{} listeners", listeners->size()));
}

Outcome probe_resolver(const HostState&) {
  auto text = read_file("/etc/resolv.conf");
  if (!text) return missing("/etc/resolv.conf: " + errno_name(text.error().err));
  const std::vector<std::string> servers = servers_of(*text);
  if (servers.empty()) return missing("/etc/resolv.conf names no server");
  Outcome outcome;
  for (std::size_t i = 0; i < servers.size() && i < 3; ++i) {  // MAXNS of resolv.h
    outcome = ask_server(servers[i]);
    if (outcome.state == State::ok) break;
  }
  return outcome;
}

}  // namespace dirbox::doctor
