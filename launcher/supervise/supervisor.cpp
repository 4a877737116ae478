#include "launcher/supervise/supervisor.h"

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "launcher/base/event_loop.h"
#include "launcher/base/initial_namespaces.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/guard.h"
#include "launcher/guard/plain.h"
#include "launcher/guard/store.h"
#include "launcher/guard/writer.h"
#include "launcher/log/event_log.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/init.h"
#include "launcher/sandbox/spawn.h"
#include "launcher/session/control.h"
#include "launcher/supervise/attach_server.h"
#include "launcher/supervise/broker.h"
#include "launcher/supervise/docker.h"
#include "launcher/supervise/events.h"
#include "launcher/supervise/freezer.h"
#include "launcher/supervise/job.h"
#include "launcher/supervise/observer.h"
#include "launcher/supervise/requests.h"
#include "launcher/supervise/terminal.h"
#include "launcher/supervise/witness.h"
#include "launcher/sync/sync.h"

namespace dirbox::supervise {
namespace {

using sandbox::Control;
using sandbox::ControlType;
using sandbox::StdioKind;

/// Signals that a user or a parent sends to a program to make it do something.
constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP};

/// A command that ends before is never seen by dirbox ps; its directory and socket would take a
/// tenth of its time.
constexpr std::chrono::milliseconds kUntilSession{20};

/// Whether the first process of this pid namespace waits for those whose parent has ended. That of
/// a container often does not: a zombie for each run would be left there, and each holds a session
/// keyring, of which a user has 200 (keyrings(7)).
bool orphans_are_reaped() {
  struct stat space {};
  return ::stat("/proc/self/ns/pid", &space) == 0 && space.st_ino == kInitialPidNamespace;
}

class Supervisor {
 public:
  Supervisor(EventLoop loop, const plan::Plan& plan, sandbox::RunOptions options,
             const std::string& state_directory)
      : loop_(std::move(loop)),
        spec_(plan.spec),
        options_(std::move(options)),
        log_(state_directory, plan.session, start_event(plan)),
        network_(loop_, plan.network, [this](log::Event event) { record(std::move(event)); }),
        broker_(
            loop_, plan, [this](log::Event event) { record(std::move(event)); },
            [this] { guard_.check(); }),
        docker_(loop_, plan.docker, [this](log::Event event) { record(std::move(event)); }),
        observer_(
            loop_, plan, [this](log::Event event) { record_observed(std::move(event)); },
            [this] { guard_.expect_writes(); }),
        attach_(
            loop_, plan, [this](log::Event event) { record_observed(std::move(event)); },
            [this] { guard_.expect_writes(); }),
        guard_(loop_, plan.guard, guard::store_path(state_directory, plan.session),
               plan.guard.foreign_state || plan.guard.trees.empty()
                   ? ""
                   : guard::plain_file(state_directory, plan.guard.trees.front())),
        syncer_(loop_, plan.sync, guard::store_path(state_directory, plan.session)),
        freezer_(
            loop_, [this] { forward(ControlType::freeze, 0); }, [this] { resume(); }),
        requests_(plan, network_, guard_),
        control_(loop_, [this](const Json& request, session::ControlServer::Reply reply) {
          requests_.handle(request, std::move(reply));
        }) {
    guard_.silence().listen_to(make_witness(plan, observer_, attach_, broker_, docker_));
  }

  Result<Outcome> run() {
    TRY_VOID(watch_signals());
    for (int fd = 0; fd < 3; ++fd) {
      options_.stdio[fd] = ::isatty(fd) == 1 ? StdioKind::pty : StdioKind::pass;
      has_terminal_ |= options_.stdio[fd] == StdioKind::pty;
    }
    if (has_terminal_) {
      terminal_.emplace(loop_, options_.stdio, terminal_hooks());
      terminal_->describe(options_);
    }
    TRY_VOID(network_.prepare(options_));
    TRY_VOID(broker_.prepare(options_));
    TRY_VOID(syncer_.start());
    options_.synced = [this](const std::string& path) { return syncer_.content_of(path); };
    if (!spec_.guarded.empty()) {
      // The writer is a copy of this process, which has to know what is guarded.
      TRY_VOID(guard_.start(observer_.is_told()));
      options_.writer = [this](std::span<const int> sockets) {
        guard::Writer(spec_.guarded, guard_.indirect()).serve(sockets);
      };
    }
    sandbox_ = TRY(sandbox::spawn_sandbox(spec_, options_));
    // While init mounts; the command waits for both.
    if (auto ready = prepare_beside(); !ready) return Failure(why_init_failed(ready.error()));
    session_timer_ = loop_.after(kUntilSession, [this] { open_session(); });
    TRY_VOID(loop_.add(sandbox_.control.get(), EPOLLIN, [this](std::uint32_t) { on_control(); }));
    TRY_VOID(loop_.add(signals_.get(), EPOLLIN, [this](std::uint32_t) { on_signal(); }));
    TRY_VOID(loop_.run());
    if (terminal_) terminal_->finish();
    sandbox_.control.reset();
    // When init has said that everything inside has ended, only it is left, on its way out: the
    // kernel takes most of a millisecond to undo the namespaces, for which nobody needs to wait.
    if (!ended_) wait_for_init();
    broker_.finish();  // before the guard's last look: its commands have descriptors from inside
    guard_.finish(observer_.may_have_written() || attach_.used());
    syncer_.finish();
    if (ended_ && !orphans_are_reaped()) wait_for_init();
    if (failure_) return Failure(*failure_);
    if (session_timer_ != 0) loop_.cancel(session_timer_);
    control_.stop();
    attach_.stop();
    directory_.reset();
    network_.finish();
    docker_.finish();
    observer_.finish();
    attach_.finish();
    end_log();
    return outcome_;
  }

 private:
  void wait_for_init() {
    while (::waitpid(sandbox_.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  Result<void> prepare_beside() {
    if (spec_.guarded.empty()) TRY_VOID(guard_.start(observer_.is_told()));
    TRY_VOID(network_.receive_listeners());
    auto sent = sandbox::let_command_start(sandbox_);
    // Init that has ended says why, to on_control().
    if (!sent && sent.error().err != EPIPE) return sent;
    return {};
  }

  /// After the clone: init has no copy of the lock and the socket. The command can do without.
  void open_session() {
    session_timer_ = 0;
    auto opened = [this]() -> Result<void> {
      directory_.emplace(TRY(session::RunDirectory::make(requests_.session())));
      TRY_VOID(attach_.start(*directory_));
      return control_.start(*directory_);
    }();
    if (!opened) {
      outcome_.complaints.push_back("dirbox ps and grant cannot see this session: " +
                                    opened.error().message());
    }
  }

  void record(log::Event event) {
    if (auto written = log_.write(std::move(event)); !written)
      outcome_.complaints.push_back("events are not logged: " + written.error().message());
  }

  void record_observed(log::Event event) {
    if (event.kind == log::Kind::fault) outcome_.complaints.push_back(event.detail);
    record(std::move(event));
  }

  void end_guard() {
    outcome_.guarded = guard_.findings();
    outcome_.guarded.insert(outcome_.guarded.end(), syncer_.findings().begin(),
                            syncer_.findings().end());
    for (const guard::Finding& finding : outcome_.guarded) record(guard_event(finding));
    for (const std::string& path : guard_.silence().hosts()) record(host_change_event(path));
    for (const std::string& text : guard_.complaints()) {
      record(fault_event(text));
      outcome_.complaints.push_back(text);
    }
    if (guard_.uncounted() != 0) {
      outcome_.complaints.push_back(
          fmt::format("guard: {} more changes were undone", guard_.uncounted()));
    }
  }

  void end_log() {
    end_guard();
    outcome_.counts = network_.counts();
    outcome_.changes = network_.changes();
    for (const auto* complaints :
         {&network_.complaints(), &docker_.complaints(), &syncer_.complaints()}) {
      for (const std::string& text : *complaints) {
        record(fault_event(text));
        outcome_.complaints.push_back(text);
      }
    }
    outcome_.events = log_.seen();
    outcome_.dropped =
        log_.dropped() + network_.dropped() + observer_.dropped() + attach_.dropped();
    if (auto closed = log_.close(outcome_.status); !closed)
      outcome_.complaints.push_back("events are not logged: " + closed.error().message());
  }

  Result<void> watch_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (int signal : kForwarded) sigaddset(&set, signal);
    sigaddset(&set, SIGCONT);
    sigaddset(&set, SIGWINCH);
    if (broker_.wanted()) sigaddset(&set, SIGCHLD);
    if (::sigprocmask(SIG_BLOCK, &set, &options_.caller_mask) != 0)
      return fail_errno("block signals", "");
    signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_.valid()) return fail_errno("watch for signals", "");
    return {};
  }

  /// Init ended while its listeners were awaited: what it said itself tells more. Or it waits to be
  /// let on, in vain.
  Error why_init_failed(const Error& otherwise) {
    ::shutdown(sandbox_.control.get(), SHUT_WR);
    auto received = sandbox::receive_control(sandbox_.control.get());
    sandbox_.control.reset();
    while (::waitpid(sandbox_.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (!received || received->closed || received->control.type != ControlType::failed)
      return otherwise;
    return sandbox::decode_error(received->control.a, received->control.text);
  }

  void stop_with(Error error) {
    if (!failure_) failure_ = std::move(error);
    loop_.stop();
  }

  void on_control() {
    auto received = sandbox::receive_control(sandbox_.control.get());
    if (!received) return stop_with(received.error());
    if (received->closed) return on_lost();
    on_message(received->control);
  }

  /// Init ended without a word: killed from outside, or by the kernel for want of memory.
  void on_lost() {
    if (!started_) return stop_with({"set up the sandbox", "init", 0, "it was killed", {}});
    outcome_.failure = Error{"the sandbox was killed from outside", {}, 0, {}, {}};
    outcome_.status = 128 + SIGKILL;
    loop_.stop();
  }

  void on_message(Control& message) {
    switch (message.type) {
      case ControlType::failed:
        return stop_with(sandbox::decode_error(message.a, message.text));
      case ControlType::pty:
        if (message.fds.size() == 1 && terminal_) {
          if (auto done = terminal_->attach(std::move(message.fds[0]), sandbox_.pid); !done)
            stop_with(done.error());
        }
        return;
      case ControlType::sockets:
        if (auto taken = broker_.take(message); !taken) stop_with(taken.error());
        return;
      case ControlType::unix_listener:
        if (message.fds.size() == 1) take_listener(message.a, std::move(message.fds[0]));
        return;
      case ControlType::listener:
        if (message.fds.size() == 1) {
          if (auto done = observer_.attach(std::move(message.fds[0])); !done)
            stop_with(done.error());
        }
        return;
      case ControlType::starter:
        if (message.fds.size() != 1) return;
        if (auto taken = attach_.take(std::move(message.fds[0])); !taken) stop_with(taken.error());
        return;
      case ControlType::writer:
        if (!message.fds.empty()) observer_.attach_writer(std::move(message.fds[0]));
        if (message.fds.size() == 2) attach_.attach_writer(std::move(message.fds[1]));
        return;
      case ControlType::started:
        started_ = true;
        command_ = message.a;
        syncer_.attach(std::move(message.fds));
        return;
      case ControlType::exec_failed:
        outcome_.status = message.a == ENOENT ? 127 : 126;
        report_exec_failure(message.a);
        return loop_.stop();
      case ControlType::foreground:
        if (terminal_) terminal_->confirm(message.a != 0);
        return;
      case ControlType::stopped:
        return on_stopped(message.a);
      case ControlType::frozen:
        return freezer_.on_frozen();
      case ControlType::exited:
        outcome_.status =
            WIFSIGNALED(message.a) ? 128 + WTERMSIG(message.a) : WEXITSTATUS(message.a);
        ended_ = true;
        return loop_.stop();
      default:
        return;
    }
  }

  void take_listener(int position, UniqueFd listener) {
    auto index = static_cast<std::size_t>(position);
    if (index < spec_.listeners.size() && spec_.listeners[index].path == docker::kSocket)
      docker_.take_listener(std::move(listener));
  }

  void report_exec_failure(int err) {
    Error error{"run", escape_for_terminal(spec_.executable), err, {}, {}};
    if (err == ENOENT)
      error.hint = "its interpreter or loader may be missing inside: see --dry-run";
    outcome_.failure = std::move(error);
  }

  Terminal::Hooks terminal_hooks() {
    return {[this](bool on) { forward(ControlType::foreground, on ? 1 : 0); },
            [this](int signal, pid_t group) {
              // Its neighbours in the caller's job would have got it from the user's terminal.
              // That of Ctrl-Z follows when the command has stopped.
              // Before init's word of the start there is no other group than the command's.
              if (!started_ || check_group_leader(group, command_)) ::kill(0, signal);
            }};
  }

  /// The command stopped. When it asked for its terminal, it gets it, if dirbox may use the
  /// user's. Otherwise this process stops as well, and with it the caller's job.
  void on_stopped(int signal) {
    bool wants_terminal = terminal_ && (signal == SIGTTIN || signal == SIGTTOU);
    if (wants_terminal && terminal_->take(true)) return;
    freezer_.stop(sandbox_.pid, [=, this] { stop_with_it(signal, wants_terminal); });
  }

  void stop_with_it(int signal, bool wants_terminal) {
    guard_.check();
    guard_.listen();  // what changes while everything is stopped is the user's
    bool group = wants_terminal || (terminal_ && terminal_->taken());
    if (terminal_) terminal_->release();
    // SIGSTOP would stop also where nobody can continue this process.
    if (stop_job(signal == SIGSTOP ? SIGTSTP : signal, group)) return;
    freezer_.thaw();
    // There the kernel would not have stopped the command either, SIGSTOP excepted. It reads a
    // terminal on which nothing is typed instead of an error for ever.
    if (signal == SIGSTOP) {
      if (terminal_) terminal_->take(false);
    } else if (!resume() && wants_terminal) {
      forward(ControlType::foreground, 1);
    }
  }

  /// Continues the command; true when it has the user's terminal.
  bool resume() {
    guard_.check();
    if (!freezer_.thaw()) return false;
    // One message does both: a Ctrl-Z between them would be undone by the SIGCONT.
    if (terminal_ && terminal_->resume()) return true;
    forward(ControlType::signal_group, SIGCONT);
    return false;
  }

  void on_signal() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGWINCH) {
        on_resized();
      } else if (signal == SIGCHLD) {
        broker_.on_child_stopped();
      } else if (signal == SIGCONT) {
        resume();
      } else if (info.ssi_code == SI_USER && info.ssi_pid == static_cast<unsigned>(::getpid())) {
        // Meant for the neighbours: the command got it from its own terminal.
      } else {
        // A terminal signals the whole foreground group, kill(1) one process.
        bool from_kernel = info.ssi_code == SI_KERNEL;
        forward(from_kernel ? ControlType::signal_group : ControlType::signal_command, signal);
      }
    }
  }

  /// The command's terminal tells only its foreground.
  void on_resized() {
    if (terminal_) terminal_->resize();
    if (!terminal_ || !terminal_->taken()) forward(ControlType::signal_group, SIGWINCH);
  }

  /// Once init has ended nobody needs it: what it said before is still to be read (on_control()).
  void forward(ControlType type, int signal) {
    if (!sandbox_.control.valid()) return;
    auto sent = sandbox::send_control(sandbox_.control.get(), type, signal);
    if (!sent && sent.error().err != EPIPE && sent.error().err != ECONNRESET)
      stop_with(sent.error());
  }

  EventLoop loop_;
  const sandbox::Spec& spec_;
  sandbox::RunOptions options_;
  UniqueFd signals_;
  sandbox::Sandbox sandbox_;
  log::EventLog log_;
  Network network_;
  Broker broker_;
  Docker docker_;
  Observer observer_;
  AttachServer attach_;
  guard::Guard guard_;
  sync::Syncer syncer_;
  Freezer freezer_;
  Requests requests_;
  std::optional<session::RunDirectory> directory_;
  session::ControlServer control_;
  EventLoop::TimerId session_timer_ = 0;
  std::optional<Terminal> terminal_;
  bool has_terminal_ = false;
  bool started_ = false;
  bool ended_ = false;  ///< every process inside but init
  pid_t command_ = 0;   ///< inside
  Outcome outcome_;
  std::optional<Error> failure_;
};

}  // namespace

Result<Outcome> run_sandbox(const plan::Plan& plan, sandbox::RunOptions options,
                            const std::string& state_directory) {
  return Supervisor(TRY(EventLoop::make()), plan, std::move(options), state_directory).run();
}

std::vector<std::pair<std::string, std::string>> list_steps() {
  std::vector<std::pair<std::string, std::string>> steps;
  for (const auto& step : sandbox::list_init_steps()) steps.emplace_back(step.name, step.reason);
  return steps;
}

}  // namespace dirbox::supervise
