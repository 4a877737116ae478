#pragma once
#include <cstdint>

#include "launcher/base/result.h"

/// What the proxy process gives up before it reads a byte from the sandbox. In order:
///
///   apply_identity   dies with its parent; no ptrace, no core dump; every descriptor it may have;
///                    its own user namespace, where it is nobody special, in the host's network
///   drop_privileges  every capability, of every set; no_new_privs
///   enter_landlock   files: read, and only what name resolution reads
///   enter_filter     system calls: sockets, memory, waiting, reading; sockets: TCP, UDP and the
///                    kernel's address list; no unix sockets, no exec, no new process or thread
///
/// It stays in the host's network namespace: it is what reaches the network. Unix sockets are
/// denied because the host's engines and agents listen on them, so resolvers that are asked over
/// one (nss-resolve, mDNS by avahi, nscd) fall back to what resolv.conf says.
namespace dirbox::netns {

Result<void> apply_identity();
/// What the descriptor limit of this process carries: connections, at two each, and a quarter of it
/// listeners made on request.
struct Capacity {
  std::uint32_t connections = 1;
  std::uint32_t listeners = 1;
};
Capacity read_capacity();
Result<void> drop_privileges();
/// ENOSYS or EOPNOTSUPP where the kernel has no Landlock.
Result<void> enter_landlock();
/// Every thread of the process (TSYNC). Nothing works afterwards that needs another call.
Result<void> enter_filter();

}  // namespace dirbox::netns
