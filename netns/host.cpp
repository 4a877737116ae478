#include "netns/host.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

namespace dirbox::netns {
namespace {

constexpr std::size_t kMaxName = 253;  // RFC 1035 2.3.4, without the length bytes at the ends
constexpr std::size_t kMaxLabel = 63;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.';
}

/// True for a last label that the URL standard ("ends in a number") or inet_aton(3) reads as a
/// part of an IPv4 address: digits, or "0x" with any number of hexadecimal digits.
bool is_number(std::string_view label) {
  if (label.starts_with("0x"))
    return std::all_of(label.begin() + 2, label.end(), [](char c) { return is_hex(c); });
  return std::all_of(label.begin(), label.end(), is_digit);
}

Failure bad_name(std::string_view text, std::string_view detail, std::string_view hint = {}) {
  constexpr std::size_t kShown = 260;
  return fail("parse host name", text.substr(0, kShown), detail, hint);
}

Result<void> check_label(std::string_view label, std::string_view text) {
  if (label.empty()) return bad_name(text, "an empty label");
  if (label.size() > kMaxLabel) return bad_name(text, "a label of more than 63 bytes");
  if (label.front() == '-' || label.back() == '-')
    return bad_name(text, "a label that starts or ends with a hyphen");
  return {};
}

}  // namespace

std::size_t Hostname::label_count() const {
  return 1 + static_cast<std::size_t>(std::count(text_.begin(), text_.end(), '.'));
}

bool Hostname::is_beneath(const Hostname& ancestor) const {
  const std::string& name = ancestor.text_;
  return text_.size() > name.size() + 1 && text_.ends_with(name) &&
         text_[text_.size() - name.size() - 1] == '.';
}

Result<Hostname> parse_hostname(std::string_view text) {
  std::string name(text.substr(0, kMaxName + 2));
  if (name.ends_with('.')) name.pop_back();
  if (name.empty()) return bad_name(text, "an empty name");
  if (name.size() > kMaxName) return bad_name(text, "more than 253 bytes");
  std::transform(name.begin(), name.end(), name.begin(), lower);
  for (char c : name) {
    if (is_name_char(c)) continue;
    if (static_cast<unsigned char>(c) >= 0x80)
      return bad_name(text, "a byte beyond ASCII", "write the A-label of the name, xn--…");
    return bad_name(text, fmt::format("byte 0x{:02x} cannot be part of a name", c));
  }
  std::string_view rest = name;
  while (true) {
    std::size_t dot = rest.find('.');
    TRY_VOID(check_label(rest.substr(0, dot), text));
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (is_number(rest))
    return bad_name(text, "a number as the last label: an address, but not a dotted quad",
                    "write an address as four decimal numbers, or as IPv6");
  return Hostname(std::move(name));
}

bool names_loopback(const Hostname& name) {
  constexpr std::string_view kNames[] = {"localhost", "localhost.localdomain", "ip6-localhost",
                                         "ip6-loopback"};
  return name.text().ends_with(".localhost") ||
         std::find(std::begin(kNames), std::end(kNames), name.text()) != std::end(kNames);
}

IpAddress IpAddress::v4(std::array<std::uint8_t, 4> bytes) {
  IpAddress address;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  address.length_ = 4;
  return address;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) {
  IpAddress address;
  address.bytes_ = bytes;
  address.length_ = 16;
  return address;
}

IpAddress IpAddress::unmapped() const {
  constexpr std::array<std::uint8_t, 12> kPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (is_v4() || !std::equal(kPrefix.begin(), kPrefix.end(), bytes_.begin())) return *this;
  return v4({bytes_[12], bytes_[13], bytes_[14], bytes_[15]});
}

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN];
  return inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), buffer, sizeof buffer) ?: "";
}

namespace {

/// inet_pton(3) takes leading zeros in some C libraries.
bool is_dotted_quad(std::string_view text) {
  int octets = 0;
  while (true) {
    std::size_t dot = text.find('.');
    std::string_view octet = text.substr(0, dot);
    ++octets;
    if (octet.empty() || octet.size() > 3 || (octet.size() > 1 && octet[0] == '0') ||
        !std::all_of(octet.begin(), octet.end(), is_digit))
      return false;
    if (dot == std::string_view::npos) return octets == 4;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

Result<IpAddress> parse_ip(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN] = {};
  auto refuse = [&] {
    return fail("parse address", text.substr(0, 64), "neither a dotted quad nor an IPv6 address");
  };
  if (text.size() >= sizeof buffer) return refuse();
  bool v6 = text.find(':') != std::string_view::npos;
  if (!std::all_of(text.begin(), text.end(),
                   [](char c) { return is_hex(c) || c == '.' || c == ':'; }))
    return refuse();
  std::copy(text.begin(), text.end(), buffer);
  if (v6) {
    std::size_t dot = text.find('.');
    if (dot != std::string_view::npos && !is_dotted_quad(text.substr(text.rfind(':') + 1)))
      return refuse();
    std::array<std::uint8_t, 16> bytes;
    if (inet_pton(AF_INET6, buffer, bytes.data()) != 1) return refuse();
    return IpAddress::v6(bytes);
  }
  std::array<std::uint8_t, 4> bytes;
  if (!is_dotted_quad(text) || inet_pton(AF_INET, buffer, bytes.data()) != 1) return refuse();
  return IpAddress::v4(bytes);
}

Result<Host> parse_host(std::string_view text) {
  if (text.starts_with('[')) {
    if (text.size() < 2 || text.back() != ']')
      return fail("parse host", text.substr(0, 64), "'[' without ']' at the end");
    IpAddress address = TRY(parse_ip(text.substr(1, text.size() - 2)));
    if (address.is_v4()) return fail("parse host", text, "brackets are for IPv6");
    return Host(address);
  }
  if (is_dotted_quad(text)) return Host(TRY(parse_ip(text)));
  return Host(TRY(parse_hostname(text)));
}

std::string host_text(const Host& host) {
  if (const Hostname* name = std::get_if<Hostname>(&host)) return name->text();
  const IpAddress& address = std::get<IpAddress>(host);
  return address.is_v4() ? address.text() : "[" + address.text() + "]";
}

Result<std::uint16_t> parse_port(std::string_view text) {
  auto refuse = [&] {
    return fail("parse port", text.substr(0, 16), "not a number from 1 to 65535");
  };
  if (text.empty() || text.size() > 5 || text[0] == '0' ||
      !std::all_of(text.begin(), text.end(), is_digit))
    return refuse();
  unsigned value = 0;
  for (char c : text) value = value * 10 + static_cast<unsigned>(c - '0');
  if (value > 65535) return refuse();
  return static_cast<std::uint16_t>(value);
}

Result<HostPort> parse_host_port(std::string_view text) {
  std::size_t colon =
      text.find(':', text.starts_with('[') ? std::min(text.find(']'), text.size()) : 0);
  Host host = TRY(parse_host(text.substr(0, colon)));
  if (colon == std::string_view::npos) return HostPort{std::move(host), std::nullopt};
  std::uint16_t port = TRY(parse_port(text.substr(colon + 1)));
  return HostPort{std::move(host), port};
}

std::string host_port_text(const Host& host, std::uint16_t port, std::uint16_t omitted_port) {
  std::string text = host_text(host);
  if (port != omitted_port) text += fmt::format(":{}", port);
  return text;
}

}  // namespace dirbox::netns
