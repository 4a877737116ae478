#include "netns/engine.h"

#include <ctime>

#include "netns/dns_server.h"

namespace dirbox::netns {
namespace {

/// As long as it takes to be woken from sleep on an idle virtual machine (30 to 50 us): who stays
/// awake no longer than that spends at most twice what the best choice of each moment would.
constexpr std::chrono::microseconds kAwake{50};

Result<std::shared_ptr<const Policy>> make_policy(std::span<const RuleText> allow,
                                                  std::span<const RuleText> deny,
                                                  std::span<const RuleText> upgrade) {
  auto policy = std::make_shared<Policy>();
  policy->rules = std::make_shared<const RuleSet>(TRY(RuleSet::make(allow, deny)));
  policy->upgrade = TRY(RuleSet::make(upgrade, {}));
  return std::shared_ptr<const Policy>(std::move(policy));
}

std::int64_t wall_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Engine::Engine(EventLoop& loop, NetworkSpec spec, EventSink sink)
    : loop_(loop),
      spec_(std::move(spec)),
      sink_(std::move(sink)),
      relay_context_{loop, pipes_, spec_.limits.idle_timeout,
                     [this](Relay& relay, Cause cause) { finish_relay(relay, cause); }},
      sessions_(loop),
      http_(loop),
      relays_(loop),
      farewells_(loop) {}

Result<std::unique_ptr<Engine>> Engine::make(EventLoop& loop, NetworkSpec spec,
                                             Resolver::Lookup lookup, EventSink sink) {
  auto engine = std::unique_ptr<Engine>(new Engine(loop, std::move(spec), std::move(sink)));
  const NetworkSpec& s = engine->spec_;
  engine->policy_ = TRY(make_policy(s.allow, s.deny, s.upgrade));
  engine->counters_ = TRY(Counters::make(s.name_limits));
  auto parents = TRY(ParentChoice::make(s.parent));
  engine->resolver_ = TRY(Resolver::make(loop, std::move(lookup)));
  engine->dialer_ =
      std::make_unique<Dialer>(loop, *engine->resolver_, engine->spec_, std::move(parents));
  engine->dns_ = std::make_unique<DnsServer>(*engine);
  engine->sockets_ = std::make_unique<SocketClient>(loop, UniqueFd());
  loop.stay_awake(kAwake);
  engine->tick_ = loop.after(std::chrono::seconds(1), [e = engine.get()] { e->tick(); });
  return engine;
}

Engine::~Engine() {
  loop_.cancel(tick_);
  loop_.cancel(drain_);
  for (const auto& listener : listeners_) {
    loop_.cancel(listener->resume);
    loop_.remove(listener->listener.fd.get());
  }
}

Result<void> Engine::swap_rules(std::span<const RuleText> allow, std::span<const RuleText> deny,
                                std::span<const RuleText> upgrade) {
  policy_ = TRY(make_policy(allow, deny, upgrade));
  ++policy_number_;
  report({.kind = EventKind::rules,
          .detail = std::to_string(policy_->rules->rules().size()) + " rules"});
  return {};
}

std::optional<Host> Engine::real_host(const Host& host) const {
  const auto* address = std::get_if<IpAddress>(&host);
  if (address == nullptr || !FakeTable::is_fake(*address)) return host;
  const Hostname* name = fakes_.find(*address);
  if (name == nullptr) return std::nullopt;
  return *name;
}

std::optional<Denial> Engine::decide(const Host& host, std::uint16_t port) const {
  Verdict verdict = policy_->rules->decide(host, port);
  if (!verdict.allowed) return make_denial(verdict, host, port);
  if (counters_.used_up(host)) return make_denial(Cause::byte_limit, host, port);
  return std::nullopt;
}

bool Engine::upgrade_allowed(const Host& host, std::uint16_t port) const {
  return policy_->upgrade.decide(host, port).allowed;
}

TlsCheck Engine::tls_check(std::uint16_t port) const {
  for (std::uint16_t checked : spec_.tls_ports) {
    if (checked == port) return spec_.tls;
  }
  return TlsCheck::off;
}

void Engine::report_denial(const Denial& denial, Via via) {
  Event event = event_of(denial, via);
  if (!denial.host.empty()) {
    NameCount& count = counters_.of_text(denial.host).count;
    ++(event.kind == EventKind::failed ? count.failed : count.denied);
  }
  report(std::move(event));
}

void Engine::report(Event event) {
  if (events_this_second_ >= kEventsPerSecond) {
    ++dropped_events_;
    return;
  }
  ++events_this_second_;
  event.time_ns = wall_clock_ns();
  sink_(event);
}

void Engine::tick() {
  tick_ = loop_.after(std::chrono::seconds(1), [this] { tick(); });
  events_this_second_ = 0;
  auto now = std::chrono::steady_clock::now();
  sessions_.for_each([&](Session& session) { session.check_deadline(now); });
  http_.for_each([&](HttpSession& session) { session.check_deadline(now); });
  relays_.for_each([&](Relay& relay) { relay.check_idle(now); });
  dns_->check_deadlines(now);
}

}  // namespace dirbox::netns
