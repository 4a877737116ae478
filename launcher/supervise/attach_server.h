#pragma once
#include <cstdint>
#include <functional>

#include "launcher/log/event.h"
#include "launcher/plan/plan.h"
#include "launcher/session/clients.h"
#include "launcher/session/run_directory.h"
#include "launcher/supervise/observer.h"

namespace dirbox::supervise {

/// Theory of operation: `dirbox attach` connects on the host and sends one request
/// (sandbox/starter.h). It is checked, logged, and passed on to the starter inside together with
/// the connection, which from then on is between those two: nothing of what the command reads and
/// writes passes here.
class AttachServer {
 public:
  static constexpr std::chrono::seconds kPatience{10};
  using Sink = std::function<void(log::Event)>;

  /// `asked`: of Observer.
  AttachServer(EventLoop& loop, const plan::Plan& plan, const Sink& sink,
               const std::function<void()>& asked)
      : loop_(loop),
        plan_(plan),
        sink_(sink),
        observer_(loop, plan, sink, asked),
        clients_(loop, kPatience, [this](session::Clients::Id id) { on_request(id); }) {}
  ~AttachServer() { stop(); }
  AttachServer(const AttachServer&) = delete;
  AttachServer& operator=(const AttachServer&) = delete;

  /// Listens in `directory` at session::kAttachSocket, where the plan says what to attach.
  Result<void> start(const session::RunDirectory& directory);
  /// Takes the starter's socket.
  Result<void> take(UniqueFd starter);
  void stop();
  /// Takes the socket of the guard's writer for what is attached, before the starter.
  void attach_writer(UniqueFd socket) { observer_.attach_writer(std::move(socket)); }
  /// After the command: takes what the observer has left.
  void finish() { observer_.finish(); }
  std::uint64_t dropped() const { return observer_.dropped(); }
  /// Whether anything was attached.
  bool used() const { return used_; }

 private:
  void on_request(session::Clients::Id id);
  Result<void> pass_on(int client);
  void on_starter();

  EventLoop& loop_;
  const plan::Plan& plan_;
  Sink sink_;
  Observer observer_;  ///< of what was attached
  session::Clients clients_;
  UniqueFd starter_;
  bool used_ = false;
};

}  // namespace dirbox::supervise
