#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "launcher/broker/exec.h"

/// Theory of operation. The monitor is a fork of the launcher that never executes anything itself:
/// it leads the session of the pty, starts the command as a child in a process group of its own,
/// and passes job control on between that group and the launcher. It holds only its control socket
/// and the descriptors that the command gets. It ends when the command has ended.
namespace dirbox::broker {
namespace {

constexpr int kGraceMilliseconds = 2000;

/// Closes every descriptor except those in `keep`.
void close_all_but(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned next = 0;
  for (int fd : keep) {
    if (fd < 0) continue;
    auto number = static_cast<unsigned>(fd);
    if (number > next) ::syscall(SYS_close_range, next, number - 1, 0);
    next = number + 1;
  }
  ::syscall(SYS_close_range, next, ~0u, 0);
}

class Monitor {
 public:
  Monitor(const Launch& launch, int slave, int control)
      : launch_(launch), slave_(slave), control_(control) {}

  [[noreturn]] void run() {
    for (int& fd : launch_.stdio) {
      if (fd < 0) fd = slave_;
    }
    keep_only_own_descriptors();
    take_terminal();
    ExecVectors vectors(launch_);
    child_ = spawn_command(launch_, vectors, JobKind::foreground_group, nullptr);
    if (child_ < 0) give_up(-child_);
    tell(wire::Type::started, 0, static_cast<std::uint32_t>(child_));
    for (;;) wait();
  }

 private:
  void keep_only_own_descriptors() {
    const Pinned& binary = *launch_.binary;
    std::vector<int> keep{slave_, control_, launch_.cwd, binary.file.fd.get()};
    if (binary.interpreter) keep.push_back(binary.interpreter->file.fd.get());
    keep.insert(keep.end(), std::begin(launch_.stdio), std::end(launch_.stdio));
    close_all_but(std::move(keep));
  }

  void take_terminal() {
    // Every signal is blocked: the hangup when the shim closes the master must not end the monitor
    // before it has told how the command ended.
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    signals_ = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0 || ::setsid() < 0 || ::ioctl(slave_, TIOCSCTTY, 0) != 0) give_up(errno);
  }

  [[noreturn]] void give_up(int error) {
    tell(wire::Type::fail, static_cast<std::uint32_t>(error));
    ::_exit(0);
  }

  void tell(wire::Type type, std::uint32_t a, std::uint32_t b = 0) {
    wire::Header header{wire::kMagic, wire::kVersion, type, a, b};
    // A launcher that is gone shows as the end of the control socket.
    while (::send(control_, &header, sizeof header, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
  }

  void wait() {
    pollfd fds[] = {{signals_, POLLIN, 0}, {ending_ ? -1 : control_, POLLIN, 0}};
    int n = ::poll(fds, 2, ending_ ? kGraceMilliseconds : -1);
    if (n == 0) ::kill(-child_, SIGKILL);
    if (n <= 0) return;
    if (fds[0].revents != 0) collect();
    if (fds[1].revents != 0) obey();
  }

  void collect() {
    signalfd_siginfo info;
    while (::read(signals_, &info, sizeof info) > 0) {
    }
    if (ending_) kill_remaining();
    int status = 0;
    while (::waitpid(child_, &status, WNOHANG | WUNTRACED) > 0) {
      if (WIFSTOPPED(status)) {
        tell(wire::Type::stopped, static_cast<std::uint32_t>(WSTOPSIG(status)));
        continue;
      }
      // What the command left running must not get the hangup that ends a session.
      ::tcsetpgrp(slave_, ::getpgrp());
      tell(wire::Type::exit, static_cast<std::uint32_t>(status));
      ::_exit(0);
    }
  }

  /// Whoever of the group outlived its leader's TERM has had its chance. The leader is not reaped
  /// yet, so that the number is still the group's.
  void kill_remaining() {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid != 0) {
      ::kill(-child_, SIGKILL);
    }
  }

  void obey() {
    wire::Header order{};
    ssize_t n = ::recv(control_, &order, sizeof order, 0);
    if (n < 0 && errno == EINTR) return;
    if (n != sizeof order) return end();
    switch (order.type) {
      case wire::Type::signal:
        ::kill(-child_, static_cast<int>(order.a));
        return;
      case wire::Type::winch: {
        winsize size{};
        ::ioctl(slave_, TIOCGWINSZ, &size);
        size.ws_row = static_cast<unsigned short>(order.a);
        size.ws_col = static_cast<unsigned short>(order.b);
        ::ioctl(slave_, TIOCSWINSZ, &size);  // the kernel signals the foreground group
        return;
      }
      case wire::Type::cont:
        ::kill(-child_, SIGCONT);
        return;
      default:
        return end();
    }
  }

  void end() {
    ending_ = true;
    for (int signal : {SIGHUP, SIGCONT, SIGTERM}) ::kill(-child_, signal);
  }

  Launch launch_;
  int slave_, control_;
  int signals_ = -1;
  pid_t child_ = -1;
  bool ending_ = false;
};

}  // namespace

void run_monitor(const Launch& launch, int slave, int control) {
  Monitor(launch, slave, control).run();
}

}  // namespace dirbox::broker
