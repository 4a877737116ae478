#include "netns/socket_client.h"

#include <fcntl.h>

#include <cstring>

#include "launcher/base/unix_socket.h"

namespace dirbox::netns {

SocketClient::SocketClient(EventLoop& loop, UniqueFd channel)
    : loop_(loop), channel_(std::move(channel)) {}

SocketClient::~SocketClient() {
  loop_.remove(channel_.get());
  for (auto& [id, waiter] : waiting_) loop_.cancel(waiter.timer);
}

Result<void> SocketClient::start() {
  if (!channel_.valid()) return {};
  // The other end must not become non-blocking with ours: O_NONBLOCK belongs to one end only.
  if (::fcntl(channel_.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
    return fail_errno("prepare the socket channel", "");
  }
  return loop_.add(channel_.get(), EPOLLIN, [this](std::uint32_t) { on_reply(); });
}

SocketClient::Ticket SocketClient::listen(const IpAddress& fake, std::uint16_t port,
                                          Callback callback) {
  SocketRequest request;
  request.verb = SocketVerb::listen;
  request.family = 4;
  request.port = port;
  std::memcpy(request.address.data(), fake.bytes().data(), fake.bytes().size());
  return ask(request, std::move(callback));
}

SocketClient::Ticket SocketClient::connect_loopback(bool v6, std::uint16_t port,
                                                    Callback callback) {
  SocketRequest request;
  request.verb = SocketVerb::connect;
  request.family = v6 ? 6 : 4;
  request.port = port;
  return ask(request, std::move(callback));
}

SocketClient::Ticket SocketClient::ask(SocketRequest request, Callback callback) {
  request.id = next_++;
  Result<void> sent = fail_errno("ask for a socket", "", ENOTCONN);
  if (waiting_.size() >= kMaxWaiting) {
    sent = fail_errno("ask for a socket", "", EAGAIN);
  } else if (channel_.valid()) {
    sent = send_message(channel_.get(), as_bytes_of(request));
  }
  auto delay = sent ? std::chrono::milliseconds(kTimeout) : std::chrono::milliseconds(0);
  int err = sent ? ETIMEDOUT : sent.error().err;
  auto timer = loop_.after(
      delay, [this, id = request.id, err] { finish(id, fail_errno("ask for a socket", "", err)); });
  waiting_.emplace(request.id, Waiter{std::move(callback), timer});
  return request.id;
}

void SocketClient::cancel(Ticket ticket) {
  auto node = waiting_.extract(ticket);
  if (!node.empty()) loop_.cancel(node.mapped().timer);
}

void SocketClient::on_reply() {
  auto message = receive_message(channel_.get(), sizeof(SocketReply), 1);
  if (!message && message.error().err == EAGAIN) return;
  if (!message || message->end || message->bytes.size() != sizeof(SocketReply)) {
    // The sandbox is over, or its init is not itself: no more sockets, and waiters time out.
    loop_.remove(channel_.get());
    channel_.reset();
    return;
  }
  SocketReply reply;
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  if (reply.err != 0 || message->fds.empty()) {
    int err = reply.err != 0 ? reply.err : EPROTO;
    return finish(reply.id, fail_errno("make a socket inside", "", err));
  }
  finish(reply.id, std::move(message->fds.front()));
}

void SocketClient::finish(Ticket id, Result<UniqueFd> result) {
  auto node = waiting_.extract(id);
  if (node.empty()) return;
  loop_.cancel(node.mapped().timer);
  node.mapped().callback(std::move(result));
}

}  // namespace dirbox::netns
