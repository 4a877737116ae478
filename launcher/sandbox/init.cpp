#include "launcher/sandbox/init.h"

#include <linux/magic.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>

#include <csignal>
#include <cstring>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/caps.h"
#include "launcher/sandbox/command.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/init_filter.h"
#include "launcher/sandbox/landlock.h"
#include "launcher/sandbox/mounts.h"
#include "launcher/sandbox/namespaces.h"
#include "launcher/sandbox/pty.h"
#include "launcher/sandbox/starter.h"
#include "launcher/sandbox/stdio.h"
#include "launcher/sandbox/sys.h"
#include "launcher/sandbox/test_skip.h"
#include "launcher/sandbox/writer.h"

namespace dirbox::sandbox {
namespace {

/// The descriptors that survive, with 0-2: the supervisor's messages, and requests for sockets.
constexpr int kControlFd = 3;
constexpr int kChannelFd = 4;

struct Init {
  const Spec& spec;
  const RunOptions& options;
  int control;
  UniqueFd root;
  std::vector<LandlockFile> stdio_files;
  UniqueFd terminal;               ///< held to the end: what the command closes does not hang it up
  std::vector<UniqueFd> shared{};  ///< until they are handed out
  Fork writer{};                   ///< where something is guarded
};

Result<void> step_parent(Init& init) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno("tie init to its supervisor", "");
  // The supervisor may have died before the line above: then its end of the socket is closed.
  pollfd check{init.control, POLLIN, 0};
  if (::poll(&check, 1, 0) < 0) return fail_errno("poll the control socket", "");
  if ((check.revents & POLLHUP) != 0) return fail("tie init to its supervisor", "", "it is gone");
  return {};
}

Result<void> step_identity(Init& init) { return apply_id_map(init.spec.uid, init.spec.gid); }

Result<void> step_userns_limit(Init& init) {
  if (init.spec.nested_userns) return {};
  return apply_userns_limit();
}

Result<void> step_root(Init& init) {
  init.root = TRY(make_root(init.spec.root_size));
  return {};
}

Result<void> step_mounts(Init& init) {
  return apply_mounts(init.root.get(), init.spec.mounts, init.options.broker.image,
                      init.options.synced);
}

/// Keyrings are not namespaced: without a session keyring of its own, the sandbox would possess the
/// caller's keys (keyrings(7)).
Result<void> step_keyring(Init&) {
  constexpr int kJoinSessionKeyring = 1;
  if (::syscall(SYS_keyctl, kJoinSessionKeyring, nullptr) < 0 && errno != ENOSYS) {
    return fail_errno("join a new session keyring", "");
  }
  return {};
}

Result<void> step_hostname(Init& init) { return apply_hostname(init.spec.hostname); }

Result<void> step_network(Init& init) {
  if (!init.spec.own_network) return {};
  if (init.options.network.setup) return init.options.network.setup(kChannelFd);
  return apply_loopback();
}

Result<void> step_stdio(Init& init) {
  init.stdio_files = TRY(apply_stdio(init.options.stdio, init.spec.landlock));
  return {};
}

Result<void> step_pivot(Init& init) {
  TRY_VOID(enter_root(init.root.get()));
  init.root.reset();
  return {};
}

Result<void> step_listeners(Init& init) {
  int position = 0;
  for (const UnixListener& listener : init.spec.listeners) {
    TRY_VOID(make_directories(path_parent(listener.path), 0755));
    UniqueFd fd = TRY(make_unix_listener(listener.path, listener.type));
    TRY_VOID(send_control(init.control, ControlType::unix_listener, position++, {}, {fd.get()}));
  }
  return {};
}

/// Before the command is there, which could swap what a path leads to. Only a tmpfs of the sandbox
/// is shared: what the launcher finds there is taken for the sandbox's.
Result<void> step_shared_directories(Init& init) {
  for (const std::string& path : init.spec.shared_directories) {
    UniqueFd fd(sys::openat2(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC,
                             RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
    if (!fd.valid()) return fail_errno("open a directory of the sandbox", path);
    struct statfs type {};
    if (::fstatfs(fd.get(), &type) != 0) return fail_errno("stat a directory", path);
    if (type.f_type != TMPFS_MAGIC)
      return fail("open a directory of the sandbox", path, "it is one of the host's");
    init.shared.push_back(std::move(fd));
  }
  return {};
}

Result<void> make_terminal(Init& init, UniqueFd& master) {
  Pty pty = TRY(make_pty(init.options.terminal_modes, init.options.terminal_size));
  if (::ioctl(pty.slave.get(), TIOCSCTTY, 0) != 0) return fail_errno("take the terminal", "");
  init.terminal = std::move(pty.slave);
  master = std::move(pty.master);
  return {};
}

/// A session of its own: no process group is shared with the caller, so kill(0) reaches nobody
/// outside. Init leads it and the command has a group of its own, which is not orphaned since its
/// leader's parent is in the same session: so Ctrl-Z works.
Result<void> step_terminal(Init& init) {
  if (::setsid() < 0) return fail_errno("start a session", "");
  UniqueFd master;
  for (int fd = 0; fd < 3; ++fd) {
    if (init.options.stdio[fd] != StdioKind::pty) continue;
    if (!master.valid()) TRY_VOID(make_terminal(init, master));
    if (::dup2(init.terminal.get(), fd) < 0) return fail_errno("pass the terminal", "");
  }
  if (!master.valid()) return {};
  return send_control(init.control, ControlType::pty, 0, {}, {master.get()});
}

Result<void> step_broker(Init& init) {
  return init.options.broker.listen ? init.options.broker.listen(init.control) : Result<void>();
}

Result<void> step_cwd(Init& init) {
  if (::chdir(init.spec.cwd.c_str()) != 0)
    return fail_errno("enter the working directory", init.spec.cwd);
  return {};
}

Result<void> step_limits(Init& init) { return apply_limits(init.spec.limits); }

/// From here on the steps are those of two processes.
Result<void> step_writer(Init& init) {
  if (init.spec.guarded.empty() || !init.options.writer) return {};
  init.writer = TRY(fork_writer(init.spec.guarded, init.spec.attach.empty() ? 1 : 2));
  return {};
}

Result<void> step_capabilities(Init&) { return drop_capabilities(); }

Result<void> step_no_new_privs(Init&) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("set no_new_privs", "");
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return fail("set no_new_privs", "", "not set");
  return {};
}

Result<void> step_concealment(Init& init) {
  // The caller's command line names what is hidden: it is not for /proc/1/cmdline.
  constexpr std::string_view kTitle = "dirbox-init";
  if (char* title = init.options.title; title != nullptr) {
    std::memset(title, 0, init.options.title_size);
    if (init.options.title_size > kTitle.size()) std::memcpy(title, kTitle.data(), kTitle.size());
  }
  if (::prctl(PR_SET_NAME, "dirbox-init") != 0) return fail_errno("name init", "");
  // Nobody inside may trace init or read its memory, in which the caller's environment still is.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("make init undumpable", "");
  return {};
}

Result<void> step_landlock(Init& init) {
  if (!init.spec.landlock) return {};
  int abi = TRY(check_landlock_abi());
  UniqueFd ruleset = TRY(make_landlock_ruleset(abi, init.spec.landlock_rules, init.stdio_files));
  return enter_landlock(ruleset.get());
}

/// The end of the writer's steps: what comes later is the command's alone, and may ask it.
Result<void> step_writing(Init& init) {
  if (init.writer.sockets.empty()) return {};
  if (init.writer.is_writer) {
    const std::vector<int> sockets = TRY(enter_writer(std::move(init.writer.sockets)));
    init.options.writer(sockets);
    ::_exit(0);
  }
  TRY_VOID(await_writer(init.writer.sockets.front().get()));
  std::vector<int> asking;
  for (const UniqueFd& socket : init.writer.sockets) asking.push_back(socket.get());
  asking.erase(asking.begin());
  TRY_VOID(send_control(init.control, ControlType::writer, 0, {}, asking));
  init.writer.sockets.resize(1);
  return {};
}

Result<void> step_starter(Init& init) {
  if (init.spec.attach.empty()) return {};
  return spawn_starter(init.spec, init.options, init.control);
}

struct Step {
  StepInfo info;
  Result<void> (*apply)(Init&);
};

constexpr Step kSteps[] = {
    {{"parent", "die with the supervisor"}, step_parent},
    {{"identity", "one uid and gid, mapped to themselves"}, step_identity},
    {{"userns-limit", "no further user namespaces, before /proc/sys turns read-only"},
     step_userns_limit},
    {{"root", "a tmpfs to build in"}, step_root},
    {{"mounts", "the file tree of the plan"}, step_mounts},
    {{"hostname", "a name of its own"}, step_hostname},
    {{"network", "loopback only"}, step_network},
    {{"keyring", "none of the caller's keys"}, step_keyring},
    {{"stdio", "inherited files, while host paths still resolve"}, step_stdio},
    {{"pivot", "the host's files are gone from here on"}, step_pivot},
    {{"listeners", "sockets inside that the launcher answers"}, step_listeners},
    {{"shared-directories", "what is brought back to the host is seen by the launcher"},
     step_shared_directories},
    {{"terminal", "own session; a terminal of the private devpts"}, step_terminal},
    {{"broker", "sockets of the excluded commands"}, step_broker},
    {{"cwd", "as the command will find it"}, step_cwd},
    {{"limits", "no core dumps; the profile's limits"}, step_limits},
    {{"writer", "who alone writes in guarded directories, where the guard enforces"}, step_writer},
    {{"capabilities", "every set empty, for good"}, step_capabilities},
    {{"no-new-privs", "needed by Landlock and seccomp"}, step_no_new_privs},
    {{"concealment", "nobody inside looks into init, a copy of the supervisor"}, step_concealment},
    {{"landlock", "second layer over the same tree"}, step_landlock},
    {{"writing", "the writer goes its own way, before anything can ask it"}, step_writing},
    {{"starter", "starts what joins later, as confined as the command"}, step_starter},
};

Result<void> apply_steps(Init& init) {
  for (const Step& step : kSteps) {
#ifdef DIRBOX_TEST_BUILD
    if (init.options.test_fail == step.info.name) {
      return fail("set up the sandbox", step.info.name, "made to fail by --test-fail");
    }
#endif
    if (is_skipped(init.options, step.info.name)) continue;
    TRY_VOID(step.apply(init));
  }
  return {};
}

/// The supervisor is gone or the sandbox is of no use: ending pid 1 ends everything inside.
[[noreturn]] void end(int status) { ::_exit(status); }

[[noreturn]] void report_failure(int control, const Error& error) {
  auto sent = send_control(control, ControlType::failed, error.err, encode_error(error));
  end(sent ? 125 : 124);
}

/// Until the supervisor is ready for the command. It is gone when there is no such message.
void await_supervisor(int control) {
  auto received = receive_control(control);
  if (!received || received->closed || received->control.type != ControlType::proceed) end(124);
}

/// Reaps everything that has ended. True once `command` has, with its status in `status`.
bool reap(int control, pid_t command, int& status) {
  for (;;) {
    int got = 0;
    pid_t pid = ::waitpid(-1, &got, WNOHANG | WUNTRACED);
    if (pid <= 0) return false;
    if (pid != command) continue;
    if (WIFSTOPPED(got)) {
      if (!send_control(control, ControlType::stopped, WSTOPSIG(got))) end(124);
      continue;
    }
    status = got;
    return true;
  }
}

/// Kills what the command left behind and waits until all of it is gone. In a Landlock domain of
/// its own the writer cannot be signalled, which kill() with -1 does not say: it ends with
/// `writer`.
void kill_rest(UniqueFd& writer) {
  writer.reset();
  if (::kill(-1, SIGKILL) != 0) return;  // ESRCH: nothing left
  while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
}

void handle_message(const Control& message, int control, pid_t command, int terminal) {
  switch (message.type) {
    case ControlType::signal_command:
      ::kill(command, message.a);
      break;
    case ControlType::signal_group:
      ::kill(-command, message.a);
      break;
    case ControlType::foreground:
      // Fails when the command has just ended, and then nobody needs it.
      ::tcsetpgrp(terminal, message.a != 0 ? command : ::getpgrp());
      if (message.a != 0) ::kill(-command, SIGCONT);
      if (!send_control(control, ControlType::foreground, message.a)) end(124);
      break;
    case ControlType::freeze:
      ::kill(-1, SIGSTOP);
      if (!send_control(control, ControlType::frozen)) end(124);
      break;
    default:
      break;
  }
}

[[noreturn]] void serve(const NetworkHooks& network, int signals, pid_t command, int terminal,
                        UniqueFd writer) {
  constexpr int control = kControlFd;
  int channel = network.serve ? kChannelFd : -1;
  for (;;) {
    pollfd sources[] = {{control, POLLIN, 0}, {signals, POLLIN, 0}, {channel, POLLIN, 0}};
    if (::poll(sources, 3, -1) < 0 && errno != EINTR) end(124);
    if (sources[2].revents != 0) {
      auto more = network.serve(channel);
      if (!more || !*more) channel = -1;  // the network is closed; the command lives
    }
    if (sources[1].revents != 0) {
      signalfd_siginfo info;
      while (::read(signals, &info, sizeof info) == sizeof info) {
      }
      int status = 0;
      if (reap(control, command, status)) {
        kill_rest(writer);
        end(send_control(control, ControlType::exited, status) ? 0 : 124);
      }
    }
    if (sources[0].revents != 0) {
      auto received = receive_control(control);
      if (!received || received->closed) end(124);
      handle_message(received->control, control, command, terminal);
    }
  }
}

}  // namespace

std::vector<StepInfo> list_init_steps() {
  std::vector<StepInfo> steps;
  for (const Step& step : kSteps) steps.push_back(step.info);
  for (const StepInfo& info : list_command_steps()) steps.push_back(info);
  return steps;
}

namespace {

/// Moves the two descriptors to their places and closes every other above 2.
Result<void> keep_descriptors(UniqueFd control, int channel, bool skipped) {
  constexpr int kOutOfTheWay = 16;
  int high_control = ::fcntl(control.get(), F_DUPFD_CLOEXEC, kOutOfTheWay);
  int high_channel = channel >= 0 ? ::fcntl(channel, F_DUPFD_CLOEXEC, kOutOfTheWay) : -1;
  if (::dup3(high_control, kControlFd, O_CLOEXEC) < 0) end(124);
  if (control.get() == kControlFd || control.get() == kChannelFd) control.release();
  unsigned first = kControlFd + 1;
  if (channel >= 0) {
    if (::dup3(high_channel, kChannelFd, O_CLOEXEC) < 0) return fail_errno("keep the channel", "");
    first = kChannelFd + 1;
  }
  control.release();
  if (!skipped && ::close_range(first, ~0u, 0) != 0)
    return fail_errno("close inherited descriptors", "");
  return {};
}

}  // namespace

void run_init(const Spec& spec, const RunOptions& options, UniqueFd control) {
  if (auto kept = keep_descriptors(std::move(control), options.network.channel,
                                   is_skipped(options, kDescriptorsLayer));
      !kept) {
    report_failure(kControlFd, kept.error());
  }
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigset_t all;
  sigfillset(&all);
  if (::sigprocmask(SIG_SETMASK, &all, nullptr) != 0) end(124);

  Init init{spec, options, kControlFd, {}, {}, {}};
  if (auto done = apply_steps(init); !done) report_failure(kControlFd, done.error());

  UniqueFd signals(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid())
    report_failure(kControlFd, fail_errno("watch for ended processes", "").value());

  await_supervisor(kControlFd);
  auto command = start_command(spec, options, kControlFd, init.terminal.valid());
  if (!command) report_failure(kControlFd, command.error());
  if (command->exec_errno != 0) {
    if (!send_control(kControlFd, ControlType::exec_failed, command->exec_errno)) end(124);
    end(125);
  }
  // The command runs from here on: what fails now ends the sandbox, and is not "nothing ran".
  std::vector<int> shared;
  for (const UniqueFd& fd : init.shared) shared.push_back(fd.get());
  if (!send_control(kControlFd, ControlType::started, command->pid, {}, shared)) end(124);
  init.shared.clear();
  if (!enter_init_filter()) end(124);
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  UniqueFd writer =
      init.writer.sockets.empty() ? UniqueFd() : std::move(init.writer.sockets.front());
  serve(options.network, signals.get(), command->pid, init.terminal.get(), std::move(writer));
}

}  // namespace dirbox::sandbox
