#include "launcher/supervise/attach.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>

#include "launcher/base/event_loop.h"
#include "launcher/base/text.h"
#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/starter.h"
#include "launcher/session/run_directory.h"
#include "launcher/supervise/job.h"
#include "launcher/supervise/terminal.h"

namespace dirbox::supervise {
namespace {

using sandbox::Control;
using sandbox::ControlType;
using sandbox::StdioKind;

constexpr int kForwarded[] = {SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
constexpr int kEnding[] = {SIGHUP, SIGTERM};

class Client {
 public:
  Client(EventLoop loop, std::string session, UniqueFd socket)
      : loop_(std::move(loop)), session_(std::move(session)), socket_(std::move(socket)) {}

  Result<int> run(const std::vector<std::string>& argv) {
    TRY_VOID(watch_signals());
    TRY_VOID(ask(argv));
    TRY_VOID(loop_.add(socket_.get(), EPOLLIN, [this](std::uint32_t) { on_message(); }));
    TRY_VOID(loop_.add(signals_.get(), EPOLLIN, [this](std::uint32_t) { on_signal(); }));
    TRY_VOID(loop_.run());
    if (terminal_) terminal_->finish();
    if (failure_) return Failure(*failure_);
    if (!complaint_.empty()) fmt::print(stderr, "dirbox: {}\n", complaint_);
    return status_;
  }

 private:
  Result<void> watch_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (int signal : kForwarded) sigaddset(&set, signal);
    for (int signal : kEnding) sigaddset(&set, signal);
    for (int signal : {SIGWINCH, SIGCONT, SIGTSTP}) sigaddset(&set, signal);
    if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("block signals", "");
    signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_.valid()) return fail_errno("watch for signals", "");
    return {};
  }

  Result<void> ask(const std::vector<std::string>& argv) {
    sandbox::StartRequest request;
    bool has_terminal = false;
    std::vector<int> passed;
    UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int fd = 0; fd < 3; ++fd) {
      const bool terminal = ::isatty(fd) == 1;
      request.stdio[fd] = terminal ? StdioKind::pty : StdioKind::pass;
      has_terminal |= terminal;
      if (!terminal) passed.push_back(::fcntl(fd, F_GETFD) >= 0 ? fd : null.get());
    }
    if (has_terminal) {
      terminal_.emplace(loop_, request.stdio, hooks());
      sandbox::RunOptions options;
      terminal_->describe(options);
      request.modes = options.terminal_modes;
      request.size = options.terminal_size;
      if (const char* term = std::getenv("TERM")) request.term = term;
    }
    request.argv = argv;
    command_ = argv.empty() ? "" : escape_for_terminal(argv.front());
    const std::vector<std::byte> bytes = sandbox::encode_start(request);
    TRY(sandbox::parse_start(bytes));  // the same complaint, without asking
    return send_message(socket_.get(), bytes, passed);
  }

  /// The command is alone on its terminal inside, in the foreground from the start.
  Terminal::Hooks hooks() {
    return {[this](bool on) { terminal_->confirm(on); }, [](int, pid_t) {}};
  }

  void on_message() {
    auto received = sandbox::receive_control(socket_.get());
    if (!received) return stop_with(received.error());
    if (received->closed) return on_end();
    Control& message = received->control;
    switch (message.type) {
      case ControlType::failed:
        return stop_with(sandbox::decode_error(message.a, message.text));
      case ControlType::pty:
        if (message.fds.size() != 1 || !terminal_) return;
        if (auto done = terminal_->attach(std::move(message.fds[0]), 0); !done)
          stop_with(done.error());
        return;
      case ControlType::started:
        started_ = true;
        return;
      case ControlType::exec_failed:
        complaint_ = Error{"run", command_, message.a, {}, {}}.message();
        return stop(message.a == ENOENT ? 127 : 126);
      case ControlType::exited:
        return stop(WIFSIGNALED(message.a) ? 128 + WTERMSIG(message.a) : WEXITSTATUS(message.a));
      default:
        return;
    }
  }

  /// Everything inside is killed when the session ends, the starter included.
  void on_end() {
    if (!started_) return stop_with({"attach to", session_, 0, "the session has ended", {}});
    complaint_ = "the session has ended";
    stop(128 + SIGKILL);
  }

  void on_signal() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      const int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGWINCH) {
        if (terminal_) terminal_->resize();
      } else if (signal == SIGTSTP) {
        if (terminal_) terminal_->release();
        if (!stop_job(SIGTSTP, false) && terminal_) terminal_->resume();
      } else if (signal == SIGCONT) {
        if (terminal_) terminal_->resume();
      } else if (signal == SIGHUP || signal == SIGTERM || (!started_ && signal == SIGINT)) {
        // The connection's end hangs up the command; the starter may have been stopped inside.
        stop(128 + signal);
      } else if (!sandbox::send_control(socket_.get(), ControlType::signal_group, signal)) {
        on_end();
      }
    }
  }

  void stop(int status) {
    status_ = status;
    loop_.stop();
  }
  void stop_with(Error error) {
    failure_ = std::move(error);
    loop_.stop();
  }

  EventLoop loop_;
  std::string session_;
  UniqueFd socket_, signals_;
  std::optional<Terminal> terminal_;
  bool started_ = false;
  int status_ = 125;
  std::string command_, complaint_;
  std::optional<Error> failure_;
};

}  // namespace

Result<int> attach_to(const std::string& session, const std::vector<std::string>& argv) {
  UniqueFd socket = TRY(session::connect_session(session, session::kAttachSocket));
  return Client(TRY(EventLoop::make()), session, std::move(socket)).run(argv);
}

}  // namespace dirbox::supervise
