#pragma once
#include <linux/filter.h>

#include <span>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Puts a filter on the calling thread, for good: it holds across execve(2), for all that is
/// forked, and nothing takes it off. The caller has set no_new_privs; both functions check that.
/// They take no lock and may run in a child right after clone(2).
namespace dirbox::seccomp {

/// `flags`: SECCOMP_FILTER_FLAG_* but NEW_LISTENER. A program that notifies is refused: without a
/// listener its calls are answered by whichever listener a later filter brings.
Result<void> install_filter(std::span<const sock_filter> program, unsigned flags = 0);

/// The same with a listener, whose descriptor (close-on-exec) is returned. Whoever gets it keeps it
/// open as long as anything runs under the filter: after it is closed, notifying calls fail with
/// ENOSYS. Waiting callers are only woken by fatal signals where the kernel can do that (5.19).
Result<UniqueFd> install_filter_with_listener(std::span<const sock_filter> program,
                                              unsigned flags = 0);

}  // namespace dirbox::seccomp
