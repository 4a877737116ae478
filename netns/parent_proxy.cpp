#include "netns/parent_proxy.h"

#include <fmt/format.h>

#include "netns/rules.h"

namespace dirbox::netns {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

bool entry_covers(std::string_view entry, const Host& host, std::uint16_t port) {
  while (entry.starts_with(' ')) entry.remove_prefix(1);
  while (entry.ends_with(' ')) entry.remove_suffix(1);
  if (entry.empty()) return false;
  if (entry == "*") return true;
  if (entry.starts_with("*.")) entry.remove_prefix(2);
  if (entry.starts_with('.')) entry.remove_prefix(1);
  if (const auto* address = std::get_if<IpAddress>(&host)) {
    auto rules = parse_rules({std::string(entry), {}}, true);
    if (!rules) return false;
    for (const Rule& rule : *rules) {
      const auto* network = std::get_if<Network>(&rule.target);
      if (network != nullptr && network->contains(*address) && rule.covers(port)) return true;
    }
    return false;
  }
  auto parsed = parse_host_port(entry);
  if (!parsed || (parsed->port && *parsed->port != port)) return false;
  const auto* name = std::get_if<Hostname>(&parsed->host);
  const auto& wanted = std::get<Hostname>(host);
  return name != nullptr && (wanted == *name || wanted.is_beneath(*name));
}

}  // namespace

Result<ParentAddress> parse_parent_url(std::string_view url) {
  auto bad = [&](std::string_view detail) {
    // The operand would show a password.
    return fail("use the host's parent proxy", "HTTPS_PROXY or HTTP_PROXY", detail,
                "expected http://[user:password@]host:port");
  };
  std::string_view rest = url;
  if (auto scheme = url.find("://"); scheme != std::string_view::npos) {
    if (url.substr(0, scheme) != "http") return bad("only http:// proxies can be used");
    rest = url.substr(scheme + 3);
  }
  rest = rest.substr(0, rest.find_first_of("/?#"));
  ParentAddress out{IpAddress::v4({}), 80, {}};
  if (auto at = rest.rfind('@'); at != std::string_view::npos) {
    auto user_password = percent_decode(rest.substr(0, at));
    if (!user_password) return bad("broken percent encoding in user or password");
    out.authorization = "Basic " + base64(*user_password);
    rest = rest.substr(at + 1);
  }
  auto host_port = parse_host_port(rest);
  if (!host_port) return bad("the host or port cannot be read");
  out.host = host_port->host;
  out.port = host_port->port.value_or(80);
  return out;
}

bool no_proxy_covers(std::string_view list, const Host& host, std::uint16_t port) {
  while (!list.empty()) {
    auto comma = list.find(',');
    if (entry_covers(list.substr(0, comma), host, port)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

Result<ParentChoice> ParentChoice::make(const ParentProxy& parent) {
  ParentChoice out;
  if (!parent.https_url.empty()) out.https_ = TRY(parse_parent_url(parent.https_url));
  if (!parent.http_url.empty()) out.http_ = TRY(parse_parent_url(parent.http_url));
  out.no_proxy_ = parent.no_proxy;
  return out;
}

const ParentAddress* ParentChoice::choose(const Host& host, std::uint16_t port,
                                          bool plain_http) const {
  const auto& parent = plain_http ? http_ : https_;
  if (!parent || no_proxy_covers(no_proxy_, host, port)) return nullptr;
  return &*parent;
}

std::string encode_parent_connect(const ParentAddress& parent, const Host& host,
                                  std::uint16_t port) {
  std::string authority = host_port_text(host, port);
  std::string head = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", authority);
  if (!parent.authorization.empty()) {
    head += fmt::format("Proxy-Authorization: {}\r\n", parent.authorization);
  }
  return head + "\r\n";
}

}  // namespace dirbox::netns
