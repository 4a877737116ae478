#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "netns/address_guard.h"
#include "netns/dns_server.h"
#include "netns/engine.h"
#include "netns/socket_address.h"

/// Listeners and the lives of connections.
namespace dirbox::netns {
namespace {

constexpr int kAcceptsPerTurn = 64;
/// How long a listener rests when the process is out of descriptors.
constexpr std::chrono::milliseconds kListenerRest{100};
/// How often the end of a session looks whether all is passed on.
constexpr std::chrono::milliseconds kDrainPause{1};

/// What accepted sockets inherit, so that none of them needs a call of its own.
Result<void> apply_socket_options(const Listener& listener) {
  // A relayed segment must not wait for the acknowledgement of the one before (RFC 896).
  constexpr int on = 1;
  if (::setsockopt(listener.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
    return fail_errno("prepare a listener", std::to_string(listener.port));
  }
  // The clients of a published port are not on this machine alone.
  if (listener.kind != ListenerKind::publish) choose_local_congestion_control(listener.fd.get());
  return {};
}

}  // namespace

Result<void> Engine::serve(ListenerSet listeners, UniqueFd socket_channel) {
  sockets_ = std::make_unique<SocketClient>(loop_, std::move(socket_channel));
  TRY_VOID(sockets_->start());
  for (Listener& listener : listeners) TRY_VOID(add_listener(std::move(listener)));
  return {};
}

Result<void> Engine::add_listener(Listener listener) {
  if (listener.kind == ListenerKind::dns_udp) return dns_->serve_udp(std::move(listener.fd));
  TRY_VOID(apply_socket_options(listener));
  if (listener.kind == ListenerKind::transparent) {
    auto at = local_endpoint(listener.fd.get());
    if (at && at->address == IpAddress::v4({})) everywhere_.insert(listener.port);
  }
  listeners_.push_back(std::make_unique<Watched>(Watched{std::move(listener), 0}));
  return watch_listener(*listeners_.back());
}

Result<void> Engine::watch_listener(Watched& watched) {
  return loop_.add(watched.listener.fd.get(), EPOLLIN,
                   [this, &watched](std::uint32_t) { accept_from(watched); });
}

/// True when there may be more.
bool Engine::accept_from(Watched& watched) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    UniqueFd client(
        ::accept4(watched.listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.valid()) {
      take_connection(watched.listener, std::move(client));
      continue;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return false;
    rest(watched);
    return false;
  }
  return true;
}

/// Level-triggered: without a rest the loop would spin on a connection that it cannot accept.
void Engine::rest(Watched& watched) {
  report({.kind = EventKind::fault,
          .cause = Cause::too_many_connections,
          .port = watched.listener.port,
          .detail = fail_errno("accept", "").value().message()});
  loop_.remove(watched.listener.fd.get());
  watched.resume = loop_.after(kListenerRest, [this, &watched] {
    watched.resume = 0;
    if (!watch_listener(watched)) rest(watched);
  });
}

void Engine::take_connection(const Listener& listener, UniqueFd client) {
  if (listener.kind == ListenerKind::dns_tcp) return dns_->serve_tcp(std::move(client));
  if (!make_room(listener.kind)) return send_farewell(std::move(client), {});
  switch (listener.kind) {
    case ListenerKind::proxy:
      return start_session(std::make_unique<Session>(*this, std::move(client)));
    case ListenerKind::host_port:
    case ListenerKind::publish: {
      Via via = listener.kind == ListenerKind::publish ? Via::publish : Via::host_port;
      return start_session(std::make_unique<Session>(*this, std::move(client), via,
                                                     IpAddress::v4({127, 0, 0, 1}), listener.port));
    }
    default:
      break;
  }
  auto target = local_endpoint(client.get());
  // The listeners on every address catch the namespace's own loopback too, where nobody listens.
  bool loopback =
      target && classify_address(target->address).address_class == AddressClass::loopback;
  if (!target || loopback) return send_farewell(std::move(client), {});
  start_session(std::make_unique<Session>(*this, std::move(client), Via::transparent,
                                          target->address, target->port));
}

void Engine::drain(std::function<void()> done) {
  drained_ = std::move(done);
  drain_until_ = std::chrono::steady_clock::now() + kDrainTime;
  for (const auto& watched : listeners_) {
    bool inside = watched->listener.kind != ListenerKind::publish;
    while (inside && accept_from(*watched)) {
    }
    loop_.cancel(watched->resume);
    loop_.remove(watched->listener.fd.get());
  }
  check_drained();
}

/// Every socket inside is closed, so whoever has passed on its end has passed on all.
void Engine::check_drained() {
  drain_ = 0;
  sessions_.for_each([](Session& session) { session.end_if_silent(); });
  bool busy = sessions_.size() != 0;
  http_.for_each([&](HttpSession& session) { busy = busy || session.is_sending(); });
  relays_.for_each([&](Relay& relay) { busy = busy || !relay.has_passed_on(); });
  if (!busy || std::chrono::steady_clock::now() >= drain_until_) return drained_();
  drain_ = loop_.after(kDrainPause, [this] { check_drained(); });
}

/// False when there is no room for another connection.
bool Engine::make_room(ListenerKind kind) {
  const bool from_outside = kind == ListenerKind::publish;
  const std::uint32_t most = spec_.limits.max_connections;
  const bool outsiders_are_enough = from_outside && published_.use_count() > most / 2;
  if (outsiders_are_enough ||
      sessions_.size() + http_.size() + relays_.size() + farewells_.size() >= most) {
    report({.kind = EventKind::limit,
            .cause = Cause::too_many_connections,
            .detail = "max_connections is " + std::to_string(most) +
                      (outsiders_are_enough ? ", half of them for published ports" : "")});
    return false;
  }
  if (sessions_.size() + http_.size() < spec_.limits.max_pending) return true;
  if (from_outside) return false;
  if (Session* oldest = sessions_.oldest()) {
    oldest->evict();
  } else if (HttpSession* idle = http_.oldest()) {
    idle->evict();
  }
  return true;
}

void Engine::start_session(std::unique_ptr<Session> session) {
  sessions_.add(std::move(session)).start();
}

void Engine::start_http(std::unique_ptr<HttpSession> session) {
  http_.add(std::move(session)).start();
}

void Engine::start_relay(UniqueFd client, UniqueFd upstream, NameState& name, Direction outward,
                         bool client_is_watched, PublishPlace place) {
  relays_
      .add(std::make_unique<Relay>(relay_context_, std::move(client), std::move(upstream), name,
                                   outward, std::move(place)))
      .start(client_is_watched);
}

void Engine::finish_relay(Relay& relay, Cause cause) {
  if (cause == Cause::byte_limit) {
    Event event{.kind = EventKind::limit, .cause = cause};
    event.host = relay.name().count.name;
    report(std::move(event));
  }
  relays_.retire(relay);
}

void Engine::send_farewell(UniqueFd client, std::string bytes) {
  if (bytes.empty()) return reset_connection(client.get());
  bid_farewell(std::move(client), std::move(bytes));
}

void Engine::close_in_order(UniqueFd client) { bid_farewell(std::move(client), {}); }

void Engine::bid_farewell(UniqueFd client, std::string bytes) {
  farewells_.add(std::make_unique<Farewell>(loop_, std::move(client), std::move(bytes)))
      .start([this](Farewell& farewell) { farewells_.retire(farewell); });
}

}  // namespace dirbox::netns
