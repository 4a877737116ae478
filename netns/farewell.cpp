#include "netns/farewell.h"

#include <sys/socket.h>

namespace dirbox::netns {

Farewell::Farewell(EventLoop& loop, UniqueFd client, std::string bytes)
    : loop_(loop), client_(std::move(client)), bytes_(std::move(bytes)) {}

Farewell::~Farewell() {
  loop_.cancel(timer_);
  loop_.remove(client_.get());
}

void Farewell::start(std::function<void(Farewell&)> finished) {
  finished_ = std::move(finished);
  auto end = [this] {
    over_ = true;
    finished_(*this);
  };
  timer_ = loop_.after(kPatience, end);
  if (!loop_.add(client_.get(), EPOLLIN | EPOLLOUT, [this](std::uint32_t) { on_ready(); })) {
    loop_.cancel(timer_);
    end();
  }
}

void Farewell::on_ready() {
  if (over_) return;
  auto end = [this] {
    over_ = true;
    loop_.remove(client_.get());
    finished_(*this);
  };
  while (sent_ < bytes_.size()) {
    ssize_t n = ::send(client_.get(), bytes_.data() + sent_, bytes_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return end();
    sent_ += static_cast<std::size_t>(n);
  }
  if (sent_ == bytes_.size() && !shut_) {
    shut_ = true;
    if (::shutdown(client_.get(), SHUT_WR) != 0) return end();
    if (!loop_.modify(client_.get(), EPOLLIN)) return end();
  }
  char sink[16 * 1024];
  while (true) {
    ssize_t n = ::recv(client_.get(), sink, sizeof sink, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return end();
    drained_ += static_cast<std::size_t>(n);
    if (drained_ > kMaxDrain) return end();
  }
}

}  // namespace dirbox::netns
