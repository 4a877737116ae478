// Filters on real children. A call with a wrong pointer tells where it ended: EFAULT (or what the
// kernel says of bad values) from the kernel, EPERM or ENOSYS from the filter.
#include "seccomp/install.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "launcher/base/unix_socket.h"
#include "seccomp/compile.h"
#include "seccomp/evaluate.h"
#include "seccomp/notify.h"

using namespace dirbox;
using namespace dirbox::seccomp;

namespace {

constexpr long kBad = 1;  // an address that nothing is mapped at

struct Probe {
  std::string what;
  std::string call;
  long args[6];
  int inside;            // errno under the filter, 0 for success
  bool reaches = false;  // the same answer outside: it is the kernel's
};

const Probe kProbes[] = {
    {"openat reaches the kernel", "openat", {AT_FDCWD, kBad, 0}, EFAULT, true},
    {"openat2 reaches the kernel", "openat2", {AT_FDCWD, kBad, kBad, 24}, EFAULT, true},
    {"execve reaches the kernel", "execve", {kBad, kBad, kBad}, EFAULT, true},
    {"landlock reaches the kernel", "landlock_create_ruleset", {kBad, 8, 0}, EFAULT, true},
    {"other ioctls reach the kernel", "ioctl", {-1, FIONREAD, 0}, EBADF, true},
    {"getppid works", "getppid", {}, 0, true},
    {"a TCP socket", "socket", {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0}, 0, true},
    {"a UNIX pair reaches the kernel", "socketpair", {AF_UNIX, SOCK_STREAM, 0, kBad}, EFAULT, true},
    {"a route socket", "socket", {AF_NETLINK, SOCK_RAW, 0}, 0, true},
    {"personality can be asked", "personality", {0xffffffff}, 0, true},

    {"TIOCSTI", "ioctl", {-1, TIOCSTI, 0}, EPERM},
    {"TIOCSTI with a high bit", "ioctl", {-1, TIOCSTI | 1L << 32, 0}, EPERM},
    {"TIOCLINUX with the highest bit",
     "ioctl",
     {-1, static_cast<long>(TIOCLINUX | 1UL << 63), 0},
     EPERM},
    {"TIOCSETD", "ioctl", {-1, TIOCSETD, 0}, EPERM},
    {"a snapshot of btrfs", "ioctl", {-1, 0x50009401, 0}, EPERM},
    {"FICLONE reaches the kernel", "ioctl", {-1, 0x40049409, 0}, EBADF, true},
    {"mount", "mount", {kBad, kBad, kBad, 0, 0}, EPERM},
    {"fsopen", "fsopen", {kBad, 0}, EPERM},
    {"unshare of nothing", "unshare", {0}, EPERM},
    {"clone with a namespace",
     "clone",
     {static_cast<long>(0x10000000L | SIGCHLD), 0, 0, 0, 0},
     EPERM},
    {"clone3", "clone3", {kBad, 64}, ENOSYS},
    {"io_uring_setup", "io_uring_setup", {1, kBad}, ENOSYS},
    {"keyctl", "keyctl", {1, kBad}, EPERM},
    {"add_key", "add_key", {kBad, kBad, 0, 0, 0}, EPERM},
    {"ptrace of nobody", "ptrace", {0x4206, 0, 0, 0}, EPERM},
    {"process_vm_readv", "process_vm_readv", {1, kBad, 1, kBad, 1, 0}, EPERM},
    {"userfaultfd with bad flags", "userfaultfd", {0xff}, EPERM},
    {"perf_event_open", "perf_event_open", {kBad, 0, -1, -1, 0}, EPERM},
    {"personality without randomisation", "personality", {ADDR_NO_RANDOMIZE}, EPERM},
    {"PR_SET_MM", "prctl", {PR_SET_MM, 0, 0, 0, 0}, EPERM},
    {"AF_VSOCK", "socket", {AF_VSOCK, SOCK_STREAM, 0}, EAFNOSUPPORT},
    {"AF_ALG", "socket", {AF_ALG, SOCK_SEQPACKET, 0}, EAFNOSUPPORT},
    {"netfilter", "socket", {AF_NETLINK, SOCK_RAW, 12}, EPROTONOSUPPORT},
    {"MPTCP", "socket", {AF_INET, SOCK_STREAM, 262}, EPROTONOSUPPORT},
    {"ping socket", "socket", {AF_INET, SOCK_DGRAM, 1}, EPROTONOSUPPORT},
    {"raw socket", "socket", {AF_INET6, SOCK_RAW | SOCK_NONBLOCK, 58}, EPERM},
};

struct Answer {
  long value;
  int err;
};

int run_probe(const Probe& probe) {
  const long* a = probe.args;
  int number = find_call(probe.call)->number(kNativeArch);
  long value = ::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  int err = value < 0 ? errno : 0;
  // A clone that went through: its child ends here, and was waited for by nobody.
  if (probe.call == "clone" && value == 0) ::_exit(0);
  return err;
}

/// Runs `body` in a child and gives what it wrote to its pipe, `n` ints.
std::vector<int> in_child(std::size_t n, const std::function<void(std::vector<int>&)>& body) {
  int pipe_fds[2];
  REQUIRE(::pipe2(pipe_fds, O_CLOEXEC) == 0);
  UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::vector<int> out;
    body(out);
    ssize_t done = ::write(writer.get(), out.data(), out.size() * sizeof(int));
    ::_exit(done == static_cast<ssize_t>(out.size() * sizeof(int)) ? 0 : 1);
  }
  writer.reset();
  std::vector<int> out(n, -1);
  ssize_t got = ::read(reader.get(), out.data(), n * sizeof(int));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(got == static_cast<ssize_t>(n * sizeof(int)));
  return out;
}

bool confine(const Filter& filter) {
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         install_filter(filter.program).has_value();
}

Filter filter_of(const PolicyInput& input) {
  auto policy = compile_policy(input);
  REQUIRE_MESSAGE(policy, (policy ? "" : policy.error().message()));
  auto filter = compile_filter(*policy);
  REQUIRE(filter);
  return std::move(*filter);
}

PolicyInput notifying(const char* call) {
  PolicyInput input;
  input.rules = {{call, {}, "notify", {"n.toml", 1, 1}}};
  return input;
}

}  // namespace

TEST_CASE("calls are answered by whom they should be") {
  Filter filter = filter_of({});
  constexpr std::size_t n = std::size(kProbes);
  auto outside = in_child(n, [&](std::vector<int>& out) {
    for (const Probe& probe : kProbes) out.push_back(run_probe(probe));
  });
  auto inside = in_child(n, [&](std::vector<int>& out) {
    bool confined = confine(filter);
    for (const Probe& probe : kProbes) out.push_back(confined ? run_probe(probe) : -2);
  });
  for (std::size_t i = 0; i < n; ++i) {
    CHECK_MESSAGE(errno_name(inside[i]) == errno_name(kProbes[i].inside), kProbes[i].what);
    if (kProbes[i].reaches) {
      CHECK_MESSAGE(errno_name(outside[i]) == errno_name(kProbes[i].inside), kProbes[i].what);
    } else if (outside[i] == kProbes[i].inside) {
      MESSAGE("no control: outside the filter the same answer to " << kProbes[i].what);
    }
  }
}

#if defined(__x86_64__)
TEST_CASE("the 32-bit entry and x32 numbers get ENOSYS") {
  Filter filter = filter_of({});
  auto answers = in_child(3, [&](std::vector<int>& out) {
    bool confined = confine(filter);
    int result = -1;
    // getpid is 20 for i386; without the filter this returns a pid, or the kernel has no such
    // entry.
    if (confined)
      asm volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    out.push_back(result);
    long x32 = ::syscall(0x40000000 + SYS_getpid);
    out.push_back(x32 < 0 ? errno : 0);
    long minus_one = ::syscall(-1);
    out.push_back(minus_one < 0 ? errno : 0);
  });
  CHECK(answers[0] == -ENOSYS);
  CHECK(answers[1] == ENOSYS);
  CHECK(answers[2] == ENOSYS);
}
#endif

TEST_CASE("kill ends the process") {
  PolicyInput input;
  input.rules = {{"sync", {}, "kill", {"k.toml", 1, 1}}};
  Filter filter = filter_of(input);
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (confine(filter)) ::syscall(SYS_sync);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSYS);
}

TEST_CASE("a filter is refused without no_new_privs, and one that notifies without a listener") {
  Filter filter = filter_of({});
  Filter asking = filter_of(notifying("ptrace"));
  CHECK(asking.notifies);
  auto answers = in_child(5, [&](std::vector<int>& out) {
    out.push_back(install_filter(filter.program).has_value());
    out.push_back(::prctl(PR_GET_SECCOMP));
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    out.push_back(install_filter(asking.program).has_value());
    out.push_back(install_filter({}).has_value());
    out.push_back(::prctl(PR_GET_SECCOMP));
  });
  CHECK(answers == std::vector<int>{0, 0, 0, 0, 0});
}

TEST_CASE("a notified call is read by name, given a descriptor, and denied") {
  Filter filter = filter_of(notifying("ptrace"));
  auto pair = make_socket_pair();
  REQUIRE(pair);
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    auto listener = install_filter_with_listener(filter.program);
    if (!listener) ::_exit(2);
    int fds[] = {listener->get()};
    std::byte byte{};
    if (!send_message(pair->theirs.get(), std::span(&byte, 1), fds)) ::_exit(3);
    listener->reset();
    if (::syscall(SYS_ptrace, 0x10L, 42L, 0L, 0L, 0L, 0L) != -1 || errno != EPERM) ::_exit(4);
    // A second listener is refused, by this filter as by the kernel.
    sock_filter allow{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    if (install_filter_with_listener(std::span(&allow, 1))) ::_exit(5);
    if (!install_filter(std::span(&allow, 1))) ::_exit(6);
    auto told = receive_message(pair->theirs.get(), 16, 0);
    if (!told || told->bytes.size() != sizeof(int)) ::_exit(7);
    int number = 0;
    std::memcpy(&number, told->bytes.data(), sizeof number);
    ::_exit(::fcntl(number, F_GETFD) == FD_CLOEXEC ? 0 : 8);
  }
  pair->theirs.reset();
  auto message = receive_message(pair->ours.get(), 16, 1);
  REQUIRE(message);
  REQUIRE(message->fds.size() == 1);
  auto listener = Listener::make(std::move(message->fds[0]));
  REQUIRE(listener);
  auto notification = listener->receive();
  REQUIRE(notification);
  REQUIRE(notification->has_value());
  CHECK((*notification)->pid == child);
  CHECK((*notification)->text() == "ptrace(0x10, 0x2a, 0x0, 0x0, 0x0, 0x0)");
  CHECK(listener->still_waits(**notification).value());
  auto number = listener->add_fd(**notification, STDIN_FILENO);
  REQUIRE(number);
  REQUIRE(number->has_value());
  CHECK(!listener->deny(**notification, 0));
  CHECK(listener->deny(**notification, EPERM).value());
  CHECK(!listener->still_waits(**notification).value());
  CHECK(!listener->deny(**notification, EPERM).value());
  CHECK(!listener->add_fd(**notification, STDIN_FILENO).value().has_value());
  REQUIRE(send_message(pair->ours.get(), as_bytes_of(**number)));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
