#include "launcher/broker/session.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>

#include "launcher/base/text.h"
#include "launcher/broker/environment.h"

namespace dirbox::broker {
namespace {

constexpr int kStatusTimedOut = 124;  // as timeout(1)
constexpr int kStatusFailed = 125;
constexpr int kStatusRefused = 126;
constexpr std::size_t kMaxPacket = wire::kMaxDatagram;
constexpr std::size_t kMaxLoggedBytes = 4096;
constexpr std::size_t kMaxLoggedWords = 64;

bool would_block(const Error& error) { return error.err == EAGAIN || error.err == EWOULDBLOCK; }

std::vector<std::string> copy_of(std::span<const std::string_view> views) {
  return {views.begin(), views.end()};
}

/// What an event shows of the arguments: the log must not grow by a megabyte per call.
std::vector<std::string> shorten(std::span<const std::string> words) {
  std::vector<std::string> out;
  std::size_t room = kMaxLoggedBytes;
  for (const std::string& word : words) {
    if (out.size() == kMaxLoggedWords || word.size() > room) {
      out.push_back("[" + std::to_string(words.size() - out.size()) + " more]");
      break;
    }
    room -= word.size();
    out.push_back(word);
  }
  return out;
}

int status_of_failure(const Error& error) {
  return error.err == 0 ? kStatusFailed : status_of_exec_error(error.err);
}

}  // namespace

Session::Session(Server& server, Server::Listener& listener, UniqueFd socket, pid_t caller)
    : server_(server), listener_(listener), socket_(std::move(socket)) {
  event_.command = policy().command;
  event_.caller = caller;
}

Session::~Session() {
  disconnect();
  if (control_.valid()) loop().remove(control_.get());
  if (child_.pidfd.valid()) loop().remove(child_.pidfd.get());
}

Result<void> Session::start() {
  auto weak = weak_from_this();
  TRY_VOID(loop().add(socket_.get(), EPOLLIN, [weak](std::uint32_t) {
    if (auto self = weak.lock()) self->on_readable();
  }));
  handshake_timer_ = loop().after(server_.config_.limits.handshake, [weak] {
    auto self = weak.lock();
    if (!self) return;
    self->handshake_timer_.reset();
    self->refuse(kStatusFailed, Event::Kind::refused, "no request came within the time for it");
  });
  on_readable();  // the request is usually there already
  return {};
}

void Session::on_readable() {
  std::vector<UniqueFd> foreign;
  auto message = server_.closer_.full()
                     ? fail("receive a message", "", "too much of what was sent is not closed yet")
                     : receive_message(socket_.get(), kMaxPacket, 5, &foreign);
  if (!message && would_block(message.error())) return;
  if (message && message->end) return terminate();
  auto handled = message ? handle(*message) : Result<void>(Failure(message.error()));
  server_.closer_.take(message ? std::move(message->fds) : std::move(foreign));
  if (handled) return;
  if (state_ == State::asking) {
    refuse(kStatusFailed, Event::Kind::refused, handled.error().message());
  } else {
    terminate();
  }
}

Result<void> Session::handle(Message& message) {
  if (state_ == State::asking) return handle_request(message);
  if (!message.fds.empty()) return fail("receive a message", "", "descriptors after the request");
  Packet packet = TRY(parse_packet(message.bytes));
  relay(TRY(parse_control(packet)));
  return {};
}

Result<void> Session::handle_request(Message& message) {
  cancel(handshake_timer_);
  Received received = TRY(take_request(message));
  std::string seen_cwd(received.request.cwd);
  std::vector<std::string> arguments = copy_of(received.request.argv);
  arguments.erase(arguments.begin());  // the name is the socket's, not the caller's
  event_.cwd = seen_cwd.substr(0, kMaxLoggedBytes);
  event_.arguments = shorten(arguments);

  const Gate& gate = listener_.command.gate;
  Verdict verdict =
      gate ? gate(arguments, seen_cwd) : Verdict{decide(policy(), arguments), std::nullopt};
  event_.decision = verdict.decision;
  if (!verdict.decision.allowed) {
    refuse(kStatusRefused, Event::Kind::refused, explain_refusal(verdict.decision));
    return {};
  }
  if (policy().max_concurrent != 0 && listener_.running >= policy().max_concurrent) {
    refuse(
        kStatusRefused, Event::Kind::refused,
        std::to_string(listener_.running) + " of them run already, as many as the profile permits");
    return {};
  }
  auto mapped = server_.config_.map_cwd(seen_cwd);
  if (!mapped) {
    refuse(kStatusRefused, Event::Kind::refused,
           "the working directory " + event_.cwd +
               " is the sandbox's own; change to a directory that it shares with the host");
    return {};
  }
  auto cwd = open_same_directory(*mapped, received.cwd);
  if (!cwd) {
    refuse(kStatusRefused, Event::Kind::refused, cwd.error().message());
    return {};
  }
  if (verdict.arguments) {
    arguments = std::move(*verdict.arguments);
    event_.arguments = shorten(arguments);
  }
  auto launched = launch(received, cwd->get(), std::move(arguments));
  if (!launched) {
    kill_now();  // what was started and could not be watched
    refuse(status_of_failure(launched.error()), Event::Kind::failed, launched.error().message());
  }
  return {};
}

Result<void> Session::launch(Received& received, int cwd, std::vector<std::string> arguments) {
  Launch launch;
  launch.binary = &listener_.command.binary;
  launch.arguments = std::move(arguments);
  launch.environment =
      compile_environment(listener_.command.environment, policy().env, received.request.env);
  launch.cwd = cwd;
  for (int i = 0; i < 3; ++i) launch.stdio[i] = received.stdio[i];
  begun_ = EventLoop::Clock::now();
  if (received.request.want_pty) {
    return launch_in_terminal(std::move(launch), received.request.terminal,
                              received.request.pty_stderr);
  }
  child_ = TRY(spawn_detached(launch));
  command_ = child_.pid;
  TRY_VOID(watch_child());
  report(Event::Kind::started);
  send(wire::Type::started);
  return {};
}

Result<void> Session::watch_child() {
  auto weak = weak_from_this();
  TRY_VOID(loop().add(child_.pidfd.get(), EPOLLIN, [weak](std::uint32_t) {
    if (auto self = weak.lock()) self->on_child_exit();
  }));
  state_ = State::running;
  ++listener_.running;
  if (policy().timeout.count() > 0) {
    timeout_timer_ = loop().after(policy().timeout, [weak] {
      auto self = weak.lock();
      if (!self) return;
      self->timeout_timer_.reset();
      self->timed_out_ = true;
      self->terminate();
    });
  }
  return {};
}

Result<void> Session::launch_in_terminal(Launch launch, const wire::Terminal& terminal,
                                         bool pty_stderr) {
  if (!server_.may_open_terminal()) {
    return fail("make a terminal", event_.command, "the sandbox holds too many already");
  }
  Pty pty = TRY(make_pty(terminal));
  launch.stdio[0] = launch.stdio[1] = -1;
  if (pty_stderr) launch.stdio[2] = -1;
  Monitored monitored = TRY(spawn_monitored(launch, pty.slave.get()));
  child_ = std::move(monitored.monitor);
  control_ = std::move(monitored.control);
  auto weak = weak_from_this();
  TRY_VOID(loop().add(control_.get(), EPOLLIN, [weak](std::uint32_t) {
    if (auto self = weak.lock()) self->on_monitor_readable();
  }));
  TRY_VOID(watch_child());
  server_.remember_terminal(pty.slave.get());
  send(wire::Type::pty, 0, {}, pty.master.get());
  return {};
}

void Session::relay(const Control& control) {
  if (control_.valid()) {
    wire::Header order{wire::kMagic, wire::kVersion, control.type, 0, 0};
    order.a = control.type == wire::Type::winch ? control.rows
                                                : static_cast<std::uint32_t>(control.signal);
    order.b = control.columns;
    // One that has just ended takes none: on_child_exit() says how.
    auto sent = send_message(control_.get(), as_bytes_of(order));
    if (!sent && would_block(sent.error())) terminate();
    return;
  }
  switch (control.type) {
    case wire::Type::winch:
      return signal_group(SIGWINCH);
    case wire::Type::cont:
      if (stopped_) {
        siginfo_t unread{};  // the stop that the caller knows of
        ::waitid(P_PID, static_cast<id_t>(command_), &unread, WSTOPPED | WNOHANG);
      }
      stopped_ = false;
      return signal_group(SIGCONT);
    default:
      break;
  }
  if (control.signal != SIGTSTP) return signal_group(control.signal);
  // The command's group is orphaned (its session has no shell), where SIGTSTP would be discarded.
  signal_group(SIGSTOP);
  stopped_ = true;
  send(wire::Type::stopped, SIGTSTP);
}

void Session::signal_group(int signal) {
  // The leader is not reaped before ended_, so that its number is still its group's.
  if (command_ > 0 && !ended_) ::kill(-command_, signal);
}

void Session::on_child_stopped() {
  if (state_ != State::running || control_.valid() || ended_) return;
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(command_), &info, WSTOPPED | WNOHANG) != 0) return;
  if (info.si_pid == 0 || stopped_) return;
  send(wire::Type::stopped, static_cast<std::uint32_t>(info.si_status));
}

void Session::on_monitor_readable() {
  auto message = receive_message(control_.get(), sizeof(wire::Header), 0);
  if (!message && would_block(message.error())) return;
  auto packet = message && !message->end ? parse_packet(message->bytes)
                                         : Result<Packet>(fail("hear the monitor", "", "gone"));
  if (packet) return hear_monitor(*packet);
  loop().remove(control_.get());  // on_child_exit says the rest
}

void Session::hear_monitor(const Packet& packet) {
  switch (packet.type) {
    case wire::Type::started:
      command_ = static_cast<pid_t>(packet.b);
      report(Event::Kind::started);
      return send(wire::Type::started);
    case wire::Type::stopped:
      return send(wire::Type::stopped, packet.a);
    case wire::Type::exit:
      return command_ended(static_cast<int>(packet.a));
    case wire::Type::fail: {
      int error = static_cast<int>(packet.a);
      ended_ = true;
      Error what =
          fail_errno("execute on the host", listener_.command.binary.file.path, error).value();
      return refuse(status_of_exec_error(error), Event::Kind::failed, what.message());
    }
    default:
      return;
  }
}

void Session::on_child_exit() {
  if (control_.valid()) {
    while (!ended_) {  // what the monitor said last
      auto message = receive_message(control_.get(), sizeof(wire::Header), 0);
      if (!message || message->end) break;
      auto packet = parse_packet(message->bytes);
      if (packet) hear_monitor(*packet);
    }
  }
  // Whoever of the group outlived its leader's TERM has had its chance.
  if (terminating_) signal_group(SIGKILL);
  int status = 0;
  pid_t reaped = ::waitpid(child_.pid, &status, WNOHANG);
  if (reaped == 0) return;
  loop().remove(child_.pidfd.get());
  child_.pid = -1;
  if (!ended_) command_ended(reaped < 0 ? kStatusFailed << 8 : status);
  cancel(kill_timer_);
  finish();
}

void Session::command_ended(int status) {
  ended_ = true;
  cancel(timeout_timer_);
  event_.status = status;
  report(Event::Kind::ended);
  if (timed_out_) {
    std::string text = "dirbox: " + event_.command + ": ended after " +
                       std::to_string(policy().timeout.count()) + " s, the profile's timeout (" +
                       policy().origin.text() + ")\n";
    send(wire::Type::fail, kStatusTimedOut, text);
  } else {
    send(wire::Type::exit, static_cast<std::uint32_t>(status));
  }
  disconnect();
}

void Session::terminate() {
  cancel(handshake_timer_);
  if (!timed_out_) disconnect();
  if (state_ != State::running) return finish();
  if (terminating_) return;
  terminating_ = true;
  if (control_.valid()) {
    ::shutdown(control_.get(), SHUT_WR);  // the monitor does the rest, and tells the status
    return;
  }
  for (int signal : {SIGHUP, SIGCONT, SIGTERM}) signal_group(signal);
  kill_timer_ = loop().after(server_.config_.limits.grace, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->kill_timer_.reset();
    self->signal_group(SIGKILL);
  });
}

void Session::kill_now() {
  signal_group(SIGKILL);
  if (child_.pid > 0) {
    ::kill(child_.pid, SIGKILL);
    while (::waitpid(child_.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    child_.pid = command_ = -1;
  }
}

void Session::refuse(int status, Event::Kind kind, const std::string& reason) {
  if (event_.decision.reason.empty()) event_.decision.reason = reason;
  if (kind == Event::Kind::refused) event_.decision.allowed = false;
  report(kind);
  std::string text = "dirbox: " + event_.command + ": " + escape_for_terminal(reason);
  send(wire::Type::fail, static_cast<std::uint32_t>(status),
       text.substr(0, wire::kMaxText - 1) + "\n");
  disconnect();
  if (state_ != State::running) finish();
}

void Session::send(wire::Type type, std::uint32_t a, std::string_view text, int fd) {
  if (!socket_.valid()) return;
  std::vector<std::byte> packet = encode_packet(type, a, 0, text);
  auto sent = send_message(socket_.get(), packet,
                           fd < 0 ? std::span<const int>() : std::span<const int>(&fd, 1));
  // A shim that does not read is a shim that is gone; EPIPE comes with the end of its connection.
  if (!sent && would_block(sent.error())) terminate();
}

void Session::disconnect() {
  if (!socket_.valid()) return;
  loop().remove(socket_.get());
  server_.end_connection(std::move(socket_));
}

void Session::finish() {
  if (state_ == State::done) return;
  if (state_ == State::running) --listener_.running;
  state_ = State::done;
  cancel(handshake_timer_);
  cancel(timeout_timer_);
  if (control_.valid()) loop().remove(control_.get());
  server_.forget(*this);
}

void Session::report(Event::Kind kind) {
  if (!server_.config_.on_event) return;
  event_.kind = kind;
  event_.time = std::chrono::system_clock::now();
  event_.pid = command_;
  if (kind == Event::Kind::ended) {
    event_.duration =
        std::chrono::duration_cast<std::chrono::milliseconds>(EventLoop::Clock::now() - begun_);
  }
  server_.config_.on_event(event_);
}

void Session::cancel(std::optional<EventLoop::TimerId>& timer) {
  if (timer) loop().cancel(*timer);
  timer.reset();
}

}  // namespace dirbox::broker
