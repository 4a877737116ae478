#pragma once
#include "launcher/base/result.h"

/// What the filter gives up before it reads a byte from the sandbox, beside what
/// netns/confine.h's apply_identity and drop_privileges take:
///
///   enter_own_network  an empty network namespace, and with it no abstract unix socket of the host
///   enter_landlock     every right to read or write a file
///   enter_filter       system calls: unix sockets, memory, waiting, and looking whether a path
///                      still is what it was; no exec, no new process or thread
///
/// It keeps connect(2) to unix sockets by path, because it connects to the engine for every
/// request. Who takes the filter over has the engine, and an engine gives away more than any socket
/// that the user's programs listen on: another process between the two would guard nothing.
namespace dirbox::docker {

Result<void> enter_own_network();
/// ENOSYS or EOPNOTSUPP where the kernel has no Landlock.
Result<void> enter_landlock();
/// Every thread of the process (TSYNC).
Result<void> enter_filter();

}  // namespace dirbox::docker
