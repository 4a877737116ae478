#pragma once
#include <cstdint>
#include <string>
#include <string_view>

/// What the proxy reports: typed events, and counters per name.
namespace dirbox::netns {

enum class EventKind : std::uint8_t {
  dns_denied,  ///< a name that no rule allows was asked for; nothing was looked up
  denied,      ///< a connection was refused by policy
  failed,      ///< a connection was allowed and could not be made
  limit,       ///< a limit was reached: connections, bytes of a name
  rules,       ///< a rule set was swapped in
  fault,       ///< the proxy could not do its work; `detail` says what
};
std::string_view event_kind_name(EventKind kind);

/// How a request for a connection reached us.
enum class Via : std::uint8_t { dns, transparent, http, connect, socks, host_port, publish, none };
std::string_view via_name(Via via);

/// Why a connection was refused. The names are stable: they are in logs, headers and man pages.
enum class Cause : std::uint8_t {
  none,
  no_rule,
  deny_rule,
  port_closed,
  sni_mismatch,
  no_sni,
  ech,
  not_tls,
  bad_hello,
  host_mismatch,
  bad_request,
  upgrade,
  guarded_address,
  resolve_failed,
  connect_failed,
  timeout,
  too_many_connections,
  byte_limit,
  unknown_address,
};
std::string_view cause_name(Cause cause);
/// One sentence for people, without a full stop.
std::string_view cause_text(Cause cause);

struct Event {
  EventKind kind{};
  Via via = Via::none;
  Cause cause = Cause::none;
  std::uint16_t port = 0;
  std::int64_t time_ns = 0;  ///< CLOCK_REALTIME
  std::string host{};        ///< canonical name or address
  std::string rule{};        ///< "*.example.com"
  std::string origin{};      ///< where it stands: "a.toml:3:5"
  std::string detail{};
  std::string fix{};  ///< "--allow example.com:443"; empty when no rule would help
};

struct NameCount {
  std::string name;
  std::uint64_t connections = 0;
  std::uint64_t denied = 0;
  std::uint64_t failed = 0;
  std::uint64_t uploaded = 0;    ///< bytes from the sandbox
  std::uint64_t downloaded = 0;  ///< bytes to the sandbox
};

}  // namespace dirbox::netns
