#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "launcher/base/unix_socket.h"
#include "launcher/doctor/isolate.h"
#include "launcher/doctor/probes.h"
#include "launcher/sandbox/caps.h"
#include "launcher/sandbox/landlock.h"
#include "launcher/sandbox/namespaces.h"
#include "seccomp/install.h"
#include "seccomp/notify.h"

namespace dirbox::doctor {
namespace {

constexpr long kProcMagic = 0x9fa0;  // PROC_SUPER_MAGIC, linux/magic.h

/// Answers `action` to getppid, and lets everything else be.
std::array<sock_filter, 4> make_program(std::uint32_t action) {
  return {sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
          sock_filter BPF_STMT(BPF_RET | BPF_K, action),
          sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

Outcome forbid_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refused("prctl", "PR_SET_NO_NEW_PRIVS");
  return passed();
}

/// The watched child: hands out its listener, then asks what the listener's owner shall refuse.
int ask(int socket) {
  if (forbid_privileges().state != State::ok) return errno;
  const auto program = make_program(SECCOMP_RET_USER_NOTIF);
  auto listener = seccomp::install_filter_with_listener(program);
  if (!listener) return listener.error().err;
  const int fd = listener->get();
  if (!send_message(socket, as_bytes_of('l'), std::span(&fd, 1))) return EPROTO;
  listener->reset();
  return ::syscall(SYS_getppid) == -1 && errno == EXDEV ? 0 : EPROTO;
}

Result<void> answer(int socket) {
  Message message = TRY(receive_message(socket, 1, 1));
  if (message.fds.size() != 1) return fail("receive", "listener", "none came");
  seccomp::Listener listener = TRY(seccomp::Listener::make(std::move(message.fds[0])));
  auto asked = TRY(listener.receive());
  if (!asked) return fail("receive", "notification", "it went away");
  TRY_VOID(listener.deny(*asked, EXDEV));
  return {};
}

}  // namespace

Outcome probe_kernel(const HostState& state) {
#if !defined(__x86_64__) && !defined(__aarch64__)
  return {State::failed, 0, 0, {}, "dirbox knows x86-64 and arm64"};
#endif
  const std::string found = fmt::format("Linux {}", state.release);
  if (state.wsl == 1) return {State::failed, 0, 0, {}, found + " is WSL 1"};
  if (state.older_than(5, 14)) return {State::failed, 0, 0, {}, found + " is older than 5.14"};
  return passed(found);
}

Outcome probe_proc(const HostState&) {
  struct statfs fs {};
  if (::statfs("/proc/self/exe", &fs) != 0) return refused("statfs", "/proc/self/exe");
  if (::statfs("/proc/self", &fs) != 0) return refused("statfs", "/proc/self");
  if (fs.f_type != kProcMagic) return {State::failed, 0, 0, {}, "/proc is no procfs"};
  return passed();
}

Outcome probe_nothing(const HostState&) { return passed(); }

Outcome probe_userns_limit(const HostState&) {
  if (auto done = sandbox::apply_userns_limit(); !done)
    return refused(done.error().doing, done.error());
  if (::unshare(CLONE_NEWUSER) == 0) return {State::failed, 0, 0, "unshare", "was not refused"};
  return passed();
}

/// The calls without which there is no launcher, and that every supported kernel has.
Outcome probe_descriptors(const HostState&) {
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
  if (pidfd < 0) return refused("pidfd_open");
  UniqueFd memory(::memfd_create("dirbox-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return refused("memfd_create");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals.valid()) return refused("signalfd");
  if (::close_range(1000, ~0u, CLOSE_RANGE_CLOEXEC) != 0) return refused("close_range");
  return passed();
}

Outcome probe_capabilities(const HostState&) {
  if (auto done = sandbox::drop_capabilities(); !done)
    return refused(done.error().doing, done.error());
  return passed();
}

Outcome probe_keyring(const HostState&) {
  constexpr int kJoinSessionKeyring = 1;
  if (::syscall(SYS_keyctl, kJoinSessionKeyring, nullptr) >= 0) return passed();
  if (errno == ENOSYS) return passed("this kernel has no keyrings");
  return refused("keyctl", "KEYCTL_JOIN_SESSION_KEYRING");
}

Outcome probe_landlock(const HostState&) {
  if (Outcome set = forbid_privileges(); set.state != State::ok) return set;
  auto abi = sandbox::check_landlock_abi();
  if (!abi) return refused("landlock_create_ruleset", "", abi.error().err);
  auto ruleset = sandbox::make_landlock_ruleset(*abi, {{"/", sandbox::Access::read}}, {});
  if (!ruleset) return refused("landlock_add_rule", ruleset.error());
  if (auto done = sandbox::enter_landlock(ruleset->get()); !done)
    return refused("landlock_restrict_self", "", done.error().err);
  UniqueFd file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (file.valid()) return {State::failed, 0, 0, "landlock_restrict_self", "does not restrict"};
  return passed(fmt::format("ABI {}", *abi));
}

Outcome probe_seccomp(const HostState&) {
  if (Outcome set = forbid_privileges(); set.state != State::ok) return set;
  const auto program = make_program(SECCOMP_RET_ERRNO | EXDEV);
  if (auto done = seccomp::install_filter(program); !done)
    return refused("seccomp", "SECCOMP_SET_MODE_FILTER", done.error().err);
  if (::syscall(SYS_getppid) != -1 || errno != EXDEV)
    return {State::failed, 0, 0, "seccomp", "does not filter"};
  return passed();
}

Outcome probe_notification(const HostState&) {
  auto pair = make_socket_pair();
  if (!pair) return refused("socketpair", pair.error());
  const pid_t child = ::fork();
  if (child < 0) return refused("fork");
  if (child == 0) {
    pair->ours.reset();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(ask(pair->theirs.get()));
  }
  pair->theirs.reset();
  auto answered = answer(pair->ours.get());
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return refused("waitpid");
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
    return refused("seccomp", "SECCOMP_FILTER_FLAG_NEW_LISTENER", WEXITSTATUS(status));
  if (!answered) return refused("ioctl", "SECCOMP_IOCTL_NOTIF_*", answered.error().err);
  return passed();
}

/// As the supervisor reads what a path argument of a refused call points to: from outside, in a
/// process of a user namespace that belongs to this user.
Outcome probe_process_memory(const HostState&) {
  const pid_t child = clone_child(CLONE_NEWUSER);
  if (child < 0) return refused("clone3");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  static char there[] = "dirbox";
  char here[sizeof there] = "";
  iovec local{here, sizeof here}, remote{there, sizeof there};
  const ssize_t got = ::process_vm_readv(child, &local, 1, &remote, 1, 0);
  const int err = errno;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (got < 0) return refused("process_vm_readv", "", err);
  return std::string_view(here) == there ? passed() : refused("process_vm_readv", "", EIO);
}

}  // namespace dirbox::doctor
