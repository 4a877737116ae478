#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netns/confine.h"
#include "seccomp/compile.h"

namespace dirbox::netns {
namespace {

/// Everything that the event loop, the relays, malloc and getaddrinfo(3) call.
constexpr const char* kCalls[] = {
    // bytes
    "close",
    "lseek",
    "pipe2",
    "read",
    "splice",
    "write",
    // sockets; socket(2) itself by rule
    "accept4",
    "bind",
    "connect",
    "getsockname",
    "getsockopt",
    "recvfrom",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    // waiting
    "epoll_ctl",
    "epoll_wait",
    "futex",
    "poll",
    "restart_syscall",
    "sched_yield",
    // memory; mprotect for malloc's arenas and for relocating a name service module
    "brk",
    "mmap",
    "mprotect",
    "munmap",
    // name resolution: configuration files and modules, of which Landlock leaves few; fstat is what
    // a C library before 2.33 or after 2.39 calls where others call newfstatat
    "fstat",
    "newfstatat",
    "openat",
    "uname",
    // itself
    "clock_gettime",
    "exit_group",
    "getrandom",
};

/// What the C library calls where the architecture lacks epoll_wait(2) and poll(2).
constexpr const char* kModernWaits[] = {"epoll_pwait", "ppoll"};

struct ArgumentRule {
  const char* call;
  std::vector<std::string> when;
};

std::vector<ArgumentRule> argument_rules() {
  return {
      {"socket", {"arg0 == 2"}},                // AF_INET
      {"socket", {"arg0 == 10"}},               // AF_INET6
      {"socket", {"arg0 == 16", "arg2 == 0"}},  // AF_NETLINK, NETLINK_ROUTE: own addresses
      {"fcntl", {"arg1 == 4"}},                 // F_SETFL
      {"fcntl", {"arg1 == 1031"}},              // F_SETPIPE_SZ
      {"ioctl", {"arg1 == 0x541b"}},            // FIONREAD: the DNS client of the C library
  };
}

Result<seccomp::Filter> compile_own_filter() {
  seccomp::PolicyInput input;
  const Origin origin{"the network proxy", 0, 0};
  input.deny.push_back({"@all", origin});
  for (const char* call : kCalls) {
    if (seccomp::find_call(call) != nullptr) input.allow.push_back({call, origin});
  }
  for (const char* call : kModernWaits) {
    if (seccomp::find_call("poll") == nullptr) input.allow.push_back({call, origin});
  }
  for (ArgumentRule& rule : argument_rules()) {
    input.rules.push_back({rule.call, std::move(rule.when), "allow", origin});
  }
  return seccomp::compile_filter(TRY(seccomp::compile_policy(input)));
}

}  // namespace

Result<void> enter_filter() {
  seccomp::Filter filter = TRY(compile_own_filter());
  sock_fprog program{static_cast<unsigned short>(filter.program.size()), filter.program.data()};
  long rc = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  if (rc > 0) return fail("enter the proxy's filter", "", "a thread could not follow");
  if (rc != 0) return fail_errno("enter the proxy's filter", "");
  // Gone: a call that no policy of the proxy permits.
  if (::syscall(SYS_getppid) != -1 || errno != EPERM) {
    return fail("enter the proxy's filter", "", "it does not hold");
  }
  return {};
}

}  // namespace dirbox::netns
