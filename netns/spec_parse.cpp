#include <arpa/inet.h>

#include <optional>

#include "netns/host.h"
#include "netns/spec.h"

/// The forms of NetworkSpec's parts on the command line.
namespace dirbox::netns {
namespace {

bool is_address(const std::string& text) {
  unsigned char buffer[16];
  return ::inet_pton(AF_INET, text.c_str(), buffer) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

/// "addr:port" or "[v6]:port", split; nullopt when there is no port.
std::optional<std::pair<std::string, std::string_view>> split_address(std::string_view text) {
  if (text.starts_with('[')) {
    auto close = text.find("]:");
    if (close == std::string_view::npos) return std::nullopt;
    return std::pair(std::string(text.substr(1, close - 1)), text.substr(close + 2));
  }
  auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return std::pair(std::string(text.substr(0, colon)), text.substr(colon + 1));
}

}  // namespace

Result<NetMap> parse_net_map(std::string_view text) {
  auto bad = [&] {
    return fail("read --net-map", text, "expected name:port=address:port",
                "for example allowed.test:443=127.0.0.1:8443");
  };
  auto equals = text.find('=');
  if (equals == std::string_view::npos) return bad();
  auto left = split_address(text.substr(0, equals));
  auto right = split_address(text.substr(equals + 1));
  if (!left || !right || left->first.empty() || !is_address(right->first)) return bad();
  auto port = parse_port(left->second);
  auto address_port = parse_port(right->second);
  if (!port || !address_port) return bad();
  // As host_text writes it: with brackets around IPv6.
  auto ip = parse_ip(left->first);
  std::string name = ip ? host_text(*ip) : TRY(parse_hostname(left->first)).text();
  return NetMap{name, *port, right->first, *address_port};
}

Result<PortForward> parse_port_forward(std::string_view text) {
  auto colon = text.find(':');
  auto inside = parse_port(text.substr(0, colon));
  auto outside = colon == std::string_view::npos ? inside : parse_port(text.substr(colon + 1));
  if (!inside || !outside) {
    return fail("read --host-port", text, "expected PORT or INSIDE:OUTSIDE, each 1-65535");
  }
  return PortForward{*inside, *outside};
}

Result<Publish> parse_publish(std::string_view text) {
  auto bad = [&] {
    return fail("read --publish", text, "expected [ADDRESS:]PORT or [ADDRESS:]OUTSIDE:INSIDE");
  };
  Publish out;
  std::string_view ports = text;
  auto split = split_address(text);
  if (split && is_address(split->first)) {
    out.address = split->first;
    ports = split->second;
  }
  auto colon = ports.find(':');
  auto outside = parse_port(ports.substr(0, colon));
  auto inside = colon == std::string_view::npos ? outside : parse_port(ports.substr(colon + 1));
  if (!outside || !inside) return bad();
  out.outside = *outside;
  out.inside = *inside;
  return out;
}

}  // namespace dirbox::netns
