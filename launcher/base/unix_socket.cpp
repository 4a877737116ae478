#include "launcher/base/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

namespace dirbox {
namespace {
constexpr std::size_t kMaxFds = 8;
/// The most that one message can hold (SCM_MAX_FD of the kernel), which closes those that find no
/// room, and the receiver waits for it.
constexpr std::size_t kMaxReceived = 253;
}  // namespace

Result<SocketPair> make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return fail_errno("make a socket pair", "");
  }
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> make_unix_listener(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail_errno("listen on", path, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("listen on", path);
  // Before bind, so that the name never has another mode.
  if (::fchmod(fd.get(), 0600) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0)
    return fail_errno("listen on", path);
  return fd;
}

Result<void> send_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds) {
  if (fds.size() > kMaxFds) return fail("send a message", "", "too many descriptors");
  iovec iov{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  ssize_t n;
  do {
    n = ::sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return fail_errno("send a message", "");
  return {};
}

Result<Message> receive_message(int socket, std::size_t max_bytes, std::size_t max_fds,
                                std::vector<UniqueFd>* surplus) {
  Message message;
  message.bytes.resize(max_bytes);
  iovec iov{message.bytes.data(), max_bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxReceived)] = {};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    // ECONNRESET comes once, when the other end was closed before it read everything; what it had
    // sent comes after it (unix(7) sockets, AF_UNIX release in the kernel).
  } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) return fail_errno("receive a message", "");
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      message.fds.emplace_back(fd);
    }
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || message.fds.size() > max_fds) {
    if (surplus != nullptr) *surplus = std::move(message.fds);
    return fail("receive a message", "", "message larger than the protocol allows");
  }
  message.bytes.resize(static_cast<std::size_t>(n));
  message.end = n == 0;
  return message;
}

}  // namespace dirbox
