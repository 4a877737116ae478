#include "launcher/broker/launch.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

// The kernel's termios; the C library's <termios.h> has another layout and the same names.
#include <asm/termbits.h>

#include "launcher/base/unix_socket.h"
#include "launcher/broker/exec.h"

/// Theory of operation. The child of a vfork shares this process's memory and suspends it, so the
/// code between clone and execveat makes system calls and nothing else, on a stack of its own, and
/// reports an error by writing to its parent's variable. All signals are blocked across it: no
/// handler of this process may run in the child. What runs there is not instrumented for
/// AddressSanitizer, whose marks on a stack that is left by execve would outlive the stack.
namespace dirbox::broker {
namespace {

constexpr std::size_t kStackBytes = 64 << 10;

struct Job {
  const Launch* launch;
  JobKind kind;
  int executable;
  char* const* argv;
  char* const* envp;
  pid_t parent;
  int error = 0;
};

#define DIRBOX_ON_CHILD_STACK __attribute__((no_sanitize_address))

DIRBOX_ON_CHILD_STACK void reset_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
}

DIRBOX_ON_CHILD_STACK bool prepare(const Job& job) {
  const Launch& launch = *job.launch;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
  if (::getppid() != job.parent) {  // it died before that
    errno = ESRCH;
    return false;
  }
  if (job.kind == JobKind::own_session) {
    if (::setsid() < 0) return false;
  } else {
    // SIGTTOU is blocked, as all signals are.
    if (::setpgid(0, 0) != 0 || ::tcsetpgrp(launch.stdio[0], ::getpid()) != 0) return false;
  }
  if (::fchdir(launch.cwd) != 0) return false;
  for (int fd = 0; fd <= 2; ++fd) {
    if (::dup2(launch.stdio[fd], fd) < 0) return false;
  }
  if (::syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) != 0) return false;
  reset_signals();
  sigset_t none;
  ::sigemptyset(&none);
  return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

DIRBOX_ON_CHILD_STACK int child_main(void* argument) {
  Job& job = *static_cast<Job*>(argument);
  if (prepare(job)) {
    ::syscall(SYS_execveat, job.executable, "", job.argv, job.envp, AT_EMPTY_PATH);
  }
  job.error = errno;
  ::_exit(127);
}

termios termios_of(const wire::Terminal& terminal, const termios& base) {
  termios out = base;
  out.c_iflag = terminal.input;
  out.c_oflag = terminal.output;
  // Speed means nothing on a pty and may not be what this kernel accepts.
  out.c_cflag = (terminal.control & ~static_cast<tcflag_t>(CBAUD)) | (base.c_cflag & CBAUD);
  out.c_lflag = terminal.local;
  static_assert(sizeof out.c_cc <= sizeof terminal.characters);
  for (std::size_t i = 0; i < sizeof out.c_cc; ++i) out.c_cc[i] = terminal.characters[i];
  return out;
}

}  // namespace

ExecVectors::ExecVectors(const Launch& launch) {
  auto add = [](std::vector<char*>& to, const std::string& text) {
    to.push_back(const_cast<char*>(text.c_str()));  // execve promises not to write
  };
  const Pinned& binary = *launch.binary;
  if (binary.interpreter) {
    add(argv_, binary.interpreter->file.path);
    if (!binary.interpreter->argument.empty()) add(argv_, binary.interpreter->argument);
    // By path, as the kernel would: a script looks for its neighbours there. pin_command made sure
    // that the sandbox cannot put something else in that place.
    add(argv_, binary.file.path);
  } else {
    add(argv_, binary.name);
  }
  for (const std::string& argument : launch.arguments) add(argv_, argument);
  for (const std::string& variable : launch.environment) add(envp_, variable);
  argv_.push_back(nullptr);
  envp_.push_back(nullptr);
}

pid_t spawn_command(const Launch& launch, const ExecVectors& vectors, JobKind kind, int* pidfd) {
  void* stack = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -errno;
  const Pinned& binary = *launch.binary;
  const PinnedFile& executable = binary.interpreter ? binary.interpreter->file : binary.file;
  Job job{&launch, kind, executable.fd.get(), vectors.argv(), vectors.envp(), ::getpid()};
  sigset_t all, before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  int flags = CLONE_VM | CLONE_VFORK | SIGCHLD | (pidfd != nullptr ? CLONE_PIDFD : 0);
  pid_t pid = ::clone(child_main, static_cast<char*>(stack) + kStackBytes, flags, &job, pidfd);
  int error = pid < 0 ? errno : job.error;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kStackBytes);
  if (pid < 0) return -error;
  if (error != 0) {
    if (pidfd != nullptr) ::close(*pidfd);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return -error;
  }
  return pid;
}

int status_of_exec_error(int error) { return error == ENOENT ? 127 : 126; }

Result<Child> spawn_detached(const Launch& launch) {
  ExecVectors vectors(launch);
  int pidfd = -1;
  pid_t pid = spawn_command(launch, vectors, JobKind::own_session, &pidfd);
  if (pid < 0) return fail_errno("execute on the host", launch.binary->file.path, -pid);
  return Child{pid, UniqueFd(pidfd)};
}

Result<Monitored> spawn_monitored(const Launch& launch, int slave) {
  SocketPair pair = TRY(make_socket_pair());
  // Orders to a monitor that does not take them must not make the launcher wait.
  if (::fcntl(pair.ours.get(), F_SETFL, O_NONBLOCK) != 0) {
    return fail_errno("start a monitor for", launch.binary->file.path);
  }
  sigset_t all, before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  pid_t pid = ::fork();
  if (pid == 0) {
    reset_signals();
    run_monitor(launch, slave, pair.theirs.get());
  }
  int error = errno;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return fail_errno("start a monitor for", launch.binary->file.path, error);
  Monitored out{Child{pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))},
                std::move(pair.ours)};
  if (!out.monitor.pidfd.valid()) {
    error = errno;
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return fail_errno("watch the monitor of", launch.binary->file.path, error);
  }
  return out;
}

Result<Pty> make_pty(const wire::Terminal& terminal) {
  constexpr std::string_view kDoing = "make a terminal for a host command";
  Pty pty;
  pty.master.reset(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  int unlock = 0;
  if (!pty.master.valid() || ::ioctl(pty.master.get(), TIOCSPTLCK, &unlock) != 0) {
    return fail_errno(kDoing, "/dev/ptmx");
  }
  pty.slave.reset(::ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.slave.valid()) return fail_errno(kDoing, "TIOCGPTPEER");
  winsize size{terminal.rows, terminal.columns, terminal.x_pixels, terminal.y_pixels};
  termios settings{};
  if (::ioctl(pty.slave.get(), TIOCSWINSZ, &size) != 0 ||
      ::ioctl(pty.slave.get(), TCGETS, &settings) != 0) {
    return fail_errno(kDoing, "its settings");
  }
  settings = termios_of(terminal, settings);
  if (::ioctl(pty.slave.get(), TCSETS, &settings) != 0) return fail_errno(kDoing, "its settings");
  return pty;
}

}  // namespace dirbox::broker
