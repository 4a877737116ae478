#include "launcher/sandbox/starter.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/command.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/pty.h"
#include "launcher/sandbox/stdio.h"
#include "launcher/sandbox/test_skip.h"
#include "launcher/sandbox/vforked.h"

namespace dirbox::sandbox {
namespace {

constexpr int kChannelFd = 3;

/// A command that was started, and who asked for it.
struct Job {
  pid_t pid = -1;
  UniqueFd client;
};

/// What the child of a vfork needs, all of it made before.
struct Launch {
  std::vector<std::string> candidates, environment;
  std::vector<char*> argv, envp, paths;
  int stdio[3] = {-1, -1, -1};
  int terminal = -1;
  const sigset_t* mask = nullptr;
};

std::string_view value_of(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string& variable : environment) {
    if (variable.size() > name.size() && variable[name.size()] == '=' && variable.starts_with(name))
      return std::string_view(variable).substr(name.size() + 1);
  }
  return {};
}

std::vector<std::string> find_candidates(const std::string& name, std::string_view path) {
  if (name.find('/') != std::string::npos) return {name};
  std::vector<std::string> out;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    if (end != 0) out.push_back(std::string(path.substr(0, end)) + "/" + name);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return out;
}

/// Between vfork and exec: system calls only.
[[noreturn]] void run_child(const Launch& launch, Vforked& outcome) {
  outcome.doing = "start a session";
  if (::setsid() < 0) outcome.stop();
  outcome.doing = "take the terminal";
  if (launch.terminal >= 0 && ::ioctl(launch.terminal, TIOCSCTTY, 0) != 0) outcome.stop();
  outcome.doing = "pass the descriptors";
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(launch.stdio[fd], fd) < 0) outcome.stop();
  }
  if (::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0) outcome.stop();
  outcome.doing = "restore the signal mask";
  if (::sigprocmask(SIG_SETMASK, launch.mask, nullptr) != 0) outcome.stop();
  outcome.doing = nullptr;
  int err = ENOENT;
  for (char* path : launch.paths) {
    if (path == nullptr) break;
    ::execve(path, launch.argv.data(), launch.envp.data());
    // As a shell does: what is there and cannot be executed says more than what is not there.
    if (errno != ENOENT && errno != ENOTDIR) err = errno;
  }
  outcome.exec_err = err;
  ::_exit(127);
}

class Starter {
 public:
  Starter(const Spec& spec, const RunOptions& options) : spec_(spec), options_(options) {}

  [[noreturn]] void run() {
    if (!set_up()) ::_exit(125);
    for (;;) serve();
  }

 private:
  bool set_up() {
    // Out of init's session, whose terminal is the command's.
    if (::setsid() < 0 || ::prctl(PR_SET_NAME, "dirbox-starter") != 0) return false;
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return false;
    for (int fd = 0; fd < 3; ++fd) {
      if (::dup2(null, fd) < 0) return false;
    }
    if (::close_range(kChannelFd + 1, ~0u, 0) != 0) return false;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);  // blocked, as every signal is in init
    signals_.reset(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_.valid()) return false;
    return is_skipped(options_, "seccomp") || enter_command_filter(options_, kChannelFd);
  }

  void serve() {
    std::vector<pollfd> sources{{kChannelFd, POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    for (const Job& job : jobs_) sources.push_back({job.client.get(), POLLIN, 0});
    if (::poll(sources.data(), sources.size(), -1) < 0) {
      if (errno == EINTR) return;
      ::_exit(125);
    }
    // Before the jobs change.
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      if (sources[i + 2].revents != 0) on_client(jobs_[i]);
    }
    if (sources[1].revents != 0) reap();
    if (sources[0].revents != 0) on_request();
  }

  void on_client(Job& job) {
    auto received = receive_control(job.client.get());
    if (received && !received->closed) {
      if (received->control.type == ControlType::signal_group)
        ::kill(-job.pid, received->control.a);
      return;
    }
    job.client.reset();
    ::kill(-job.pid, SIGHUP);
    ::kill(-job.pid, SIGCONT);
  }

  void reap() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    }
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      auto job =
          std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& j) { return j.pid == pid; });
      if (job == jobs_.end()) continue;
      tell(job->client.get(), ControlType::exited, status);
      jobs_.erase(job);
    }
  }

  void on_request() {
    auto message = receive_message(kChannelFd, kMaxStartRequest, 4);
    if (!message) return;
    if (message->end) ::_exit(0);  // the supervisor is gone, and everything ends
    if (message->fds.empty()) return;
    UniqueFd client = std::move(message->fds.front());
    message->fds.erase(message->fds.begin());
    if (auto done = start(*message, client); !done)
      tell(client.get(), ControlType::failed, done.error().err, encode_error(done.error()));
  }

  Result<void> start(Message& message, UniqueFd& client) {
    const StartRequest request = TRY(parse_start(message.bytes));
    constexpr std::string_view kDoing = "start a command inside";
    if (request.argv.empty() || message.fds.size() != request.passed())
      return fail(kDoing, "", "the request is not complete");
    if (jobs_.size() >= kMaxStarted) return fail(kDoing, "", "too many of them run");
    for (UniqueFd& fd : message.fds) {
      TRY_VOID(check_passed(fd.get(), spec_.landlock, !spec_.guarded.empty()));
      TRY_VOID(replace_by_own_device(fd));
    }
    Pty pty;
    if (message.fds.size() < 3) {
      pty = TRY(make_pty(request.modes, request.size));
      tell(client.get(), ControlType::pty, 0, {}, {pty.master.get()});
    }
    Launch launch = prepare(request);
    auto passed = message.fds.begin();
    for (int fd = 0; fd < 3; ++fd) {
      const bool terminal = request.stdio[fd] == StdioKind::pty;
      launch.stdio[fd] = terminal ? pty.slave.get() : (passed++)->get();
    }
    launch.terminal = pty.slave.get();
    return spawn(launch, client);
  }

  Launch prepare(const StartRequest& request) const {
    Launch launch;
    launch.environment = spec_.environment;
    if (!request.term.empty()) {
      std::erase_if(launch.environment, [](const auto& v) { return v.starts_with("TERM="); });
      launch.environment.push_back("TERM=" + request.term);
    }
    launch.candidates = find_candidates(request.argv.front(), value_of(launch.environment, "PATH"));
    // The vectors' buffers stay where they are when the Launch is moved.
    launch.argv = pointers(request.argv);
    launch.envp = pointers(launch.environment);
    launch.paths = pointers(launch.candidates);
    launch.mask = &options_.caller_mask;
    return launch;
  }

  Result<void> spawn(const Launch& launch, UniqueFd& client) {
    // Before it can say anything itself: whoever sees its output knows that it was started.
    tell(client.get(), ControlType::started, 0);
    Vforked outcome;
    // NOLINTBEGIN(clang-analyzer-unix.Vfork): run_child() makes system calls only.
    const pid_t pid = ::vfork();
    if (pid == 0) run_child(launch, outcome);
    // NOLINTEND(clang-analyzer-unix.Vfork)
    if (pid < 0) return fail_errno("start a command inside", launch.argv.front());
    if (outcome.doing != nullptr)
      return fail_errno(outcome.doing, launch.argv.front(), outcome.err);
    if (outcome.exec_err != 0) {
      tell(client.get(), ControlType::exec_failed, outcome.exec_err);
      return {};
    }
    jobs_.push_back({pid, std::move(client)});
    return {};
  }

  /// A client that is gone shows as the end of its connection.
  void tell(int client, ControlType type, int a, std::string_view text = {},
            const std::vector<int>& fds = {}) {
    if (client < 0) return;
    if (auto sent = send_control(client, type, a, text, fds); !sent) return;
  }

  const Spec& spec_;
  const RunOptions& options_;
  UniqueFd signals_;
  std::vector<Job> jobs_;
};

}  // namespace

Result<void> spawn_starter(const Spec& spec, const RunOptions& options, int control) {
  SocketPair pair = TRY(make_socket_pair());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("start the starter", "");
  if (pid == 0) {
    // Init's own descriptors are in the way, its control socket among them.
    if (::dup2(pair.theirs.get(), kChannelFd) < 0 ||
        ::fcntl(kChannelFd, F_SETFD, FD_CLOEXEC) != 0) {
      ::_exit(125);
    }
    if (pair.theirs.get() == kChannelFd) pair.theirs.release();
    Starter(spec, options).run();
  }
  return send_control(control, ControlType::starter, 0, {}, {pair.ours.get()});
}

}  // namespace dirbox::sandbox
