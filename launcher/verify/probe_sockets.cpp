#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "launcher/base/unique_fd.h"
#include "launcher/verify/probe.h"

namespace dirbox::verify {
namespace {

Outcome connect_unix(const std::string& name, bool abstract) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::size_t skip = abstract ? 1 : 0;
  if (name.size() + 1 > sizeof address.sun_path) return refused(ENAMETOOLONG);
  std::memcpy(address.sun_path + skip, name.data(), name.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return refused(errno);
  socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + skip + name.size());
  return from_call(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size));
}

Outcome verb_connect_abstract(const Words& words) { return connect_unix(word_at(words, 0), true); }
Outcome verb_connect_unix(const Words& words) { return connect_unix(word_at(words, 0), false); }

sockaddr_in loopback(unsigned long long port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// PORT of 127.0.0.1
Outcome verb_connect_tcp(const Words& words) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return refused(errno);
  sockaddr_in address = loopback(number(word_at(words, 0)));
  return from_call(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
}

/// Listens on 127.0.0.1 and connects there.
Outcome verb_loopback(const Words&) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.valid()) return refused(errno);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return refused(errno);
  }
  return verb_connect_tcp({std::to_string(ntohs(address.sin_port))});
}

constexpr Verb kVerbs[] = {
    {"connect-abstract", verb_connect_abstract},
    {"connect-unix", verb_connect_unix},
    {"connect-tcp", verb_connect_tcp},
    {"loopback", verb_loopback},
};

}  // namespace

std::span<const Verb> socket_verbs() { return kVerbs; }

}  // namespace dirbox::verify
