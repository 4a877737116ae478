#include "launcher/supervise/docker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>

#include "launcher/base/text.h"
#include "launcher/base/unix_socket.h"
#include "launcher/supervise/events.h"
#include "launcher/supervise/spawn_self.h"

namespace dirbox::supervise {
namespace {

constexpr int kReportsPerTurn = 64;  // what is inside chooses how many there are

}  // namespace

Docker::~Docker() { stop(); }

void Docker::take_listener(UniqueFd listener) {
  listener_ = std::move(listener);
  auto watched = loop_.add(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_listener(); });
  if (!watched) close(watched.error().message());
}

void Docker::on_listener() {
  used_ = true;
  auto started = start_filter();
  loop_.remove(listener_.get());
  listener_.reset();
  if (!started) close(started.error().message());
}

Result<void> Docker::start_filter() {
  SocketPair pair = TRY(make_socket_pair());
  control_ = std::move(pair.ours);
  pid_ = TRY(spawn_self("__docker", pair.theirs.get()));
  pair.theirs.reset();
  TRY_VOID(docker::send_start(control_.get(), spec_, listener_.get()));
  if (::fcntl(control_.get(), F_SETFL, O_NONBLOCK) != 0)
    return fail_errno("start the docker filter", "");
  return loop_.add(control_.get(), EPOLLIN, [this](std::uint32_t) { on_report(); });
}

void Docker::on_report() {
  for (int i = 0; i < kReportsPerTurn; ++i) {
    auto report = docker::receive_report(control_.get());
    if (!report) return close(report.error().message());
    if (!*report) return;
    using Kind = docker::Report::Kind;
    switch ((*report)->kind) {
      case Kind::ready:
        break;
      case Kind::refused:
      case Kind::unserved:
        sink_(docker_event(**report));
        break;
      case Kind::left:
        break;
      case Kind::failed:
        return close("it could not start: " + escape_for_terminal((*report)->text));
      case Kind::gone:
        return close("it ended before the session");
    }
  }
}

void Docker::close(const std::string& why) {
  complaints_.push_back("the docker filter: " + why + "; docker is closed");
  stop();
}

void Docker::finish() {
  if (control_.valid() && pid_ > 0) hear_last();
  stop();
}

/// Past messages of the filter come before its last one.
void Docker::hear_last() {
  constexpr std::chrono::milliseconds kPatience{1500};
  const auto end = EventLoop::Clock::now() + kPatience;
  if (::shutdown(control_.get(), SHUT_WR) != 0) return;
  for (;;) {
    auto report = docker::receive_report(control_.get());
    if (!report) return;
    using Kind = docker::Report::Kind;
    if (*report && (*report)->kind == Kind::gone) return;
    if (*report && ((*report)->kind == Kind::refused || (*report)->kind == Kind::unserved))
      sink_(docker_event(**report));
    if (*report && (*report)->kind == Kind::left) {
      if (!(*report)->text.empty()) {
        complaints_.push_back(
            "docker: still running, with a directory of the sandbox that nobody "
            "watches now: " +
            escape_for_terminal((*report)->text));
      }
      return;
    }
    if (*report) continue;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - EventLoop::Clock::now());
    pollfd source{control_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&source, 1, static_cast<int>(left.count())) <= 0) return;
  }
}

void Docker::stop() {
  if (listener_.valid()) loop_.remove(listener_.get());
  listener_.reset();
  if (control_.valid()) loop_.remove(control_.get());
  control_.reset();
  kill_and_reap(pid_);
  pid_ = -1;
}

}  // namespace dirbox::supervise
