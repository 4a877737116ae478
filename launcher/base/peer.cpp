#include "launcher/base/peer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <string>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace dirbox {
namespace {

constexpr const char* kDoing = "identify the other end of a socket";

Result<UniqueFd> open_peer_pidfd(int socket, pid_t pid) {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) return UniqueFd(fd);
  if (errno != ENOPROTOOPT) return fail_errno(kDoing, "SO_PEERPIDFD");
  UniqueFd opened(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!opened.valid()) return fail_errno(kDoing, "pidfd_open");
  return opened;
}

}  // namespace

Result<Peer> identify_peer(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return fail_errno(kDoing, "SO_PEERCRED");
  if (peer.pid <= 0) return fail(kDoing, "", "a process that this pid namespace does not see");
  UniqueFd process = TRY(open_peer_pidfd(socket, peer.pid));
  const std::string path = "/proc/" + std::to_string(peer.pid) + "/ns/user";
  UniqueFd space(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!space.valid()) return fail_errno(kDoing, path);
  // Signal 0 reaches a zombie too: its pid is not free yet, so what was opened above was its own.
  if (::syscall(SYS_pidfd_send_signal, process.get(), 0, nullptr, 0) != 0)
    return fail_errno(kDoing, std::to_string(peer.pid));
  return Peer{peer.pid, peer.uid, std::move(space)};
}

}  // namespace dirbox
