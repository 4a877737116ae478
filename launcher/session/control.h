#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "launcher/base/event_loop.h"
#include "launcher/base/json.h"
#include "launcher/session/run_directory.h"

/// What a host's `dirbox grant`, `revoke` and `ps` say to the supervisor of a session: one JSON
/// object per connection, and one back, in a memory file.
namespace dirbox::session {

/// Theory of operation: requests come from the user's own processes outside (check_peer) and are
/// bounded all the same: kMaxRequest bytes, kMaxClients at a time, kPatience for each. The server
/// never waits: it reads when something is there, and an answer is a single datagram.
class ControlServer {
 public:
  static constexpr std::size_t kMaxRequest = 16 << 10;
  static constexpr std::size_t kMaxClients = 16;
  static constexpr std::chrono::seconds kPatience{30};

  using Reply = std::function<void(Result<Json>)>;
  /// Calls `reply` once, at once or later; not after stop().
  using Handler = std::function<void(const Json& request, Reply reply)>;

  ControlServer(EventLoop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}
  ~ControlServer() { stop(); }
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Listens in `directory`, at kControlSocket.
  Result<void> start(const RunDirectory& directory);
  /// Drops clients and the socket.
  void stop();

 private:
  using Id = std::uint64_t;
  struct Client {
    UniqueFd fd;
    EventLoop::TimerId timer = 0;
  };
  void on_connection();
  void on_request(Id id);
  void answer(Id id, const Result<Json>& result);
  void drop(Id id);

  EventLoop& loop_;
  Handler handler_;
  UniqueFd listener_;
  std::map<Id, Client> clients_;
  Id next_ = 1;
};

/// The client's side: asks and waits, kPatience at most. An answer that is an error comes back as
/// one.
Result<Json> ask_session(const std::string& session, const Json& request);

}  // namespace dirbox::session
