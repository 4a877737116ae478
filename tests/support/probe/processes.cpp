#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "tests/support/probe/probe.h"

namespace probe {
namespace {

pid_t pid_of(const std::string& text) { return static_cast<pid_t>(std::stol(text)); }

Outcome verb_kill(const Arguments& a) { return from_call(kill(pid_of(a[0]), std::stoi(a[1]))); }

Outcome verb_ptrace(const Arguments& a) {
  const pid_t pid = pid_of(a[0]);
  if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) < 0) return {errno, {}};
  return {};
}

Outcome verb_vm_readv(const Arguments& a) {
  char byte = 0;
  iovec local{&byte, 1};
  iovec remote{reinterpret_cast<void*>(number(a[1])), 1};
  return from_call(process_vm_readv(pid_of(a[0]), &local, 1, &remote, 1, 0));
}

Outcome verb_pidfd_getfd(const Arguments& a) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_of(a[0]), 0));
  if (pidfd < 0) return {errno, "pidfd_open"};
  Outcome outcome = from_call(syscall(SYS_pidfd_getfd, pidfd, static_cast<int>(number(a[1])), 0));
  close(pidfd);
  return outcome;
}

Outcome verb_pidfd_kill(const Arguments& a) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_of(a[0]), 0));
  if (pidfd < 0) return {errno, "pidfd_open"};
  Outcome outcome = from_call(syscall(SYS_pidfd_send_signal, pidfd, std::stoi(a[1]), nullptr, 0));
  close(pidfd);
  return outcome;
}

Outcome verb_unshare(const Arguments& a) {
  return from_call(unshare(static_cast<int>(number(a[0]))));
}

/// A child made with the given flags, which exits at once.
Outcome finish_child(long pid) {
  if (pid < 0) return {errno, {}};
  if (pid == 0) _exit(0);
  return from_call(waitpid(static_cast<pid_t>(pid), nullptr, 0));
}

Outcome verb_clone(const Arguments& a) {
  return finish_child(
      syscall(SYS_clone, number(a[0]) | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

Outcome verb_clone3(const Arguments& a) {
  clone_args arguments{};
  arguments.flags = number(a[0]);
  arguments.exit_signal = SIGCHLD;
  return finish_child(syscall(SYS_clone3, &arguments, sizeof arguments));
}

Outcome verb_setns(const Arguments& a) {
  const int fd = open(a[0].c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {errno, "open"};
  Outcome outcome = from_call(setns(fd, 0));
  close(fd);
  return outcome;
}

/// ok when every set is empty; the detail names the sets.
Outcome verb_caps(const Arguments&) {
  std::ifstream status("/proc/self/status");
  std::string line, detail;
  bool empty = true;
  while (std::getline(status, line)) {
    if (line.rfind("Cap", 0) != 0) continue;
    const std::string value = line.substr(line.find('\t') + 1);
    empty = empty && value.find_first_not_of('0') == std::string::npos;
    detail += line.substr(0, line.find(':')) + "=" + value + " ";
  }
  return {empty ? 0 : EPERM, detail};
}

/// The bounding set asked of the kernel, capability by capability.
Outcome verb_bounding(const Arguments&) {
  int present = 0;
  for (unsigned long cap = 0; cap < 64; ++cap) {
    const int in = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (in < 0 && errno == EINVAL) break;
    if (in > 0) ++present;
  }
  return {present == 0 ? 0 : EPERM, std::to_string(present)};
}

Outcome verb_nnp(const Arguments&) {
  return {prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : EPERM, {}};
}

Outcome verb_seccomp_mode(const Arguments&) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.rfind("Seccomp:", 0) == 0) return {line.back() == '2' ? 0 : EPERM, line.substr(9)};
  return {ENODATA, {}};
}

/// Open descriptors above 2, read before anything of this program opens one.
Outcome verb_fds(const Arguments&) {
  std::string open_ones;
  for (int fd = 3; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) continue;
    char target[256];
    const ssize_t n =
        readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
    open_ones +=
        " " + std::to_string(fd) + "=" + std::string(target, n > 0 ? static_cast<size_t>(n) : 0);
  }
  return {open_ones.empty() ? 0 : EPERM, open_ones};
}

Outcome verb_ids(const Arguments&) {
  uid_t r = 0, e = 0, s = 0;
  if (getresuid(&r, &e, &s) < 0) return {errno, {}};
  return {0, "uid=" + std::to_string(r) + "," + std::to_string(e) + "," + std::to_string(s) +
                 " groups=" + std::to_string(getgroups(0, nullptr)) +
                 " pid=" + std::to_string(getpid()) + " sid=" + std::to_string(getsid(0))};
}

Outcome verb_setuid(const Arguments& a) {
  return from_call(setuid(static_cast<uid_t>(number(a[0]))));
}

Outcome verb_ioctl(const Arguments& a) {
  return from_call(syscall(SYS_ioctl, number(a[0]), number(a[1]), nullptr));
}

/// TIOCSTI on the controlling terminal: one newline into its input queue. `high` adds bits above
/// the 32nd.
Outcome on_terminal(unsigned long long request, const std::string& high, const void* argument) {
  const int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
  const unsigned long long bits = high == "high" ? 1ULL << 32 : 0;
  Outcome outcome = from_call(syscall(SYS_ioctl, fd < 0 ? 0 : fd, request | bits, argument));
  if (fd >= 0) close(fd);
  return outcome;
}
Outcome verb_tiocsti(const Arguments& a) { return on_terminal(TIOCSTI, a[0], "\n"); }
Outcome verb_tioclinux(const Arguments& a) {
  char paste = 3;
  return on_terminal(TIOCLINUX, a[0], &paste);
}

Outcome verb_exec(const Arguments& a) {
  std::vector<char*> argv;
  for (const std::string& word : a) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(a[0].c_str(), argv.data());
  return {errno, {}};
}

/// Runs PATH from a memfd: nothing on any filesystem to check.
Outcome verb_memfd_exec(const Arguments& a) {
  std::ifstream file(a[0], std::ios::binary);
  const std::string image((std::istreambuf_iterator<char>(file)), {});
  const int fd = memfd_create("probe", MFD_CLOEXEC);
  if (fd < 0) return {errno, "memfd_create"};
  if (write(fd, image.data(), image.size()) != static_cast<ssize_t>(image.size()))
    return {errno, "write"};
  std::vector<char*> argv;
  for (const std::string& word : a) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  fexecve(fd, argv.data(), environ);
  return {errno, "exec"};
}

Outcome verb_touch_memory(const Arguments& a) {
  const size_t size = number(a[0]) << 20;
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return {errno, "mmap"};
  std::memset(at, 1, size);
  return {};
}

/// Leaves a process in a session of its own that holds the lock file FILE: flock tells when it is
/// gone.
Outcome verb_daemonize(const Arguments& a) {
  const pid_t child = fork();
  if (child < 0) return {errno, "fork"};
  if (child > 0) return from_call(waitpid(child, nullptr, 0));
  if (setsid() < 0 || fork() != 0) _exit(0);
  const int fd = open(a[0].c_str(), O_RDWR | O_CREAT, 0644);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0) _exit(1);
  if (write(fd, "held\n", 5) != 5) _exit(1);
  for (int i = 0; i < 3; ++i) close(i);
  for (;;) pause();
}

Outcome verb_sigstop_ignored(const Arguments& a) {
  // A group-wide signal that must stay inside: the probe itself survives by ignoring it.
  if (signal(std::stoi(a[0]), SIG_IGN) == SIG_ERR) return {errno, "signal"};
  return from_call(kill(0, std::stoi(a[0])));
}

}  // namespace

const std::vector<Verb> kProcessVerbs = {
    {"kill", "PID SIGNAL", verb_kill},
    {"kill-group-ignoring", "SIGNAL", verb_sigstop_ignored},
    {"ptrace", "PID", verb_ptrace},
    {"vm-readv", "PID ADDRESS", verb_vm_readv},
    {"pidfd-getfd", "PID FD", verb_pidfd_getfd},
    {"pidfd-kill", "PID SIGNAL", verb_pidfd_kill},
    {"unshare", "FLAGS", verb_unshare},
    {"clone", "FLAGS", verb_clone},
    {"clone3", "FLAGS", verb_clone3},
    {"setns", "PATH", verb_setns},
    {"caps", "", verb_caps},
    {"bounding", "", verb_bounding},
    {"nnp", "", verb_nnp},
    {"seccomp-mode", "", verb_seccomp_mode},
    {"fds", "", verb_fds},
    {"ids", "", verb_ids},
    {"setuid", "UID", verb_setuid},
    {"ioctl", "FD REQUEST", verb_ioctl},
    {"tiocsti", "low|high", verb_tiocsti},
    {"tioclinux", "low|high", verb_tioclinux},
    {"exec", "PATH ...", verb_exec},
    {"memfd-exec", "PATH ...", verb_memfd_exec},
    {"touch-memory", "MIB", verb_touch_memory},
    {"daemonize", "LOCKFILE", verb_daemonize},
};

}  // namespace probe
