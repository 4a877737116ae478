#pragma once
#include <sys/types.h>

#include <cstdint>

#include "launcher/base/result.h"

/// Who is at the other end of a broker connection.
namespace dirbox::broker {

/// The identity of a namespace: st_dev and st_ino of its file in /proc/PID/ns.
struct NamespaceId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const NamespaceId&) const = default;
};

/// The user namespace of a process.
Result<NamespaceId> user_namespace_of(pid_t pid);

/// Checks that the process that connected `socket` runs under `uid` and in `session`, or in a user
/// namespace below it, and returns its pid as seen here. Other processes of the same user, and
/// other sandboxes, are thereby refused even when they come by the socket.
Result<pid_t> check_peer(int socket, uid_t uid, const NamespaceId& session);

}  // namespace dirbox::broker
