#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/broker/launch.h"
#include "launcher/broker/request.h"
#include "launcher/broker/server.h"

namespace dirbox::broker {

/// One connection of a shim, and the command that it asked for. Lives until the connection is
/// closed and the command is reaped.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Server& server, Server::Listener& listener, UniqueFd socket, pid_t caller);
  ~Session();

  /// Begins to wait for the request. Errors leave nothing behind.
  Result<void> start();
  void on_child_stopped();
  /// Ends the command, if one runs, and then the session.
  void terminate();
  /// SIGKILL and reap, waiting for it.
  void kill_now();

 private:
  enum class State { asking, running, done };

  void on_readable();
  Result<void> handle(Message& message);
  Result<void> handle_request(Message& message);
  Result<void> launch(Received& received, int cwd, std::vector<std::string> arguments);
  Result<void> launch_in_terminal(Launch launch, const wire::Terminal& terminal, bool pty_stderr);
  Result<void> watch_child();
  void relay(const Control& control);
  void signal_group(int signal);
  void on_monitor_readable();
  void hear_monitor(const Packet& packet);
  void on_child_exit();
  void command_ended(int status);

  void refuse(int status, Event::Kind kind, const std::string& reason);
  void send(wire::Type type, std::uint32_t a = 0, std::string_view text = {}, int fd = -1);
  void disconnect();
  void finish();
  void report(Event::Kind kind);
  void cancel(std::optional<EventLoop::TimerId>& timer);
  EventLoop& loop() { return server_.loop_; }
  const Policy& policy() const { return listener_.command.policy; }

  Server& server_;
  Server::Listener& listener_;
  UniqueFd socket_;
  State state_ = State::asking;
  Event event_;
  EventLoop::Clock::time_point begun_;

  Child child_;       ///< the command, or its monitor
  UniqueFd control_;  ///< to the monitor; not valid in FD mode
  pid_t command_ = -1;
  bool ended_ = false;    ///< the command's status is known
  bool stopped_ = false;  ///< by the caller, in FD mode
  bool terminating_ = false;
  bool timed_out_ = false;
  std::optional<EventLoop::TimerId> handshake_timer_, timeout_timer_, kill_timer_;
};

}  // namespace dirbox::broker
