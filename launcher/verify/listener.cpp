#include "launcher/verify/listener.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <sstream>

#include "launcher/base/file.h"
#include "netns/address_guard.h"
#include "netns/host.h"

namespace dirbox::verify {
namespace {

/// Lines of a file of words, without comments.
std::vector<std::vector<std::string>> read_words(const std::string& path) {
  std::vector<std::vector<std::string>> lines;
  auto text = read_file(path);
  std::istringstream file(text ? *text : std::string());
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::vector<std::string>& out = lines.emplace_back();
    for (std::string word; words >> word;) out.push_back(word);
  }
  return lines;
}

UniqueFd bind_socket(int type, const std::string& address, unsigned& port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(port));
  socklen_t size = sizeof name;
  auto* generic = reinterpret_cast<sockaddr*>(&name);
  if (::inet_pton(AF_INET, address.c_str(), &name.sin_addr) != 1) return {};
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() || ::bind(fd.get(), generic, size) != 0 ||
      ::getsockname(fd.get(), generic, &size) != 0 ||
      (type == SOCK_STREAM && ::listen(fd.get(), 8) != 0)) {
    return {};
  }
  port = ntohs(name.sin_port);
  return fd;
}

bool is_private(const netns::IpAddress& address) {
  const auto found = netns::classify_address(address).address_class;
  return found == netns::AddressClass::loopback || found == netns::AddressClass::private_use;
}

}  // namespace

std::optional<Listener> Listener::make(const std::string& address) {
  constexpr int kTries = 8;  // somebody else may have the other protocol's port
  for (int i = 0; i < kTries; ++i) {
    Listener listener;
    listener.address = address;
    listener.tcp = bind_socket(SOCK_STREAM, address, listener.port);
    if (!listener.tcp.valid()) return {};
    listener.udp = bind_socket(SOCK_DGRAM, address, listener.port);
    if (listener.udp.valid()) return listener;
  }
  return {};
}

bool Listener::take_connection() const {
  UniqueFd peer(::accept4(tcp.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return peer.valid();
}

bool Listener::take_datagram() const {
  char text[256];
  return ::recv(udp.get(), text, sizeof text, MSG_DONTWAIT) >= 0;
}

std::string find_host_address() {
  struct Free {
    void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
  };
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  std::unique_ptr<ifaddrs, Free> list(first);
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET ||
        (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) {
      continue;
    }
    char text[INET_ADDRSTRLEN] = {};
    const auto* address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr);
    if (::inet_ntop(AF_INET, &address->sin_addr, text, sizeof text) != nullptr) return text;
  }
  return {};
}

std::optional<std::pair<std::string, std::string>> find_private_name() {
  for (const std::vector<std::string>& words : read_words("/etc/hosts")) {
    if (words.size() < 2) continue;
    auto address = netns::parse_ip(words[0]);
    if (!address || !address->is_v4() || !is_private(*address)) continue;
    for (std::size_t i = 1; i < words.size(); ++i) {
      auto name = netns::parse_hostname(words[i]);
      if (name && !netns::names_loopback(*name)) return std::pair{name->text(), words[0]};
    }
  }
  return {};
}

std::vector<std::string> find_resolvers() {
  std::vector<std::string> addresses;
  for (const std::vector<std::string>& words : read_words("/etc/resolv.conf")) {
    if (words.size() > 1 && words[0] == "nameserver") addresses.push_back(words[1]);
  }
  return addresses;
}

}  // namespace dirbox::verify
