#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>

#include "tests/support/probe/probe.h"

namespace probe {
namespace {

Outcome verb_mount(const Arguments& a) {
  const unsigned long flags = a.size() > 3 ? number(a[3]) : 0;
  return from_call(mount(a[0].c_str(), a[1].c_str(), a[2].c_str(), flags, nullptr));
}
Outcome verb_umount(const Arguments& a) { return from_call(umount2(a[0].c_str(), MNT_DETACH)); }
Outcome verb_open_tree(const Arguments& a) {
  constexpr unsigned kClone = 1;
  return from_call(syscall(SYS_open_tree, AT_FDCWD, a[0].c_str(), kClone | O_CLOEXEC));
}
Outcome verb_fsopen(const Arguments& a) { return from_call(syscall(SYS_fsopen, a[0].c_str(), 0)); }
Outcome verb_move_mount(const Arguments& a) {
  return from_call(syscall(SYS_move_mount, AT_FDCWD, a[0].c_str(), AT_FDCWD, a[1].c_str(), 0));
}
Outcome verb_mount_setattr(const Arguments& a) {
  return from_call(syscall(SYS_mount_setattr, AT_FDCWD, a[0].c_str(), 0, nullptr, 0));
}
Outcome verb_pivot_root(const Arguments& a) {
  return from_call(syscall(SYS_pivot_root, a[0].c_str(), a[1].c_str()));
}

/// The caller's session keyring, searched for a key of type user.
Outcome verb_keyctl_search(const Arguments& a) {
  const long key =
      syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", a[0].c_str(), 0);
  if (key < 0) return {errno, "search"};
  char value[256];
  const long n = syscall(SYS_keyctl, KEYCTL_READ, key, value, sizeof value);
  return n < 0 ? Outcome{errno, "read"} : Outcome{0, std::string(value, static_cast<size_t>(n))};
}
Outcome verb_add_key(const Arguments& a) {
  return from_call(
      syscall(SYS_add_key, "user", a[0].c_str(), "value", 5, KEY_SPEC_SESSION_KEYRING));
}

Outcome verb_syscall(const Arguments& a) {
  unsigned long long v[7] = {};
  for (size_t i = 0; i < a.size() && i < 7; ++i) v[i] = number(a[i]);
  return from_call(syscall(static_cast<long>(v[0]), v[1], v[2], v[3], v[4], v[5], v[6]));
}

/// One system call with operands that the kernel refuses, so that "EPERM from the filter" and
/// "reached the kernel" can be told apart: the detail is what an unfiltered kernel says to a caller
/// without privilege, or to any.
struct KernelCall {
  const char* name;
  long number;
  unsigned long long arguments[6];
};

constexpr unsigned long long kBad = 8;  // a pointer into the never-mapped first page

const KernelCall kCalls[] = {
    {"io_uring_setup", SYS_io_uring_setup, {1, kBad}},
    {"io_uring_enter", SYS_io_uring_enter, {~0ULL}},
    {"io_uring_register", SYS_io_uring_register, {~0ULL}},
    {"perf_event_open", SYS_perf_event_open, {kBad, 0, ~0ULL, ~0ULL, 0}},
    {"userfaultfd", SYS_userfaultfd, {~0ULL}},
    {"bpf", SYS_bpf, {0, kBad, 64}},
    {"keyctl", SYS_keyctl, {0, 0, 0}},
    {"add_key", SYS_add_key, {kBad, kBad, 0, 0, 0}},
    {"request_key", SYS_request_key, {kBad, kBad, 0, 0}},
    {"ptrace", SYS_ptrace, {0x4206, ~0ULL, 0, 0}},
    {"process_vm_readv", SYS_process_vm_readv, {1, kBad, 1, kBad, 1, 0}},
    {"process_vm_writev", SYS_process_vm_writev, {1, kBad, 1, kBad, 1, 0}},
    {"kcmp", SYS_kcmp, {1, 1, ~0ULL, 0, 0}},
    {"pidfd_getfd", SYS_pidfd_getfd, {~0ULL, 0, 0}},
    {"mount", SYS_mount, {kBad, kBad, kBad, 0, 0}},
    {"umount2", SYS_umount2, {kBad, 0}},
    {"pivot_root", SYS_pivot_root, {kBad, kBad}},
    {"open_tree", SYS_open_tree, {~0ULL, kBad, 1}},
    {"move_mount", SYS_move_mount, {~0ULL, kBad, ~0ULL, kBad, 0}},
    {"fsopen", SYS_fsopen, {kBad, 0}},
    {"fsconfig", SYS_fsconfig, {~0ULL, 0, 0, 0, 0}},
    {"fsmount", SYS_fsmount, {~0ULL, 0, 0}},
    {"fspick", SYS_fspick, {~0ULL, kBad, 0}},
    {"mount_setattr", SYS_mount_setattr, {~0ULL, kBad, 0, kBad, 32}},
    {"setns", SYS_setns, {~0ULL, 0}},
    {"chroot", SYS_chroot, {kBad}},
    {"swapon", SYS_swapon, {kBad, 0}},
    {"swapoff", SYS_swapoff, {kBad}},
    {"reboot", SYS_reboot, {0, 0, 0, 0}},
    {"kexec_load", SYS_kexec_load, {0, ~0ULL, kBad, 0}},
    {"init_module", SYS_init_module, {kBad, 0, kBad}},
    {"finit_module", SYS_finit_module, {~0ULL, kBad, 0}},
    {"delete_module", SYS_delete_module, {kBad, 0}},
    {"clock_settime", SYS_clock_settime, {0, kBad}},
    {"settimeofday", SYS_settimeofday, {kBad, 0}},
    {"clock_adjtime", SYS_clock_adjtime, {0, kBad}},
    {"adjtimex", SYS_adjtimex, {kBad}},
    {"sethostname", SYS_sethostname, {kBad, 1}},
    {"setdomainname", SYS_setdomainname, {kBad, 1}},
    {"syslog", SYS_syslog, {10, 0, 0}},
    {"acct", SYS_acct, {kBad}},
    {"quotactl", SYS_quotactl, {0, kBad, 0, 0}},
    {"fanotify_init", SYS_fanotify_init, {~0ULL, 0}},
    {"lookup_dcookie", 212, {0, kBad, 0}},
    {"personality", SYS_personality, {ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC}},
    {"vhangup", SYS_vhangup, {}},
    {"open_by_handle_at", SYS_open_by_handle_at, {~0ULL, kBad, 0}},
    {"mbind", SYS_mbind, {1, 1, ~0ULL, 0, 0, 0}},
    {"move_pages", SYS_move_pages, {~0ULL, 1, 0, 0, 0, 0}},
    {"nfsservctl", SYS_nfsservctl, {}},
#ifdef __x86_64__
    {"iopl", SYS_iopl, {0}},
    {"ioperm", SYS_ioperm, {0, 0, 0}},
    {"modify_ldt", SYS_modify_ldt, {~0ULL, 0, 0}},
    {"uselib", SYS_uselib, {kBad}},
    {"_sysctl", SYS__sysctl, {}},
    {"create_module", SYS_create_module, {}},
    {"ustat", SYS_ustat, {0, kBad}},
    {"sysfs", SYS_sysfs, {0}},
#endif
};

Outcome verb_call(const Arguments& a) {
  for (const KernelCall& call : kCalls) {
    if (a[0] != call.name) continue;
    const auto& v = call.arguments;
    return from_call(syscall(call.number, v[0], v[1], v[2], v[3], v[4], v[5]));
  }
  return {ENODATA, "no such call in the table"};
}

Outcome verb_list_calls(const Arguments&) {
  std::string names;
  for (const KernelCall& call : kCalls) names += std::string(call.name) + " ";
  return {0, names};
}

/// getpid by another system call table; ok means that the foreign table is open.
Outcome verb_foreign_abi(const Arguments& a) {
#ifdef __x86_64__
  if (a[0] == "x32") {
    constexpr long kX32Bit = 0x40000000;
    return from_call(syscall(kX32Bit | SYS_getpid));
  }
  if (a[0] == "i386") {
    constexpr long kGetpid32 = 20;
    long result = 0;
    asm volatile("int $0x80" : "=a"(result) : "a"(kGetpid32) : "memory", "r8", "r9", "r10", "r11");
    result = static_cast<int>(result);
    return result < 0 ? Outcome{static_cast<int>(-result), {}} : Outcome{0, std::to_string(result)};
  }
#endif
  return {ENOTSUP, a[0]};
}

Outcome verb_sethostname(const Arguments& a) {
  return from_call(sethostname(a[0].c_str(), a[0].size()));
}

template <class Call>
double nanoseconds_each(int rounds, Call call) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) call();
  const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
  return spent.count() / rounds;
}

/// Installs the BPF program that begins at an offset of a file.
Outcome install_filter(const std::string& path, std::size_t offset) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  std::vector<sock_filter> program(BPF_MAXINSNS);
  file.read(reinterpret_cast<char*>(program.data()),
            static_cast<std::streamsize>(program.size() * sizeof(sock_filter)));
  program.resize(static_cast<std::size_t>(file.gcount()) / sizeof(sock_filter));
  if (program.empty()) return {ENOENT, {}};
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return {errno, {}};
  return from_call(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

/// Landlock with all file system rights of this kernel, granted beneath / and the working
/// directory.
Outcome install_landlock() {
  const long abi =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return {errno, {}};
  constexpr unsigned kRights[] = {13, 14, 15, 15, 16};  // LANDLOCK_ACCESS_FS_* of ABI 1 to 5
  const std::uint64_t rights = (1U << kRights[std::min(abi, 5L) - 1]) - 1;
  const std::uint64_t handled[] = {rights};
  const int ruleset =
      static_cast<int>(syscall(SYS_landlock_create_ruleset, handled, sizeof handled, 0));
  for (const char* path : {"/", "."}) {
    landlock_path_beneath_attr rule{rights, open(path, O_PATH | O_CLOEXEC)};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
      return {errno, path};
  }
  return from_call(syscall(SYS_landlock_restrict_self, ruleset, 0));
}

/// COMMAND under the smallest filter and Landlock rules that there can be: what the kernel takes
/// for having them.
Outcome verb_exec_layered(const Arguments& a) {
  sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  sock_fprog filter{1, &allow};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
    return {errno, {}};
  if (Outcome landlock = install_landlock(); landlock.err != 0) return landlock;
  std::vector<char*> argv;
  for (const std::string& word : a) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  return {errno, {}};
}

/// Nanoseconds of one openat(2) of a directory; those that close it do not count.
double openat_nanoseconds(int rounds) {
  constexpr int kOpen = 500;  // less than the usual limit of descriptors
  double spent = 0;
  const int batches = rounds / kOpen;
  for (int batch = 0; batch < batches; ++batch) {
    int first = -1;
    spent += nanoseconds_each(kOpen, [&] {
      const int fd = openat(AT_FDCWD, "/usr", O_RDONLY | O_CLOEXEC);
      if (first < 0) first = fd;
    });
    if (first < 0 || close_range(static_cast<unsigned>(first), ~0U, 0) != 0) return 0;
  }
  return spent / batches;
}

/// Nanoseconds of one getppid(2) and one openat(2). ROUNDS, and, to measure under a filter, a file
/// and where in it the program begins.
Outcome verb_bench_syscalls(const Arguments& a) {
  const int rounds = static_cast<int>(number(a[0]));
  if (a.size() > 2) {
    Outcome installed = install_filter(a[1], static_cast<std::size_t>(number(a[2])));
    if (installed.err != 0) return installed;
  }
  long sum = 0;
  const double getppid_ns = nanoseconds_each(rounds, [&] { sum += syscall(SYS_getppid); });
  const double open_ns = openat_nanoseconds(rounds / 10);
  if (sum == 0 || open_ns == 0) return {ENODATA, {}};
  return {0, "getppid=" + std::to_string(getppid_ns) + " openat=" + std::to_string(open_ns)};
}

}  // namespace

const std::vector<Verb> kKernelVerbs = {
    {"mount", "SOURCE TARGET TYPE ...", verb_mount},
    {"umount", "PATH", verb_umount},
    {"open-tree", "PATH", verb_open_tree},
    {"fsopen", "TYPE", verb_fsopen},
    {"move-mount", "FROM TO", verb_move_mount},
    {"mount-setattr", "PATH", verb_mount_setattr},
    {"pivot-root", "NEW OLD", verb_pivot_root},
    {"keyctl-search", "DESCRIPTION", verb_keyctl_search},
    {"add-key", "DESCRIPTION", verb_add_key},
    {"syscall", "NUMBER ...", verb_syscall},
    {"call", "NAME", verb_call},
    {"list-calls", "", verb_list_calls},
    {"foreign-abi", "x32|i386", verb_foreign_abi},
    {"sethostname", "NAME", verb_sethostname},
    {"exec-layered", "COMMAND ...", verb_exec_layered},
    {"bench-syscalls", "ROUNDS ...", verb_bench_syscalls},
};

}  // namespace probe
