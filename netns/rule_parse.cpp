#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "launcher/base/text.h"
#include "netns/address_guard.h"
#include "netns/bundles.h"
#include "netns/rules.h"
#include "netns/socket_request.h"

namespace dirbox::netns {
namespace {

/// Labels under which country registries sell names, as in "co.uk". Heuristic, and enough: the
/// point is a typo or a haste that would name a whole country.
constexpr std::array<std::string_view, 14> kRegistryLabels = {
    "ac", "co", "com", "edu", "gen", "go", "gob", "gov", "ltd", "mil", "ne", "net", "or", "org"};

struct Writing {
  const RuleText& source;
  bool deny;

  Failure refuse(std::string_view detail, std::string_view hint = {}) const {
    return fail("read network rule", source.origin.text(),
                fmt::format("\"{}\": {}", escape_for_terminal(source.text.substr(0, 300)), detail),
                hint);
  }
  /// The same with what a parser of host.h said.
  Failure refuse(const Error& error) const { return refuse(error.detail, error.hint); }
};

constexpr std::string_view kHostPortHint =
    "a port of the host's loopback is opened by network.host_ports, or --host-port PORT";

/// What no connection could ever use is refused where it is written.
Result<void> check_reachable(const Network& network, const Writing& writing) {
  if (auto never = never_opened(network)) {
    bool loopback = classify_address(network.address).address_class == AddressClass::loopback;
    return writing.refuse(*never + ", which no rule opens", loopback ? kHostPortHint : "");
  }
  constexpr std::array<std::uint8_t, 4> kFake = {kFakeNetwork >> 24, kFakeNetwork >> 16 & 0xff};
  if (Network{IpAddress::v4(kFake), kFakePrefixLength}.contains(network))
    return writing.refuse("these addresses stand for names inside", "write the name");
  return {};
}

/// "https://user@x:1/y?z" -> "x": for hints only.
std::string_view host_of_url(std::string_view text) {
  std::size_t scheme = text.find("://");
  if (scheme != std::string_view::npos) text.remove_prefix(scheme + 3);
  text = text.substr(0, text.find_first_of("/?#"));
  std::size_t at = text.rfind('@');
  if (at != std::string_view::npos) text.remove_prefix(at + 1);
  return text.substr(0, text.find(':'));
}

std::string host_alone_hint(std::string_view text) {
  return "write the host alone: " + escape_for_terminal(host_of_url(text));
}

/// Only the shape that parse_rules hands over: digits without a leading zero.
std::optional<unsigned> parse_bits(std::string_view text) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  unsigned value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value;
}

IpAddress masked(const IpAddress& address, unsigned bits) {
  std::array<std::uint8_t, 16> bytes{};
  std::copy(address.bytes().begin(), address.bytes().end(), bytes.begin());
  for (unsigned i = 0; i < bytes.size(); ++i) {
    unsigned keep = bits <= i * 8 ? 0 : std::min(8U, bits - i * 8);
    bytes[i] &= static_cast<std::uint8_t>(0xff00 >> keep);
  }
  if (address.is_v4()) return IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]});
  return IpAddress::v6(bytes);
}

Result<Network> parse_network(std::string_view text, const Writing& writing) {
  std::size_t slash = text.find('/');
  auto address = parse_ip(text.substr(0, slash));
  if (!address) return writing.refuse(address.error());
  if (address->unmapped() != *address)
    return writing.refuse("an IPv4-mapped address",
                          "write the IPv4 address: " + address->unmapped().text());
  unsigned width = static_cast<unsigned>(address->bytes().size() * 8), bits = width;
  if (slash != std::string_view::npos) {
    auto parsed = parse_bits(text.substr(slash + 1));
    if (!parsed || *parsed > width)
      return writing.refuse(fmt::format("the prefix is not a number from 0 to {}", width));
    bits = *parsed;
  }
  Network network{masked(*address, bits), static_cast<std::uint8_t>(bits)};
  if (network.address != *address)
    return writing.refuse("bits are set beyond the prefix", "write " + network.text());
  if (!writing.deny) TRY_VOID(check_reachable(network, writing));
  return network;
}

Result<NamePattern> parse_pattern(std::string_view text, const Writing& writing) {
  bool wildcard = text.starts_with("*.");
  std::string_view name = wildcard ? text.substr(2) : text;
  if (text == "*")
    return writing.refuse("a rule for every name", "name the hosts, as in *.example.com");
  if (name.find('*') != std::string_view::npos)
    return writing.refuse("'*' stands for whole labels in front of a name, once",
                          "write *.example.com");
  auto host = parse_hostname(name);
  if (!host) return writing.refuse(host.error());
  if (!writing.deny && names_loopback(*host))
    return writing.refuse("the sandbox has a loopback of its own", kHostPortHint);
  if (wildcard && !writing.deny) {
    const std::string& last = host->text();
    std::size_t dot = last.find('.');
    bool registry = host->label_count() == 2 && last.size() - dot == 3 &&
                    std::find(kRegistryLabels.begin(), kRegistryLabels.end(),
                              std::string_view(last).substr(0, dot)) != kRegistryLabels.end();
    if (host->label_count() == 1 || registry)
      return writing.refuse("a wildcard over a whole registry",
                            "name the domain below it, as in *.example." + last);
  }
  return NamePattern{std::move(*host), wildcard};
}

Result<std::vector<PortRange>> parse_ports(std::optional<std::string_view> text,
                                           const Writing& writing) {
  if (!text) {
    if (writing.deny) return std::vector<PortRange>{{1, 65535}};
    return std::vector<PortRange>{{80, 80}, {443, 443}};
  }
  std::size_t dash = text->find('-');
  auto first = parse_port(text->substr(0, dash));
  auto last = dash == std::string_view::npos ? first : parse_port(text->substr(dash + 1));
  if (!first || !last)
    return writing.refuse("the port is not a number from 1 to 65535, nor a range of two",
                          "write host:443 or host:8000-8010");
  if (*first > *last) return writing.refuse("the port range ends before it starts");
  return std::vector<PortRange>{{*first, *last}};
}

struct Parts {
  std::string_view host;
  std::optional<std::string_view> ports;
  bool network = false;  ///< known by its punctuation
};

Result<Parts> split(std::string_view text, const Writing& writing) {
  if (text.starts_with('[')) {
    std::size_t close = text.find(']');
    if (close == std::string_view::npos) return writing.refuse("'[' without ']'");
    std::string_view inner = text.substr(1, close - 1), rest = text.substr(close + 1);
    if (inner.find(':') == std::string_view::npos) return writing.refuse("brackets are for IPv6");
    if (rest.empty()) return Parts{inner, std::nullopt, true};
    if (rest.front() != ':') return writing.refuse("after ']' only :port may follow");
    return Parts{inner, rest.substr(1), true};
  }
  std::size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    return Parts{text, std::nullopt, text.find('/') != std::string_view::npos};
  if (text.find(':', colon + 1) != std::string_view::npos) return Parts{text, std::nullopt, true};
  std::string_view host = text.substr(0, colon);
  return Parts{host, text.substr(colon + 1), host.find('/') != std::string_view::npos};
}

using Target = decltype(Rule::target);

template <class T>
Result<Target> to_target(Result<T> parsed) {
  return Target(TRY(std::move(parsed)));
}

Result<Rule> parse_one(std::string_view text, const Writing& writing) {
  if (text.empty()) return writing.refuse("an empty rule");
  if (text.find("://") != std::string_view::npos)
    return writing.refuse("a rule is a host, not a URL", host_alone_hint(text));
  if (text.find_first_of("@?#\\") != std::string_view::npos)
    return writing.refuse("a rule is a host, without user, query or path", host_alone_hint(text));
  Parts parts = TRY(split(text, writing));
  std::size_t slash = parts.host.find('/');
  bool has_address = parse_ip(parts.host.substr(0, slash)).has_value();
  if (slash != std::string_view::npos && !has_address &&
      parts.host.find(':') == std::string_view::npos)
    return writing.refuse("a rule cannot name a path", host_alone_hint(text));
  if (parts.ports && parts.ports->find('/') != std::string_view::npos)
    return writing.refuse("a rule cannot name a path", host_alone_hint(text));
  std::vector<PortRange> ports = TRY(parse_ports(parts.ports, writing));
  bool is_network = parts.network || has_address;
  Target target = TRY(is_network ? to_target(parse_network(parts.host, writing))
                                 : to_target(parse_pattern(parts.host, writing)));
  return Rule{std::move(target), std::move(ports), writing.deny, {}, writing.source.origin};
}

}  // namespace

Result<std::vector<Rule>> parse_rules(const RuleText& text, bool deny) {
  Writing writing{text, deny};
  std::vector<Rule> rules;
  if (!text.text.starts_with('@')) {
    rules.push_back(TRY(parse_one(text.text, writing)));
    return rules;
  }
  std::string_view name = std::string_view(text.text).substr(1);
  std::span<const BundleRow> rows = find_bundle(name);
  if (rows.empty()) {
    // With the @: without it the suggestion would be a rule for a host of that name.
    std::vector<std::string> names;
    for (std::string_view known : bundle_names()) names.push_back("@" + std::string(known));
    return writing.refuse("no such bundle" + did_you_mean(text.text, {names.begin(), names.end()}),
                          fmt::format("bundles: @{}", fmt::join(bundle_names(), " @")));
  }
  for (const BundleRow& row : rows) {
    rules.push_back(TRY(parse_one(row.rule, writing)));
    rules.back().bundle = row.bundle;
  }
  return rules;
}

}  // namespace dirbox::netns
