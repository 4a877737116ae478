#include "launcher/supervise/network.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "launcher/base/text.h"
#include "launcher/base/unix_socket.h"
#include "netns/setup.h"
#include "netns/socket_request.h"

namespace dirbox::supervise {
namespace {

constexpr std::chrono::milliseconds kFinishTimeout{1000};
constexpr std::size_t kMaxRemembered = 200;

/// `dirbox __proxy CONTROL`: the same file as this process, with an empty environment.
Result<pid_t> spawn_proxy(int control) {
  constexpr int kControl = 3;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (::posix_spawn_file_actions_init(&actions) != 0 || ::posix_spawnattr_init(&attributes) != 0) {
    return fail_errno("start the proxy", "", ENOMEM);
  }
  sigset_t none;
  sigemptyset(&none);
  int err = ::posix_spawn_file_actions_adddup2(&actions, control, kControl);
  // Terminal signals are for the command: the proxy has a process group of its own.
  if (err == 0)
    err = ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  if (err == 0) err = ::posix_spawnattr_setsigmask(&attributes, &none);
  if (err == 0) err = ::posix_spawnattr_setpgroup(&attributes, 0);
  pid_t pid = -1;
  char name[] = "dirbox", verb[] = "__proxy", fd[] = "3";
  char* argv[] = {name, verb, fd, nullptr};
  char* environment[] = {nullptr};
  if (err == 0)
    err = ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv, environment);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (err != 0) return fail_errno("start the proxy", "/proc/self/exe", err);
  return pid;
}

}  // namespace

Network::~Network() {
  if (proxy_pid_ > 0) {
    ::kill(proxy_pid_, SIGKILL);
    while (::waitpid(proxy_pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

Result<void> Network::prepare(sandbox::RunOptions& options) {
  if (spec_.mode != netns::Mode::proxy) return {};
  netns::ListenerSet published = TRY(netns::make_publish_listeners(spec_));
  for (netns::Listener& listener : published) listeners_.push_back(std::move(listener));
  SocketPair pair = TRY(make_socket_pair());
  channel_ = std::move(pair.ours);
  init_channel_ = std::move(pair.theirs);
  options.network.channel = init_channel_.get();
  options.network.setup = [this](int channel) -> Result<void> {
    netns::ListenerSet made = TRY(netns::make_listeners(spec_));
    return netns::send_listeners(channel, made);
  };
  options.network.serve = netns::serve_socket_request;
  return {};
}

Result<void> Network::receive_listeners() {
  if (!channel_.valid()) return {};
  init_channel_.reset();
  netns::ListenerSet made = TRY(netns::receive_listeners(channel_.get()));
  for (netns::Listener& listener : made) listeners_.push_back(std::move(listener));
  for (const netns::Listener& listener : listeners_) {
    TRY_VOID(loop_.add(listener.fd.get(), EPOLLIN, [this](std::uint32_t) { on_listener(); }));
  }
  return {};
}

void Network::close_network() {
  for (const netns::Listener& listener : listeners_) loop_.remove(listener.fd.get());
  listeners_.clear();
  channel_.reset();
}

void Network::on_listener() {
  auto started = start_proxy();
  if (!started) {
    complaints_.push_back(started.error().message() + "; the network is closed");
    proxy_.reset();
  }
  close_network();
}

Result<void> Network::start_proxy() {
  SocketPair pair = TRY(make_socket_pair());
  proxy_ = std::move(pair.ours);
  proxy_pid_ = TRY(spawn_proxy(pair.theirs.get()));
  pair.theirs.reset();
  TRY_VOID(netns::send_proxy_start(proxy_.get(), spec_, listeners_, channel_.get()));
  if (::fcntl(proxy_.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("start the proxy", "");
  return loop_.add(proxy_.get(), EPOLLIN, [this](std::uint32_t) { on_report(); });
}

void Network::on_report() {
  for (;;) {
    auto report = netns::receive_proxy_report(proxy_.get());
    if (!report) {
      complaints_.push_back(report.error().message() +
                            "; the proxy was ended and the network is closed");
      loop_.remove(proxy_.get());
      proxy_.reset();
      ::kill(proxy_pid_, SIGKILL);
      return;
    }
    if (!*report) return;
    handle(**report);
    if (!proxy_.valid()) return;
  }
}

void Network::handle(const netns::ProxyReport& report) {
  using Kind = netns::ProxyReport::Kind;
  switch (report.kind) {
    case Kind::failed:
      complaints_.push_back("the proxy could not start: " + escape_for_terminal(report.text) +
                            "; the network is closed");
      break;
    case Kind::event:
      remember(report.event);
      break;
    case Kind::count:
      counts_.push_back(report.count);
      break;
    case Kind::finished:
    case Kind::gone:
      if (!finished_ && report.kind == Kind::gone) {
        complaints_.push_back("the proxy ended before the session; the network is closed");
      }
      finished_ = true;
      loop_.remove(proxy_.get());
      proxy_.reset();
      break;
    case Kind::ready:
    case Kind::rules_accepted:
    case Kind::rules_refused:
      break;
  }
}

void Network::remember(const netns::Event& event) {
  using Kind = netns::EventKind;
  if (event.kind != Kind::dns_denied && event.kind != Kind::denied && event.kind != Kind::limit &&
      event.kind != Kind::fault) {
    return;
  }
  auto same = std::find_if(denied_.begin(), denied_.end(), [&](const Denied& d) {
    return d.event.kind == event.kind && d.event.host == event.host && d.event.port == event.port &&
           d.event.cause == event.cause;
  });
  if (same != denied_.end()) {
    ++same->times;
  } else if (denied_.size() < kMaxRemembered) {
    denied_.push_back({event, 1});
  }
}

void Network::finish() {
  close_network();
  if (!proxy_.valid()) return;
  if (auto asked = netns::send_proxy_finish(proxy_.get()); !asked) {
    complaints_.push_back(asked.error().message());
    return;
  }
  auto deadline = EventLoop::Clock::now() + kFinishTimeout;
  while (proxy_.valid() && EventLoop::Clock::now() < deadline) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - EventLoop::Clock::now());
    if (auto done = loop_.run_once(left); !done) {
      complaints_.push_back(done.error().message());
      return;
    }
  }
}

}  // namespace dirbox::supervise
