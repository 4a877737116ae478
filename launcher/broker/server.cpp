#include "launcher/broker/server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "launcher/broker/session.h"

namespace dirbox::broker {
namespace {
constexpr std::chrono::milliseconds kShortOfDescriptors{100};
}

Server::Server(EventLoop& loop, ServerConfig config)
    : loop_(loop),
      config_(std::move(config)),
      tokens_(config_.limits.request_burst),
      refilled_(EventLoop::Clock::now()) {}

Server::~Server() {
  close();
  for (auto& [key, session] : sessions_) session->kill_now();
}

Result<void> Server::add(UniqueFd listener, Command command) {
  int flags = ::fcntl(listener.get(), F_GETFL);
  if (flags < 0 || ::fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno("listen for an excluded command", command.policy.command);
  }
  auto added = std::make_unique<Listener>(Listener{std::move(listener), std::move(command)});
  TRY_VOID(watch(*added));
  listeners_.push_back(std::move(added));
  return {};
}

Result<void> Server::watch(Listener& listener) {
  return loop_.add(listener.fd.get(), EPOLLIN,
                   [this, &listener](std::uint32_t) { accept(listener); });
}

void Server::accept(Listener& listener) {
  if (closer_.full()) return pause(kShortOfDescriptors);
  if (!take_token()) {
    double wait = (1 - tokens_) / config_.limits.requests_per_second * 1000;
    return pause(std::chrono::milliseconds(1 + static_cast<int>(wait)));
  }
  UniqueFd socket(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    // No descriptor is left: trying again at once would only spin.
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) pause(kShortOfDescriptors);
    return;
  }
  auto caller = check_peer(socket.get(), config_.uid, config_.user_namespace);
  if (!caller || sessions_.size() >= config_.limits.max_commands) {
    std::string reason =
        caller ? "as many host commands run as one sandbox may have" : caller.error().message();
    auto packet =
        encode_packet(wire::Type::fail, 125, 0,
                      "dirbox: " + listener.command.policy.command + ": " + reason + "\n");
    // Who does not read the answer sees the end of the connection.
    bool told = send_message(socket.get(), packet).has_value();
    if (told && config_.on_event) {
      Event event;
      event.time = std::chrono::system_clock::now();
      event.command = listener.command.policy.command;
      event.caller = caller ? *caller : 0;
      event.decision.reason = reason;
      config_.on_event(event);
    }
    return end_connection(std::move(socket));
  }
  auto session = std::make_shared<Session>(*this, listener, std::move(socket), *caller);
  sessions_.emplace(session.get(), session);
  if (!session->start()) forget(*session);
}

bool Server::take_token() {
  auto now = EventLoop::Clock::now();
  double seconds = std::chrono::duration<double>(now - refilled_).count();
  refilled_ = now;
  tokens_ = std::min(config_.limits.request_burst,
                     tokens_ + seconds * config_.limits.requests_per_second);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

/// Leaves connections in the queue for a while.
void Server::pause(std::chrono::milliseconds wait) {
  for (auto& listener : listeners_) loop_.remove(listener->fd.get());
  resume_ = loop_.after(wait, [this] {
    resume_.reset();
    for (auto& listener : listeners_) {
      // Only a broken epoll refuses what it had before; the listener then stays closed.
      if (!watch(*listener)) listener->fd.reset();
    }
  });
}

/// A pty lives on while somebody holds its master, and the host has a limited number of them.
bool Server::may_open_terminal() {
  std::erase_if(terminals_, [](const UniqueFd& slave) {
    struct stat st {};
    // devpts unlinks the node when the master is closed.
    return ::fstat(slave.get(), &st) != 0 || st.st_nlink == 0;
  });
  return terminals_.size() < config_.limits.max_terminals;
}

void Server::remember_terminal(int slave) {
  std::string path = "/proc/self/fd/" + std::to_string(slave);
  UniqueFd node(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (node.valid()) terminals_.push_back(std::move(node));
}

void Server::on_child_stopped() {
  auto sessions = sessions_;  // one may end meanwhile
  for (auto& [key, session] : sessions) session->on_child_stopped();
}

void Server::close() {
  if (resume_) loop_.cancel(*resume_);
  resume_.reset();
  for (auto& listener : listeners_) {
    loop_.remove(listener->fd.get());
    closer_.take(std::move(listener->fd));
  }
  auto sessions = sessions_;
  for (auto& [key, session] : sessions) session->terminate();
}

/// With what waits in it unread. The other side is told at once.
void Server::end_connection(UniqueFd socket) {
  ::shutdown(socket.get(), SHUT_RDWR);
  closer_.take(std::move(socket));
}

void Server::forget(Session& session) { sessions_.erase(&session); }

Result<UniqueFd> make_listener(const std::string& path) {
  return make_unix_listener(path, SOCK_SEQPACKET | SOCK_NONBLOCK);
}

}  // namespace dirbox::broker
