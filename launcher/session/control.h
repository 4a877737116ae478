#pragma once
#include <chrono>
#include <functional>
#include <string>

#include "launcher/base/json.h"
#include "launcher/session/clients.h"
#include "launcher/session/run_directory.h"

/// What a host's `dirbox grant`, `revoke` and `ps` say to the supervisor of a session: one JSON
/// object per connection, and one back, in a memory file where it is large.
namespace dirbox::session {

/// Theory of operation: a request has kMaxRequest bytes at most. The server never waits: it reads
/// when something is there, and an answer is a single datagram.
class ControlServer {
 public:
  static constexpr std::size_t kMaxRequest = 16 << 10;
  static constexpr std::chrono::seconds kPatience{30};

  using Reply = std::function<void(Result<Json>)>;
  /// Calls `reply` once, at once or later; not after stop().
  using Handler = std::function<void(const Json& request, Reply reply)>;

  ControlServer(EventLoop& loop, Handler handler)
      : handler_(std::move(handler)),
        clients_(loop, kPatience, [this](Clients::Id id) { on_request(id); }) {}

  /// Listens in `directory`, at kControlSocket.
  Result<void> start(const RunDirectory& directory);
  /// Drops clients and the socket.
  void stop() { clients_.stop(); }

 private:
  void on_request(Clients::Id id);
  void answer(Clients::Id id, const Result<Json>& result);

  Handler handler_;
  Clients clients_;
};

/// The client's side: asks and waits, kPatience at most. An answer that is an error comes back as
/// one. A session that is stopped, as by Ctrl-Z, answers nothing: then the error says so, and
/// `stopped` gets the process.
Result<Json> ask_session(const std::string& session, const Json& request, pid_t* stopped = nullptr);

}  // namespace dirbox::session
