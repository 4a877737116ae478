#include "netns/socket_request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "launcher/base/unix_socket.h"

namespace dirbox::netns {
namespace {

constexpr int kBacklog = 128;
constexpr std::uint16_t kFirstUnprivilegedPort = 1024;

Result<UniqueFd> make_fake_listener(std::uint32_t address, std::uint16_t port) {
  if (!is_fake_address(address) || port < kFirstUnprivilegedPort) {
    return fail_errno("make a listener", "", EACCES);
  }
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("make a listener", "");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return fail_errno("make a listener", "");
  }
  return fd;
}

template <class Address>
Result<UniqueFd> make_connection(const Address& to) {
  auto* generic = reinterpret_cast<const sockaddr*>(&to);
  UniqueFd fd(::socket(generic->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("connect inside", "");
  if (::connect(fd.get(), generic, sizeof to) != 0 && errno != EINPROGRESS) {
    return fail_errno("connect inside", "");
  }
  return fd;
}

}  // namespace

Result<UniqueFd> make_requested_socket(const SocketRequest& request) {
  if (request.verb == SocketVerb::listen && request.family == 4) {
    std::uint32_t address;
    std::memcpy(&address, request.address.data(), sizeof address);
    return make_fake_listener(ntohl(address), request.port);
  }
  if (request.verb == SocketVerb::connect && request.family == 4) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(request.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return make_connection(to);
  }
  if (request.verb == SocketVerb::connect && request.family == 6) {
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(request.port);
    to.sin6_addr = in6addr_loopback;
    return make_connection(to);
  }
  return fail_errno("make a requested socket", "", EINVAL);
}

Result<bool> serve_socket_request(int channel) {
  Message message = TRY(receive_message(channel, sizeof(SocketRequest), 0));
  if (message.end) return false;
  SocketReply reply;
  UniqueFd made;
  if (message.bytes.size() == sizeof(SocketRequest)) {
    SocketRequest request;
    std::memcpy(&request, message.bytes.data(), sizeof request);
    reply.id = request.id;
    auto socket = make_requested_socket(request);
    if (socket) {
      made = std::move(*socket);
    } else {
      reply.err = socket.error().err;
    }
  } else {
    reply.err = EINVAL;
  }
  int fd = made.get();
  TRY_VOID(send_message(channel, as_bytes_of(reply), std::span(&fd, made.valid() ? 1 : 0)));
  return true;
}

}  // namespace dirbox::netns
