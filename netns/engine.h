#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "launcher/base/event_loop.h"
#include "netns/counters.h"
#include "netns/denial.h"
#include "netns/dialer.h"
#include "netns/fake_table.h"
#include "netns/farewell.h"
#include "netns/http_session.h"
#include "netns/keeper.h"
#include "netns/proxy_control.h"
#include "netns/relay.h"
#include "netns/session.h"
#include "netns/setup.h"
#include "netns/socket_client.h"

/// The network of one sandbox, seen from the host: listeners, sessions, relays, and what they
/// share.
///
/// Theory of operation: an accepted connection becomes a Session (or an HttpSession), which reads
/// what the client wants, asks decide(), dials, and ends as a Relay, a Farewell (a refusal that is
/// being sent), or nothing. Everything runs on one thread; only name lookups have threads.
///
/// Limits (NetworkSpec::limits, and below): Sessions and HttpSessions count as pending until they
/// relay. When max_pending are there, the oldest goes: a client that opens connections and says
/// nothing cannot keep others out. Above max_connections a connection is reset when accepted. Who
/// connects to published ports from outside gets half of them, and nobody's place.
/// Events are limited to kEventsPerSecond; what is dropped is counted.
///
/// Failure policy: what is not understood is refused. When the process dies, so do its listeners:
/// connections are refused, nothing is reached.
namespace dirbox::netns {

/// A complete rule set; replaced whole, never changed.
struct Policy {
  std::shared_ptr<const RuleSet> rules;
  RuleSet upgrade;  ///< host:port pairs that may switch protocols
};

class DnsServer;

class Engine {
 public:
  using EventSink = std::function<void(const Event&)>;
  static constexpr int kEventsPerSecond = 100;

  /// `loop` outlives the engine. Errors: rules, limits or parent proxy that do not parse.
  static Result<std::unique_ptr<Engine>> make(EventLoop& loop, NetworkSpec spec,
                                              Resolver::Lookup lookup, EventSink sink);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Takes the listeners and starts to serve. `socket_channel` leads to the sandbox's init
  /// (socket_request.h); invalid where there is none.
  Result<void> serve(ListenerSet listeners, UniqueFd socket_channel);
  /// One more transparent listener.
  Result<void> add_listener(Listener listener);
  /// Nothing inside runs any more: serves what has connected, passes on what was sent, for at most
  /// kDrainTime, then calls back, at once when there is nothing.
  void drain(std::function<void()> done);
  /// All or nothing; connections that exist are not touched.
  Result<void> swap_rules(std::span<const RuleText> allow, std::span<const RuleText> deny,
                          std::span<const RuleText> upgrade);
  std::vector<NameCount> summary() const { return counters_.summary(); }
  std::uint64_t dropped_events() const { return dropped_events_; }

  // For the sessions.
  EventLoop& loop() { return loop_; }
  Dialer& dialer() { return *dialer_; }
  FakeTable& fakes() { return fakes_; }
  SocketClient& sockets() { return *sockets_; }
  const NetworkSpec& spec() const { return spec_; }
  const Policy& policy() const { return *policy_; }
  /// Of the policy in force: a verdict of another one does not hold any more.
  std::uint64_t policy_number() const { return policy_number_; }
  NameState& name_state(const Host& host) { return counters_.of(host); }

  /// The name behind a fake address; other hosts unchanged; nullopt for a fake address that stands
  /// for nothing.
  std::optional<Host> real_host(const Host& host) const;
  /// nullopt: allowed by the rules, and by what the host's byte limits leave.
  std::optional<Denial> decide(const Host& host, std::uint16_t port) const;
  bool upgrade_allowed(const Host& host, std::uint16_t port) const;
  /// What TLS on this port must show.
  TlsCheck tls_check(std::uint16_t port) const;

  /// A transparent listener takes what comes to `port` of every IPv4 address.
  bool listens_everywhere(std::uint16_t port) const { return everywhere_.contains(port); }

  /// Logs and counts a refusal.
  void report_denial(const Denial& denial, Via via);
  void report(Event event);

  void start_session(std::unique_ptr<Session> session);
  void start_http(std::unique_ptr<HttpSession> session);
  /// `outward`: the direction of what the sandbox sends. `client_is_watched`: by the loop, for
  /// Relay::kReadable.
  void start_relay(UniqueFd client, UniqueFd upstream, NameState& name, Direction outward,
                   bool client_is_watched = false, PublishPlace place = {});
  /// Held for as long as a connection to a published port lives.
  PublishPlace publish_place() const { return published_; }
  /// Sends `bytes` and closes in good order; without bytes: resets.
  void send_farewell(UniqueFd client, std::string bytes);
  /// Closes without a reset, whatever the client still sends.
  void close_in_order(UniqueFd client);
  void retire(Session& session) { sessions_.retire(session); }
  void retire(HttpSession& session) { http_.retire(session); }

 private:
  Engine(EventLoop& loop, NetworkSpec spec, EventSink sink);
  struct Watched {
    Listener listener;
    EventLoop::TimerId resume;  // while it rests
  };
  bool accept_from(Watched& watched);
  void check_drained();
  void rest(Watched& watched);
  Result<void> watch_listener(Watched& watched);
  void take_connection(const Listener& listener, UniqueFd client);
  bool make_room(ListenerKind kind);
  void finish_relay(Relay& relay, Cause cause);
  void bid_farewell(UniqueFd client, std::string bytes);
  void tick();

  EventLoop& loop_;
  NetworkSpec spec_;
  EventSink sink_;
  std::shared_ptr<const Policy> policy_;
  std::uint64_t policy_number_ = 0;
  Counters counters_;
  FakeTable fakes_;
  PublishPlace published_ = std::make_shared<const char>();  ///< its copies are the connections
  PipePool pipes_;
  RelayContext relay_context_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<Dialer> dialer_;
  std::unique_ptr<SocketClient> sockets_;
  std::unique_ptr<DnsServer> dns_;
  std::vector<std::unique_ptr<Watched>> listeners_;
  std::set<std::uint16_t> everywhere_;
  Keeper<Session> sessions_;
  Keeper<HttpSession> http_;
  Keeper<Relay> relays_;
  Keeper<Farewell> farewells_;
  EventLoop::TimerId tick_ = 0, drain_ = 0;
  std::function<void()> drained_;
  std::chrono::steady_clock::time_point drain_until_{};
  int events_this_second_ = 0;
  std::uint64_t dropped_events_ = 0;
};

}  // namespace dirbox::netns
