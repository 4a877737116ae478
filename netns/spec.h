#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/base/result.h"
#include "netns/rules.h"

/// What the network of one sandbox is: the value that the plan holds, `setup` and the proxy act
/// on, and `show` prints. Plain data; rules stay text here and are parsed where they are enforced.
namespace dirbox::netns {

enum class Mode {
  none,   ///< loopback only: no listener, no proxy
  proxy,  ///< names that a rule allows
  host,   ///< the host's own network namespace: nothing of netns/ runs
};

/// What TLS connections must show before bytes are relayed (`tls` in a profile).
enum class TlsCheck {
  require,       ///< TLS, with an SNI equal to the name, and no Encrypted Client Hello
  allow_no_sni,  ///< TLS; an SNI, when there is one, equals the name
  off,           ///< any bytes
};

/// Byte limits of one allowed name; 0: no limit. `name` is a host or "*.host" as in rules.
struct NameLimits {
  std::string name;
  std::uint64_t max_upload = 0;    ///< bytes from the sandbox in the session, all connections
  std::uint64_t max_download = 0;  ///< bytes to the sandbox in the session, all connections
  std::uint64_t rate = 0;          ///< bytes per second, both directions together
  bool operator==(const NameLimits&) const = default;
};

/// Test seam: `name:port` is dialled at `address:address_port`, past resolution and address guard.
/// The caller accepts this only with DIRBOX_TEST=1 in the environment.
struct NetMap {
  std::string name;
  std::uint16_t port = 0;
  std::string address;  ///< numeric, v4 or v6
  std::uint16_t address_port = 0;
  bool operator==(const NetMap&) const = default;
};

/// A port of the host made reachable inside, or the reverse.
struct PortForward {
  std::uint16_t inside = 0;   ///< on 127.0.0.1 and ::1 inside
  std::uint16_t outside = 0;  ///< on the host's 127.0.0.1
  bool operator==(const PortForward&) const = default;
};
struct Publish {
  std::string address = "127.0.0.1";  ///< numeric host address; the supervisor listens there
  std::uint16_t outside = 0;          ///< 0: the kernel chooses
  std::uint16_t inside = 0;           ///< connected on 127.0.0.1 inside, then on ::1
  bool operator==(const Publish&) const = default;
};

/// The parent proxy of the host's environment, empty when there is none.
struct ParentProxy {
  std::string https_url;  ///< HTTPS_PROXY: "http://[user:password@]host[:port]"
  std::string http_url;   ///< HTTP_PROXY
  std::string no_proxy;   ///< NO_PROXY
  bool operator==(const ParentProxy&) const = default;
};

struct Limits {
  std::uint32_t max_connections = 12'000;  ///< relayed and pending together
  std::uint32_t max_pending = 2'000;       ///< connections without a verdict
  std::uint32_t max_listeners = 4'096;     ///< for ports from 1024 on, made on request
  std::chrono::seconds header_timeout{15};
  std::chrono::seconds connect_timeout{10};
  std::chrono::seconds resolve_timeout{10};
  std::chrono::seconds idle_timeout{3600};  ///< relays without a byte in either direction
  bool operator==(const Limits&) const = default;
};

struct NetworkSpec {
  Mode mode = Mode::none;
  std::string session;  ///< what `dirbox grant` takes, for texts
  std::vector<RuleText> allow, deny;
  /// Allow rules again, for whose host and port HTTP Upgrade passes (WebSocket over plain HTTP).
  std::vector<RuleText> upgrade;
  std::vector<NameLimits> name_limits;
  std::vector<NetMap> net_map;
  TlsCheck tls = TlsCheck::require;
  std::vector<std::uint16_t> tls_ports{443};  ///< ports on which `tls` is checked
  bool allow_ech = false;                     ///< accept an Encrypted Client Hello
  bool allow_non_tls = false;                 ///< accept what is no TLS on a checked port
  std::uint16_t proxy_port = 3128;            ///< explicit proxy on 127.0.0.1; 0: none
  bool set_environment = true;                ///< proxy variables for programs (proxy_environment)
  std::vector<PortForward> host_ports;
  std::vector<Publish> publish;
  ParentProxy parent;
  Limits limits;
  bool operator==(const NetworkSpec&) const = default;
};

/// One environment variable that points programs at the explicit proxy, and why it is there.
struct ProxyVariable {
  std::string name;
  std::string value;
  std::string why;
};
/// The variables for `spec`, empty when the mode, the port or `set_environment` says so.
std::vector<ProxyVariable> proxy_environment(const NetworkSpec& spec);

Json spec_to_json(const NetworkSpec& spec);
/// Errors name the member. Unknown members are errors.
Result<NetworkSpec> spec_from_json(const Json& json);

/// "name:port=addr:port" (the address may be "[v6]").
Result<NetMap> parse_net_map(std::string_view text);
/// "8080", "inside:outside".
Result<PortForward> parse_port_forward(std::string_view text);
/// "3000", "outside:inside", "127.0.0.1:3000" (same port inside), "address:outside:inside",
/// "[v6]:outside:inside".
Result<Publish> parse_publish(std::string_view text);

}  // namespace dirbox::netns
