#include "launcher/broker/peer.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <string>

#include "launcher/base/peer.h"

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

}  // namespace

Result<NamespaceId> user_namespace_of(pid_t pid) {
  UniqueFd fd = TRY(open_user_namespace(pid));
  return identify(fd.get());
}

Result<pid_t> check_peer(int socket, uid_t uid, const NamespaceId& session) {
  Peer peer = TRY(identify_peer(socket));
  if (peer.uid != uid) return fail(kDoing, std::to_string(peer.pid), "another user");
  for (int depth = 0; depth <= kMaxNesting; ++depth) {
    if (TRY(identify(peer.user_namespace.get())) == session) return peer.pid;
    UniqueFd parent(::ioctl(peer.user_namespace.get(), NS_GET_PARENT));
    if (!parent.valid()) break;  // EPERM: above our own namespace, so not below the session's
    peer.user_namespace = std::move(parent);
  }
  return fail(kDoing, std::to_string(peer.pid), "a process outside this sandbox");
}

}  // namespace dirbox::broker
