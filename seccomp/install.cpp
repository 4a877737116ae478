#include "seccomp/install.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace dirbox::seccomp {
namespace {

constexpr std::string_view kDoing = "install seccomp filter";

bool notifies(std::span<const sock_filter> program) {
  return std::any_of(program.begin(), program.end(), [](const sock_filter& insn) {
    return insn.code == (BPF_RET | BPF_K) &&
           (insn.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF;
  });
}

/// seccomp(2) has no wrapper in glibc. Returns what the kernel returns, -1 with errno on failure.
long set_filter(std::span<const sock_filter> program, unsigned flags) {
  sock_fprog fprog{static_cast<unsigned short>(program.size()),
                   const_cast<sock_filter*>(program.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
}

Result<void> check(std::span<const sock_filter> program) {
  if (program.empty() || program.size() > BPF_MAXINSNS)
    return fail(kDoing, "program", "not between 1 and 4096 instructions");
  int nnp = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  if (nnp < 0) return fail_errno(kDoing, "no_new_privs");
  if (nnp != 1) return fail(kDoing, "no_new_privs", "not set before the filter");
  return {};
}

}  // namespace

Result<void> install_filter(std::span<const sock_filter> program, unsigned flags) {
  TRY_VOID(check(program));
  if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0 || notifies(program))
    return fail(kDoing, "program", "notifies, and has no listener");
  if (set_filter(program, flags) != 0) return fail_errno(kDoing, "seccomp(2)");
  return {};
}

Result<UniqueFd> install_filter_with_listener(std::span<const sock_filter> program,
                                              unsigned flags) {
  TRY_VOID(check(program));
  flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  long fd = set_filter(program, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
  if (fd < 0 && errno == EINVAL) fd = set_filter(program, flags);
  if (fd < 0) return fail_errno(kDoing, "seccomp(2)");
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace dirbox::seccomp
