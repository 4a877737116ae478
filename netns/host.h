#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "launcher/base/result.h"

/// Names, addresses and ports as they arrive from outside, each canonicalised once. What has one of
/// these types was checked; nothing else is ever compared with a rule, looked up or dialled.
namespace dirbox::netns {

/// A DNS name in canonical form: lower-case ASCII letters, digits, hyphens and underscores, no
/// trailing dot, labels of 1..63 bytes, 253 bytes at most, and a last label that no URL or libc
/// parser takes for a part of an IPv4 address. Only parse_hostname makes one.
class Hostname {
 public:
  const std::string& text() const { return text_; }
  std::size_t label_count() const;
  /// True when this name has one or more labels in front of all the labels of `ancestor`.
  bool is_beneath(const Hostname& ancestor) const;
  auto operator<=>(const Hostname&) const = default;

 private:
  friend Result<Hostname> parse_hostname(std::string_view text);
  explicit Hostname(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// The only way from text to a name. ASCII case is folded and one trailing dot removed. Refused:
/// empty labels, over-long labels and names (RFC 1035 2.3.4), a hyphen at either end of a label
/// (RFC 952), every byte that is not LDH or '_' (so NUL, controls, space, '%', '@', ':'), and text
/// whose last label is a number ("127.1", "0x7f000001", "0177.0.0.1", "127.0.0.1."), which
/// inet_aton(3) and the URL standard read as an address. Text beyond ASCII is refused too, with the
/// hint to write the A-label ("xn--…"): mapping is where full-width dots and letters become
/// somebody else's name, and no program needs us to do it, since all of them send A-labels.
Result<Hostname> parse_hostname(std::string_view text);

/// localhost and what is beneath (RFC 6761 6.3), and what /etc/hosts of distributions calls it.
bool names_loopback(const Hostname& name);

/// An IPv4 or IPv6 address. No zone: link-local scope never leaves the host through the proxy.
class IpAddress {
 public:
  static IpAddress v4(std::array<std::uint8_t, 4> bytes);
  static IpAddress v6(const std::array<std::uint8_t, 16>& bytes);
  bool is_v4() const { return length_ == 4; }
  /// 4 or 16 bytes in network order.
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), length_}; }
  /// The IPv4 address inside ::ffff:0:0/96 (RFC 4291 2.5.5.2); any other address unchanged.
  IpAddress unmapped() const;
  /// inet_ntop(3) form, without brackets.
  std::string text() const;
  auto operator<=>(const IpAddress&) const = default;

 private:
  IpAddress() = default;
  std::array<std::uint8_t, 16> bytes_{};
  std::uint8_t length_ = 0;
};

/// Four decimal octets without leading zeros, or an RFC 4291 2.2 text form without brackets and
/// without a zone. Nothing else that inet_aton(3) would take.
Result<IpAddress> parse_ip(std::string_view text);

using Host = std::variant<Hostname, IpAddress>;

/// The host of a URL authority (RFC 3986 3.2.2): a name, a dotted quad, or "[IPv6]".
Result<Host> parse_host(std::string_view text);
/// The inverse of parse_host: IPv6 in brackets.
std::string host_text(const Host& host);

/// 1..65535 as plain decimal digits: no sign, no leading zero, no space, no service name.
Result<std::uint16_t> parse_port(std::string_view text);

struct HostPort {
  Host host;
  std::optional<std::uint16_t> port;  ///< absent where the text names none
  bool operator==(const HostPort&) const = default;
};
/// "host" or "host:port" with the host as for parse_host; "host:" is refused.
Result<HostPort> parse_host_port(std::string_view text);
/// "host:port", or "host" when `port` is `omitted_port`.
std::string host_port_text(const Host& host, std::uint16_t port, std::uint16_t omitted_port = 0);

}  // namespace dirbox::netns
