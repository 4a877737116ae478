#pragma once
#include <chrono>
#include <functional>
#include <map>

#include "launcher/base/event_loop.h"
#include "launcher/base/unique_fd.h"

namespace dirbox::session {

/// Who is connected to one of a session's sockets: the user's own processes outside (check_peer),
/// kMaxClients at a time, each for `patience`. Nothing here waits.
class Clients {
 public:
  static constexpr std::size_t kMaxClients = 16;
  using Id = std::uint64_t;
  /// There is something to read from the client, or it went away.
  using OnReadable = std::function<void(Id)>;

  Clients(EventLoop& loop, std::chrono::seconds patience, OnReadable on_readable)
      : loop_(loop), patience_(patience), on_readable_(std::move(on_readable)) {}
  ~Clients() { stop(); }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  /// Accepts from `listener`.
  Result<void> start(UniqueFd listener);
  /// Drops all of them and the listener.
  void stop();
  /// The client's socket, which stays this object's; -1 of one that was dropped.
  int fd(Id id) const;
  /// Reads no more of it; an answer may follow.
  void ignore(Id id);
  void drop(Id id);

 private:
  struct Client {
    UniqueFd fd;
    EventLoop::TimerId timer = 0;
  };
  void on_connection();

  EventLoop& loop_;
  std::chrono::seconds patience_;
  OnReadable on_readable_;
  UniqueFd listener_;
  std::map<Id, Client> clients_;
  Id next_ = 1;
};

}  // namespace dirbox::session
