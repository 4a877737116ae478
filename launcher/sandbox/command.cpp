#include "launcher/sandbox/command.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>

#include "launcher/sandbox/control.h"
#include "launcher/sandbox/test_skip.h"
#include "launcher/sandbox/vforked.h"

namespace dirbox::sandbox {
namespace {

constexpr StepInfo kSteps[] = {
    {"process-group", "the command's own, in the foreground when the caller is"},
    {"seccomp", "last, when nothing needs a denied call any more"},
};

}  // namespace

bool enter_command_filter(const RunOptions& options, int control) {
  if (options.filter.empty()) {
    errno = EINVAL;
    return false;
  }
  sock_fprog program{static_cast<unsigned short>(options.filter.size()),
                     const_cast<sock_filter*>(options.filter.data())};
  unsigned flags = options.filter_notifies ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
  // A call that waits for its answer is not interrupted by signals that are handled (5.19).
  unsigned waiting = options.filter_notifies ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0;
  long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | waiting, &program);
  if (result < 0 && errno == EINVAL && waiting != 0)
    result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (result < 0) return false;
  if (!options.filter_notifies) return true;
  const int listener = static_cast<int>(result);
  const bool sent =
      static_cast<bool>(send_control(control, ControlType::listener, 0, {}, {listener}));
  ::close(listener);  // with a holder inside, calls would wait for an observer that has ended
  return sent;
}

namespace {

/// Runs between vfork and exec: system calls only, no allocation that must be undone.
class Child {
 public:
  Child(const Spec& spec, const RunOptions& options, int control, bool has_terminal,
        std::vector<char*>& argv, std::vector<char*>& environment)
      : spec_(spec),
        options_(options),
        control_(control),
        has_terminal_(has_terminal),
        argv_(argv),
        environment_(environment) {}

  [[noreturn]] void run(Vforked& outcome) const {
    outcome.doing = "set the process group";
    if (should_fail("process-group") || ::setpgid(0, 0) != 0) outcome.stop();
    if (has_terminal_ && options_.foreground) {
      outcome.doing = "put the command into the foreground";
      if (::tcsetpgrp(terminal(), ::getpid()) != 0) outcome.stop();
    }
    outcome.doing = "restore the signal mask";
    if (::sigprocmask(SIG_SETMASK, &options_.caller_mask, nullptr) != 0) outcome.stop();
    outcome.doing = "mark descriptors close-on-exec";
    if (!is_skipped(options_, kDescriptorsLayer) &&
        ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0) {
      outcome.stop();
    }
    outcome.doing = "install the seccomp filter";
    bool skipped = is_skipped(options_, "seccomp");
    if (should_fail("seccomp") || (!skipped && !enter_command_filter(options_, control_)))
      outcome.stop();
    outcome.doing = nullptr;
    ::execve(spec_.executable.c_str(), argv_.data(), environment_.data());
    outcome.exec_err = errno;
    ::_exit(127);
  }

 private:
  bool should_fail([[maybe_unused]] const char* step) const {
#ifdef DIRBOX_TEST_BUILD
    if (options_.test_fail == step) {
      errno = ECANCELED;
      return true;
    }
#endif
    return false;
  }
  int terminal() const {
    int fd = 0;
    while (fd < 2 && options_.stdio[fd] != StdioKind::pty) ++fd;
    return fd;
  }
  const Spec& spec_;
  const RunOptions& options_;
  int control_;
  bool has_terminal_;
  std::vector<char*>& argv_;
  std::vector<char*>& environment_;
};

}  // namespace

Result<Started> start_command(const Spec& spec, const RunOptions& options, int control,
                              bool has_terminal) {
  std::vector<char*> argv = pointers(spec.argv);
  std::vector<char*> environment = pointers(spec.environment);
  Child child(spec, options, control, has_terminal, argv, environment);
  Vforked outcome;
  // NOLINTBEGIN(clang-analyzer-unix.Vfork): run() makes system calls only, and ends in exec or
  // _exit.
  pid_t pid = ::vfork();
  if (pid == 0) child.run(outcome);
  // NOLINTEND(clang-analyzer-unix.Vfork)
  if (pid < 0) return fail_errno("start the command", spec.executable);
  if (outcome.doing != nullptr) return fail_errno(outcome.doing, spec.executable, outcome.err);
  return Started{pid, outcome.exec_err};
}

std::vector<StepInfo> list_command_steps() { return {std::begin(kSteps), std::end(kSteps)}; }

}  // namespace dirbox::sandbox
