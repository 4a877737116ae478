#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "launcher/base/origin.h"
#include "netns/host.h"

/// Which host:port may be reached. A RuleSet is an immutable value; granting and revoking at run
/// time means making another one and swapping it in whole.
///
///     rule     = host [":" port ["-" port]] | network [":" …] | "@" bundle
///     host     = name | "*." name
///     network  = IPv4 ["/" bits] | IPv6 ["/" bits] | "[" IPv6 ["/" bits] "]" (needed with a port)
///
/// * `*.name` matches one or more labels in front of `name`; not `name` itself, which takes a rule
///   of its own. A '*' anywhere else is refused, and so is a wildcard in `allow` over a single
///   label
///   (`*.com`) or over a country's registry (`*.co.uk`): it would name strangers.
/// * Without a port a rule of `allow` means 80 and 443; a rule of `deny` means every port.
/// * `deny` is looked at first, whatever the order of writing and however specific the `allow`.
/// * A name is never compared with a network, and the resolved address of an allowed name never
///   makes or breaks a name rule of `allow`; a network in `deny` holds for resolved addresses too
///   (address_guard.h).
/// * IPv4-mapped IPv6 addresses count as the IPv4 address.
namespace dirbox::netns {

struct PortRange {
  std::uint16_t first = 1;
  std::uint16_t last = 65535;
  bool contains(std::uint16_t port) const { return first <= port && port <= last; }
  auto operator<=>(const PortRange&) const = default;
};

/// `from` without `minus`, both sorted and disjoint.
std::vector<PortRange> subtract_ports(const std::vector<PortRange>& from,
                                      const std::vector<PortRange>& minus);

struct Network {
  IpAddress address;  ///< bits beyond the prefix are zero
  std::uint8_t prefix_bits;
  bool contains(const IpAddress& other) const;
  bool contains(const Network& other) const;
  std::string text() const;  ///< "10.0.0.0/8"; without "/32" and "/128"
  bool operator==(const Network&) const = default;
};

struct NamePattern {
  Hostname name;
  bool wildcard = false;  ///< "*.name"
  bool matches(const Hostname& host) const;
  bool operator==(const NamePattern&) const = default;
};

struct Rule {
  std::variant<NamePattern, Network> target;
  std::vector<PortRange> ports;  ///< sorted, disjoint, not empty
  bool deny = false;
  std::string bundle;  ///< "npm" when it came out of @npm, else empty
  Origin origin;

  bool covers(std::uint16_t port) const;
  /// Canonical form that parse_rules reads back: "*.example.com:8000-8010", "@npm" is expanded.
  std::string text() const;
};

/// One rule as written, and where.
struct RuleText {
  std::string text;
  Origin origin;
  bool operator==(const RuleText&) const = default;
};

/// One rule; a bundle gives several. `deny` selects the meaning of an absent port. Errors name
/// the origin and say what to write instead (a URL, a path, an address in octal…).
Result<std::vector<Rule>> parse_rules(const RuleText& text, bool deny);

enum class Reason {
  allowed,      ///< `rule` allows it
  denied,       ///< `rule` is a deny rule
  no_rule,      ///< nothing names this host
  port_closed,  ///< `rule` allows the host, no rule allows this port of it
};
std::string_view reason_name(Reason reason);

struct Verdict {
  bool allowed = false;
  const Rule* rule = nullptr;  ///< owned by the RuleSet; nullptr for no_rule
  Reason reason = Reason::no_rule;
};

class RuleSet {
 public:
  static constexpr std::size_t kMaxRules = 4096;

  /// An empty set, which allows nothing.
  RuleSet() = default;
  /// Fails on the first rule that does not parse, and above kMaxRules rules.
  static Result<RuleSet> make(std::span<const RuleText> allow, std::span<const RuleText> deny);

  Verdict decide(const Hostname& host, std::uint16_t port) const;
  Verdict decide(const IpAddress& address, std::uint16_t port) const;
  Verdict decide(const Host& host, std::uint16_t port) const;

  /// The verdict for the name on whatever port: allowed when at least one port is. For DNS.
  Verdict name_allowed(const Hostname& host) const;
  /// The ports that `decide` allows for the name, sorted and disjoint.
  std::vector<PortRange> ports_of(const Hostname& host) const;
  /// Every port that some allow rule names, for names and networks; sorted and disjoint.
  std::vector<PortRange> ports() const;

  /// Allow rules with a network target: what needs routes of its own.
  std::vector<const Rule*> networks() const;
  /// The deny rule that covers an address to be dialled, or nullptr.
  const Rule* denies(const IpAddress& address, std::uint16_t port) const;
  /// In order of writing, deny rules first.
  const std::vector<Rule>& rules() const { return rules_; }

 private:
  template <class Subject>
  Verdict decide_any(const Subject& subject, std::uint16_t port) const;
  std::vector<Rule> rules_;
};

}  // namespace dirbox::netns
