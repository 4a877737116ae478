#include "launcher/broker/peer.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "launcher/base/unique_fd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace dirbox::broker {
namespace {

constexpr int kMaxNesting = 32;  // user_namespaces(7)
constexpr std::string_view kDoing = "check who called the broker";

Result<UniqueFd> open_user_namespace(pid_t pid) {
  std::string path = "/proc/" + std::to_string(pid) + "/ns/user";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open a user namespace", path);
  return fd;
}

Result<NamespaceId> identify(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail_errno("identify a user namespace", "");
  return NamespaceId{st.st_dev, st.st_ino};
}

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

Result<NamespaceId> user_namespace_of(pid_t pid) {
  UniqueFd fd = TRY(open_user_namespace(pid));
  return identify(fd.get());
}

Result<pid_t> check_peer(int socket, uid_t uid, const NamespaceId& session) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return fail_errno(kDoing, "SO_PEERCRED");
  }
  if (peer.pid <= 0) return fail(kDoing, "", "a process that this pid namespace does not see");
  if (peer.uid != uid) return fail(kDoing, std::to_string(peer.pid), "another user");
  UniqueFd process = TRY(open_peer_pidfd(socket, peer.pid));
  UniqueFd space = TRY(open_user_namespace(peer.pid));
  // Signal 0 reaches a zombie too: its pid is not free yet, so what was opened above was its own.
  if (::syscall(SYS_pidfd_send_signal, process.get(), 0, nullptr, 0) != 0) {
    return fail_errno(kDoing, std::to_string(peer.pid));
  }
  for (int depth = 0; depth <= kMaxNesting; ++depth) {
    if (TRY(identify(space.get())) == session) return peer.pid;
    UniqueFd parent(::ioctl(space.get(), NS_GET_PARENT));
    if (!parent.valid()) break;  // EPERM: above our own namespace, so not below the session's
    space = std::move(parent);
  }
  return fail(kDoing, std::to_string(peer.pid), "a process outside this sandbox");
}

}  // namespace dirbox::broker
