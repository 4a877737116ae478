#pragma once
#include <cstdint>
#include <functional>
#include <map>

#include "launcher/base/event_loop.h"
#include "netns/host.h"
#include "netns/socket_request.h"

namespace dirbox::netns {

/// The proxy's side of socket_request.h: asks the sandbox's init for sockets.
class SocketClient {
 public:
  using Callback = std::function<void(Result<UniqueFd>)>;
  using Ticket = std::uint32_t;
  static constexpr std::size_t kMaxWaiting = 1024;
  static constexpr std::chrono::seconds kTimeout{5};

  /// `channel` may be invalid: every request then fails with ENOTCONN.
  SocketClient(EventLoop& loop, UniqueFd channel);
  ~SocketClient();
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  Result<void> start();
  /// Calls back once, from the loop: a listener on a fake address.
  Ticket listen(const IpAddress& fake, std::uint16_t port, Callback callback);
  /// A connection, maybe in progress, to 127.0.0.1 (or ::1) inside.
  Ticket connect_loopback(bool v6, std::uint16_t port, Callback callback);
  /// The callback is not called any more.
  void cancel(Ticket ticket);

 private:
  struct Waiter {
    Callback callback;
    EventLoop::TimerId timer;
  };
  Ticket ask(SocketRequest request, Callback callback);
  void on_reply();
  void finish(Ticket id, Result<UniqueFd> result);

  EventLoop& loop_;
  UniqueFd channel_;
  std::map<Ticket, Waiter> waiting_;
  Ticket next_ = 1;
};

}  // namespace dirbox::netns
