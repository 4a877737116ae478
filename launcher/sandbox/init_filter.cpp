#include "launcher/sandbox/init_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "launcher/base/sanitized.h"

namespace dirbox::sandbox {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArch = AUDIT_ARCH_AARCH64;
#endif

constexpr int kAllowed[] = {
    // waiting, reaping, signalling, ending
    SYS_ppoll,
    SYS_wait4,
    SYS_kill,
    SYS_read,
    SYS_write,
    SYS_close,
    SYS_restart_syscall,
    SYS_rt_sigreturn,
    SYS_exit_group,
    SYS_exit,
    SYS_getpid,
    SYS_getpgid,
    SYS_futex,
    // the supervisor's messages
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_ioctl,
    // sockets on request
    SYS_socket,
    SYS_bind,
    SYS_listen,
    SYS_connect,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_getsockname,
    SYS_fcntl,
    // the allocator
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_mprotect,
#if defined(__x86_64__)
    SYS_poll,
    SYS_getpgrp,
#endif
};

sock_filter statement(std::uint16_t code, std::uint32_t k) { return {code, 0, 0, k}; }

std::vector<sock_filter> build() {
  constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kReturn = BPF_RET | BPF_K;
  constexpr std::uint16_t kEqual = BPF_JMP | BPF_JEQ | BPF_K;
  std::vector<sock_filter> program;
  program.push_back(statement(kLoad, offsetof(seccomp_data, arch)));
  program.push_back({kEqual, 1, 0, kArch});
  program.push_back(statement(kReturn, SECCOMP_RET_KILL_PROCESS));
  program.push_back(statement(kLoad, offsetof(seccomp_data, nr)));
  auto allow = [&program](int number) {
    program.push_back({kEqual, 0, 1, static_cast<std::uint32_t>(number)});
    program.push_back(statement(kReturn, SECCOMP_RET_ALLOW));
  };
  for (int number : kAllowed) allow(number);
  // AddressSanitizer asks where the stacks are before each function that does not return.
  if constexpr (kSanitized) allow(SYS_sigaltstack);
  program.push_back(statement(kReturn, SECCOMP_RET_KILL_PROCESS));
  return program;
}

}  // namespace

Result<void> enter_init_filter() {
  std::vector<sock_filter> program = build();
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
    return fail_errno("confine init", "seccomp");
  }
  return {};
}

}  // namespace dirbox::sandbox
