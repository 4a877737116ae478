#include "launcher/broker/docker/confine.h"

#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/base/unique_fd.h"
#include "seccomp/compile.h"

namespace dirbox::docker {
namespace {

constexpr const char* kCalls[] = {
    // bytes and sockets; socket(2) itself by rule
    "accept4",
    "close",
    "connect",
    "getsockopt",
    "read",
    "recvfrom",
    "recvmsg",
    "sendmsg",
    "sendto",
    "shutdown",
    "write",
    // whether a mount's source still is what it was: Landlock leaves looking, not reading
    "fstat",
    "newfstatat",
    "openat2",
    // waiting
    "clock_nanosleep",
    "futex",
    "poll",
    "ppoll",
    "restart_syscall",
    // memory
    "brk",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    // itself
    "clock_gettime",
    "exit",
    "exit_group",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "tgkill",
};

Result<seccomp::Filter> compile_own_filter() {
  seccomp::PolicyInput input;
  const Origin origin{"the docker filter", 0, 0};
  input.deny.push_back({"@all", origin});
  for (const char* call : kCalls) {
    if (seccomp::find_call(call) != nullptr) input.allow.push_back({call, origin});
  }
  input.rules.push_back({"socket", {"arg0 == 1"}, "allow", origin});  // AF_UNIX
  return seccomp::compile_filter(TRY(seccomp::compile_policy(input)));
}

}  // namespace

Result<void> enter_own_network() {
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("enter a network namespace", "docker filter");
  return {};
}

Result<void> enter_landlock() {
  long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return fail_errno("use Landlock", "docker filter");
  // The file rights of ABI 1; later ones are refused as well where the kernel knows them.
  constexpr int kRightsOfAbi[] = {0, 13, 14, 15, 15, 16};
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = (std::uint64_t{1} << kRightsOfAbi[abi > 5 ? 5 : abi]) - 1;
  UniqueFd ruleset(static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0)));
  if (!ruleset.valid()) return fail_errno("make a Landlock ruleset", "docker filter");
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
    return fail_errno("enter Landlock", "docker filter");
  return {};
}

Result<void> enter_filter() {
  seccomp::Filter filter = TRY(compile_own_filter());
  sock_fprog program{static_cast<unsigned short>(filter.program.size()), filter.program.data()};
  long rc = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (rc > 0)
    return fail("enter the docker filter's seccomp filter", "", "a thread did not follow");
  if (rc != 0) return fail_errno("enter the docker filter's seccomp filter", "");
  // Gone: a call that no policy of the filter permits.
  if (::syscall(SYS_getppid) != -1 || errno != EPERM)
    return fail("enter the docker filter's seccomp filter", "", "it does not hold");
  return {};
}

}  // namespace dirbox::docker
