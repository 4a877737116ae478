#include "launcher/supervise/network.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "launcher/base/text.h"
#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/test_skip.h"
#include "launcher/supervise/events.h"
#include "launcher/supervise/spawn_self.h"
#include "netns/counters.h"
#include "netns/setup.h"
#include "netns/socket_request.h"

namespace dirbox::supervise {
namespace {

/// Beyond what the proxy takes to pass on the last bytes.
constexpr std::chrono::milliseconds kFinishTimeout = netns::kDrainTime + std::chrono::seconds(1);

// The proxy parses hostile bytes: it gets neither all of the supervisor's time nor of its memory.
constexpr int kReportsPerTurn = 64;
constexpr std::size_t kMaxCounts = 2 * netns::Counters::kMaxNames;

}  // namespace

Network::~Network() { kill_and_reap(proxy_pid_); }

Result<void> Network::prepare(sandbox::RunOptions& options) {
  if (spec_.mode != netns::Mode::proxy) return {};
  // Then init sends no listeners, and waiting for them would never end.
  if (sandbox::is_skipped(options, "network")) return {};
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
    closed_ = true;
  }
  close_network();
}

Result<void> Network::start_proxy() {
  SocketPair pair = TRY(make_socket_pair());
  proxy_ = std::move(pair.ours);
  proxy_pid_ = TRY(spawn_self("__proxy", pair.theirs.get()));
  pair.theirs.reset();
  netns::NetworkSpec spec = spec_;
  spec.allow = grants_.allow();
  spec.deny = grants_.deny();
  TRY_VOID(netns::send_proxy_start(proxy_.get(), spec, listeners_, channel_.get()));
  if (::fcntl(proxy_.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("start the proxy", "");
  return loop_.add(proxy_.get(), EPOLLIN, [this](std::uint32_t) { on_report(); });
}

void Network::on_report() {
  for (int i = 0; i < kReportsPerTurn; ++i) {
    auto report = netns::receive_proxy_report(proxy_.get());
    if (!report) {
      return end_proxy(report.error().message());
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
      return end_proxy("it could not start: " + escape_for_terminal(report.text));
    case Kind::event:
      if (report.event.kind != netns::EventKind::rules) sink_(network_event(report.event));
      break;
    case Kind::count:
      if (counts_.size() < kMaxCounts) counts_.push_back(report.count);
      break;
    case Kind::finished:
    case Kind::gone:
      if (!finished_ && report.kind == Kind::gone) {
        complaints_.push_back("the proxy ended before the session; the network is closed");
      }
      finished_ = true;
      dropped_ += report.dropped_events;
      loop_.remove(proxy_.get());
      proxy_.reset();
      closed_ = true;
      refuse_waiting("the network is closed");
      break;
    case Kind::rules_refused:
      return end_proxy("it refused rules: " + escape_for_terminal(report.text));
    case Kind::rules_accepted: {
      if (waiting_.empty()) return end_proxy("it answered what nobody asked");
      auto done = std::move(waiting_.front());
      waiting_.pop_front();
      done({});
      break;
    }
    case Kind::ready:
      break;
  }
}

void Network::end_proxy(const std::string& why) {
  complaints_.push_back("the proxy was ended and the network is closed: " + why);
  loop_.remove(proxy_.get());
  proxy_.reset();
  ::kill(proxy_pid_, SIGKILL);
  closed_ = true;
  refuse_waiting("the network is closed");
}

void Network::refuse_waiting(const std::string& why) {
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& done : waiting) done(fail("change the rules", "", why));
}

void Network::grant(const std::string& rule, std::optional<std::chrono::seconds> duration,
                    Changed done) {
  netns::Grants next = grants_;
  std::optional<netns::Grants::Clock::time_point> until;
  if (duration) until = netns::Grants::Clock::now() + *duration;
  auto notes = next.grant(rule, until);
  if (!notes) return done(Failure(notes.error()));
  std::string what = "granted " + rule + (duration ? " for " + format_duration(*duration) : "");
  change(std::move(next), what, [notes = *notes, done = std::move(done)](Result<Notes> changed) {
    done(changed ? Result<Notes>(notes) : Failure(changed.error()));
  });
}

void Network::revoke(const std::string& rule, Changed done) {
  netns::Grants next = grants_;
  auto notes = next.revoke(rule);
  if (!notes) return done(Failure(notes.error()));
  change(std::move(next), "revoked " + rule,
         [notes = *notes, done = std::move(done)](Result<Notes> changed) {
           done(changed ? Result<Notes>(notes) : Failure(changed.error()));
         });
}

/// `next` is valid: its maker checked it.
void Network::change(netns::Grants next, const std::string& what, const Changed& done) {
  if (closed_) return done(fail("change the rules", "", "the network is closed"));
  if (proxy_.valid()) {
    auto sent = netns::send_proxy_rules(proxy_.get(), next.allow(), next.deny(), spec_.upgrade);
    if (!sent) return done(Failure(sent.error()));
    waiting_.push_back([done](Result<void> accepted) {
      done(accepted ? Result<Notes>(Notes{}) : Failure(accepted.error()));
    });
  }
  grants_ = std::move(next);
  changes_.push_back(what);
  sink_(rules_event(what));
  plan_expiry();
  if (!proxy_.valid()) done(Notes{});
}

void Network::plan_expiry() {
  loop_.cancel(expiry_);
  expiry_ = 0;
  if (auto next = grants_.next_expiry()) {
    auto left = *next - netns::Grants::Clock::now();
    auto wait =
        std::max(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(0));
    expiry_ = loop_.after(wait, [this] { on_expiry(); });
  }
}

void Network::on_expiry() {
  netns::Grants next = grants_;
  std::string over;
  for (const std::string& rule : next.expire(netns::Grants::Clock::now())) {
    over += (over.empty() ? "" : ", ") + rule;
  }
  if (over.empty()) return plan_expiry();
  // What is over must end: a proxy that cannot be told is ended.
  change(std::move(next), "over: " + over, [this](const Result<Notes>& changed) {
    if (!changed && proxy_.valid()) end_proxy(changed.error().message());
  });
}

/// What connected and ended before the loop came to know of it.
void Network::serve_late_connections() {
  std::vector<pollfd> waiting;
  for (const netns::Listener& listener : listeners_) {
    bool names = listener.kind == netns::ListenerKind::dns_udp ||
                 listener.kind == netns::ListenerKind::dns_tcp;
    if (!names) waiting.push_back({listener.fd.get(), POLLIN, 0});
  }
  if (!waiting.empty() && ::poll(waiting.data(), waiting.size(), 0) > 0) on_listener();
}

void Network::finish() {
  loop_.cancel(expiry_);
  serve_late_connections();
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
