#include "netns/proxy_process.h"

#include <fcntl.h>
#include <netdb.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>

#include "launcher/base/event_loop.h"
#include "launcher/base/sanitized.h"
#include "netns/confine.h"
#include "netns/engine.h"
#include "netns/proxy_control.h"

namespace dirbox::netns {
namespace {

constexpr int kFailed = 125;

/// Makes the C library read its configuration and load the modules for names now.
void warm_up_resolver() {
  addrinfo* list = nullptr;
  if (::getaddrinfo("localhost", nullptr, nullptr, &list) == 0) ::freeaddrinfo(list);
}

class Process {
 public:
  Process(EventLoop& loop, UniqueFd control) : loop_(loop), control_(std::move(control)) {}

  Result<void> start();
  Result<void> serve();
  void report_failure(const Error& error);

 private:
  void on_order();
  void swap_rules(const NetworkSpec& rules);
  void finish();
  void send_summary();
  bool set_blocking(bool blocking);
  bool send(const ProxyReport& report);

  EventLoop& loop_;
  UniqueFd control_;
  std::unique_ptr<Engine> engine_;
  std::uint64_t unsent_ = 0;  // events that the supervisor had no room for
};

Result<void> Process::start() {
  // splice(2) knows no MSG_NOSIGNAL, and EPIPE says the same.
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return fail_errno("ignore SIGPIPE", "");
  ProxyStart start = TRY(receive_proxy_start(control_.get()));
  TRY_VOID(apply_identity());
  Limits& limits = start.spec.limits;
  Capacity capacity = read_capacity();
  limits.max_connections = std::min(limits.max_connections, capacity.connections);
  limits.max_listeners = std::min(limits.max_listeners, capacity.listeners);
  warm_up_resolver();
  TRY_VOID(drop_privileges());
  TRY_VOID(enter_landlock());
  engine_ = TRY(Engine::make(loop_, std::move(start.spec), lookup_by_host, [this](const Event& e) {
    ProxyReport report;
    report.kind = ProxyReport::Kind::event;
    report.event = e;
    if (!send(report)) ++unsent_;
  }));
  if constexpr (!kSanitized) TRY_VOID(enter_filter());
  if (!set_blocking(false)) {
    return fail_errno("prepare the control socket", "");
  }
  TRY_VOID(engine_->serve(std::move(start.listeners), std::move(start.socket_channel)));
  return loop_.add(control_.get(), EPOLLIN, [this](std::uint32_t) { on_order(); });
}

Result<void> Process::serve() {
  ProxyReport ready;
  ready.kind = ProxyReport::Kind::ready;
  TRY_VOID(send_proxy_report(control_.get(), ready));
  return loop_.run();
}

bool Process::set_blocking(bool blocking) {
  return ::fcntl(control_.get(), F_SETFL, blocking ? O_RDWR : O_RDWR | O_NONBLOCK) == 0;
}

bool Process::send(const ProxyReport& report) {
  return send_proxy_report(control_.get(), report).has_value();
}

void Process::report_failure(const Error& error) {
  ProxyReport report;
  report.kind = ProxyReport::Kind::failed;
  report.text = error.message();
  // Nobody listens: the exit status says the same.
  if (!send(report)) return;
}

void Process::on_order() {
  auto order = receive_proxy_order(control_.get());
  if (!order && order.error().err == EAGAIN) return;
  if (!order || order->kind == ProxyOrder::Kind::gone) return loop_.stop();
  if (order->kind == ProxyOrder::Kind::finish) return finish();
  swap_rules(order->rules);
}

void Process::swap_rules(const NetworkSpec& rules) {
  auto swapped = engine_->swap_rules(rules.allow, rules.deny, rules.upgrade);
  ProxyReport report;
  report.kind = swapped ? ProxyReport::Kind::rules_accepted : ProxyReport::Kind::rules_refused;
  if (!swapped) report.text = swapped.error().message();
  // Events may have filled the socket; this answer is waited for.
  if (!set_blocking(true) || !send(report) || !set_blocking(false)) loop_.stop();
}

void Process::finish() {
  engine_->drain([this] { send_summary(); });
}

void Process::send_summary() {
  // The summary may be longer than the socket's buffer: wait for the reader.
  if (!set_blocking(true)) return loop_.stop();
  bool sent = true;
  for (const NameCount& count : engine_->summary()) {
    ProxyReport report;
    report.kind = ProxyReport::Kind::count;
    report.count = count;
    sent = sent && send(report);
  }
  ProxyReport end;
  end.kind = ProxyReport::Kind::finished;
  end.dropped_events = engine_->dropped_events() + unsent_;
  if (sent) send(end);
  loop_.stop();
}

Result<void> run(UniqueFd control) {
  EventLoop loop = TRY(EventLoop::make());
  Process process(loop, std::move(control));
  if (auto started = process.start(); !started) {
    process.report_failure(started.error());
    return started;
  }
  bool served = process.serve().has_value();
  // Here, and not with the engine gone: its threads would end by calls that the filter lacks.
  std::_Exit(served ? 0 : kFailed);
}

}  // namespace

int run_proxy(int control) { return run(UniqueFd(control)) ? 0 : kFailed; }

}  // namespace dirbox::netns
