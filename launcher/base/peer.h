#pragma once
#include <sys/types.h>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Who is at the other end of a unix socket.
namespace dirbox {

struct Peer {
  pid_t pid = 0;  ///< as seen here
  uid_t uid = 0;
  UniqueFd user_namespace;
};

/// The process that connected, or that listens. It is held by a pidfd while /proc is read, so that
/// a recycled pid cannot stand in for it (SO_PEERPIDFD from Linux 6.5 on; before that from the pid
/// of SO_PEERCRED, which leaves the window between connect and this call). Errors: a process that
/// this pid namespace does not see, one that is gone.
Result<Peer> identify_peer(int socket);

}  // namespace dirbox
