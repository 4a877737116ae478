#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netns/host.h"
#include "netns/spec.h"

/// The proxy that the host itself must use, from its HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
namespace dirbox::netns {

struct ParentAddress {
  Host host;
  std::uint16_t port = 0;
  std::string authorization;  ///< value of Proxy-Authorization, or empty
};

/// "http://[user[:password]@]host[:port][/]"; "host:port" alone counts as http. Port 3128 and https
/// schemes are not guessed: https:// and socks URLs are errors that say so, for we do not speak
/// them. User and password are percent-decoded (RFC 3986 2.1).
Result<ParentAddress> parse_parent_url(std::string_view url);

/// NO_PROXY: comma-separated names (which cover everything beneath them, with or without a leading
/// dot or "*."), addresses, networks, each with an optional port; "*" is everything.
bool no_proxy_covers(std::string_view list, const Host& host, std::uint16_t port);

/// Which parent, if any, a connection goes through.
class ParentChoice {
 public:
  ParentChoice() = default;
  static Result<ParentChoice> make(const ParentProxy& parent);
  /// For a tunnel (CONNECT) or for plain HTTP; nullptr for a direct connection.
  const ParentAddress* choose(const Host& host, std::uint16_t port, bool plain_http) const;

 private:
  std::optional<ParentAddress> https_, http_;
  std::string no_proxy_;
};

/// The head of a CONNECT request.
std::string encode_parent_connect(const ParentAddress& parent, const Host& host,
                                  std::uint16_t port);

}  // namespace dirbox::netns
