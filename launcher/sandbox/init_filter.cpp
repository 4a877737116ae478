#include "launcher/sandbox/init_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "launcher/base/sanitized.h"

namespace dirbox::sandbox {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArch = AUDIT_ARCH_AARCH64;
#endif

constexpr int kInitCalls[] = {
    // waiting, reaping, signalling
    SYS_wait4,
    SYS_kill,
    SYS_restart_syscall,
    SYS_rt_sigreturn,
    SYS_getpgid,
    // sockets on request
    SYS_ioctl,
    SYS_socket,
    SYS_bind,
    SYS_listen,
    SYS_connect,
    SYS_setsockopt,
    SYS_getsockopt,
    SYS_getsockname,
#if defined(__x86_64__)
    SYS_getpgrp,
#endif
};

/// Of the writer (writer.h): names. Nothing that makes a process, a socket or a mount, or signals.
constexpr int kWriterCalls[] = {
    SYS_umask,    SYS_openat,     SYS_openat2,   SYS_readlinkat, SYS_fstat,      SYS_newfstatat,
    SYS_statx,    SYS_getdents64, SYS_lseek,     SYS_pread64,    SYS_mkdirat,    SYS_mknodat,
    SYS_linkat,   SYS_symlinkat,  SYS_renameat2, SYS_unlinkat,   SYS_ftruncate,  SYS_fchmod,
    SYS_fchmodat, SYS_fchownat,   SYS_utimensat, SYS_faccessat,  SYS_faccessat2,
#if defined(__x86_64__)
    SYS_renameat, SYS_readlink,   SYS_open,      SYS_unlink,
#endif
};

/// Of both.
constexpr int kCommonCalls[] = {
    // the supervisor's messages
    SYS_ppoll,
    SYS_read,
    SYS_write,
    SYS_close,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_fcntl,
#if defined(__x86_64__)
    SYS_poll,
#endif
    // ending
    SYS_exit_group,
    SYS_exit,
    SYS_getpid,
    // the allocator
    SYS_futex,
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_mprotect,
};

sock_filter statement(std::uint16_t code, std::uint32_t k) { return {code, 0, 0, k}; }

std::vector<sock_filter> build(std::span<const int> allowed) {
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
  for (int number : kCommonCalls) allow(number);
  for (int number : allowed) allow(number);
  // AddressSanitizer asks where the stacks are before each function that does not return, and what
  // time it is when it gives memory back. Its companion for undefined behaviour writes from an
  // address into a pipe to learn whether there is memory.
  if constexpr (kSanitized) {
    for (int number : {SYS_sigaltstack, SYS_clock_gettime, SYS_pipe2, SYS_write, SYS_close})
      allow(number);
  }
  program.push_back(statement(kReturn, SECCOMP_RET_KILL_PROCESS));
  return program;
}

Result<void> enter(std::span<const int> allowed, std::string_view doing) {
  std::vector<sock_filter> program = build(allowed);
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
    return fail_errno(doing, "seccomp");
  return {};
}

}  // namespace

Result<void> enter_init_filter() { return enter(kInitCalls, "confine init"); }

Result<void> enter_writer_filter() { return enter(kWriterCalls, "confine the guard's writer"); }

}  // namespace dirbox::sandbox
