#include "launcher/session/clients.h"

#include <sys/socket.h>

#include "launcher/session/run_directory.h"

namespace dirbox::session {

Result<void> Clients::start(UniqueFd listener) {
  listener_ = std::move(listener);
  return loop_.add(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_connection(); });
}

void Clients::stop() {
  while (!clients_.empty()) drop(clients_.begin()->first);
  if (!listener_.valid()) return;
  loop_.remove(listener_.get());
  listener_.reset();
}

void Clients::on_connection() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid() || clients_.size() >= kMaxClients || !check_peer(fd.get())) return;
  const Id id = next_++;
  if (!loop_.add(fd.get(), EPOLLIN, [this, id](std::uint32_t) { on_readable_(id); })) return;
  const EventLoop::TimerId timer = loop_.after(patience_, [this, id] { drop(id); });
  clients_.emplace(id, Client{std::move(fd), timer});
}

int Clients::fd(Id id) const {
  auto found = clients_.find(id);
  return found == clients_.end() ? -1 : found->second.fd.get();
}

void Clients::ignore(Id id) {
  if (const int socket = fd(id); socket >= 0) loop_.remove(socket);
}

void Clients::drop(Id id) {
  auto found = clients_.find(id);
  if (found == clients_.end()) return;
  loop_.remove(found->second.fd.get());
  loop_.cancel(found->second.timer);
  clients_.erase(found);
}

}  // namespace dirbox::session
