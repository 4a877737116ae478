#include "netns/rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace dirbox::netns {
namespace {

std::vector<PortRange> merge_ports(std::vector<PortRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<PortRange> out;
  for (const PortRange& range : ranges) {
    if (!out.empty() && range.first <= static_cast<std::uint32_t>(out.back().last) + 1)
      out.back().last = std::max(out.back().last, range.last);
    else
      out.push_back(range);
  }
  return out;
}

bool matches(const Rule& rule, const Hostname& host) {
  const NamePattern* pattern = std::get_if<NamePattern>(&rule.target);
  return pattern && pattern->matches(host);
}

bool matches(const Rule& rule, const IpAddress& address) {
  const Network* network = std::get_if<Network>(&rule.target);
  return network && network->contains(address);
}

std::string ports_text(const std::vector<PortRange>& ports, bool deny) {
  bool is_default = deny ? ports == std::vector<PortRange>{{1, 65535}}
                         : ports == std::vector<PortRange>{{80, 80}, {443, 443}};
  if (is_default) return "";
  const PortRange& range = ports.front();  // the grammar has one range per rule
  return range.first == range.last ? fmt::format(":{}", range.first)
                                   : fmt::format(":{}-{}", range.first, range.last);
}

}  // namespace

std::vector<PortRange> subtract_ports(const std::vector<PortRange>& from,
                                      const std::vector<PortRange>& minus) {
  std::vector<PortRange> out;
  for (const PortRange& range : from) {
    std::uint32_t next = range.first;
    for (const PortRange& hole : minus) {
      if (hole.last < next || hole.first > range.last) continue;
      if (hole.first > next)
        out.push_back(
            {static_cast<std::uint16_t>(next), static_cast<std::uint16_t>(hole.first - 1)});
      next = static_cast<std::uint32_t>(hole.last) + 1;
    }
    if (next <= range.last) out.push_back({static_cast<std::uint16_t>(next), range.last});
  }
  return out;
}

bool Network::contains(const IpAddress& other) const {
  IpAddress plain = other.unmapped();
  if (plain.is_v4() != address.is_v4()) return false;
  auto ours = address.bytes(), theirs = plain.bytes();
  std::size_t whole = prefix_bits / 8, rest = prefix_bits % 8;
  if (!std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(whole), theirs.begin()))
    return false;
  return rest == 0 || (ours[whole] ^ theirs[whole]) >> (8 - rest) == 0;
}

bool Network::contains(const Network& other) const {
  return other.prefix_bits >= prefix_bits && contains(other.address) &&
         other.address.is_v4() == address.is_v4();
}

std::string Network::text() const {
  bool single = prefix_bits == address.bytes().size() * 8;
  return single ? address.text() : fmt::format("{}/{}", address.text(), prefix_bits);
}

bool NamePattern::matches(const Hostname& host) const {
  return wildcard ? host.is_beneath(name) : host == name;
}

bool Rule::covers(std::uint16_t port) const {
  return std::any_of(ports.begin(), ports.end(),
                     [&](const PortRange& range) { return range.contains(port); });
}

std::string Rule::text() const {
  std::string port = ports_text(ports, deny);
  if (const NamePattern* pattern = std::get_if<NamePattern>(&target))
    return (pattern->wildcard ? "*." : "") + pattern->name.text() + port;
  const Network& network = std::get<Network>(target);
  bool brackets = !network.address.is_v4() && !port.empty();
  return (brackets ? "[" + network.text() + "]" : network.text()) + port;
}

std::string_view reason_name(Reason reason) {
  switch (reason) {
    case Reason::allowed:
      return "allowed";
    case Reason::denied:
      return "denied";
    case Reason::no_rule:
      return "no-rule";
    case Reason::port_closed:
      return "port-closed";
  }
  return "unknown";
}

Result<RuleSet> RuleSet::make(std::span<const RuleText> allow, std::span<const RuleText> deny) {
  RuleSet set;
  for (bool is_deny : {true, false}) {
    for (const RuleText& text : is_deny ? deny : allow) {
      std::vector<Rule> rules = TRY(parse_rules(text, is_deny));
      std::move(rules.begin(), rules.end(), std::back_inserter(set.rules_));
      if (set.rules_.size() > kMaxRules)
        return fail("read network rules", text.origin.text(),
                    fmt::format("more than {} rules", kMaxRules),
                    "use wildcards, networks and port ranges");
    }
  }
  return set;
}

template <class Subject>
Verdict RuleSet::decide_any(const Subject& subject, std::uint16_t port) const {
  Verdict verdict;
  for (const Rule& rule : rules_) {
    if (!matches(rule, subject)) continue;
    if (rule.covers(port)) return {!rule.deny, &rule, rule.deny ? Reason::denied : Reason::allowed};
    if (!rule.deny && !verdict.rule) verdict = {false, &rule, Reason::port_closed};
  }
  return verdict;
}

Verdict RuleSet::decide(const Hostname& host, std::uint16_t port) const {
  return decide_any(host, port);
}

Verdict RuleSet::decide(const IpAddress& address, std::uint16_t port) const {
  return decide_any(address, port);
}

Verdict RuleSet::decide(const Host& host, std::uint16_t port) const {
  return std::visit([&](const auto& subject) { return decide(subject, port); }, host);
}

Verdict RuleSet::name_allowed(const Hostname& host) const {
  const Rule* denied = nullptr;
  const Rule* allowed = nullptr;
  for (const Rule& rule : rules_) {
    if (!matches(rule, host)) continue;
    const Rule*& first = rule.deny ? denied : allowed;
    if (!first) first = &rule;
  }
  if (!allowed) return denied ? Verdict{false, denied, Reason::denied} : Verdict{};
  if (denied && ports_of(host).empty()) return {false, denied, Reason::denied};
  return {true, allowed, Reason::allowed};
}

std::vector<PortRange> RuleSet::ports_of(const Hostname& host) const {
  std::vector<PortRange> open, closed;
  for (const Rule& rule : rules_) {
    if (!matches(rule, host)) continue;
    std::vector<PortRange>& list = rule.deny ? closed : open;
    list.insert(list.end(), rule.ports.begin(), rule.ports.end());
  }
  return subtract_ports(merge_ports(std::move(open)), merge_ports(std::move(closed)));
}

std::vector<PortRange> RuleSet::ports() const {
  std::vector<PortRange> all;
  for (const Rule& rule : rules_)
    if (!rule.deny) all.insert(all.end(), rule.ports.begin(), rule.ports.end());
  return merge_ports(std::move(all));
}

std::vector<const Rule*> RuleSet::networks() const {
  std::vector<const Rule*> out;
  for (const Rule& rule : rules_)
    if (!rule.deny && std::holds_alternative<Network>(rule.target)) out.push_back(&rule);
  return out;
}

const Rule* RuleSet::denies(const IpAddress& address, std::uint16_t port) const {
  for (const Rule& rule : rules_)
    if (rule.deny && matches(rule, address) && rule.covers(port)) return &rule;
  return nullptr;
}

}  // namespace dirbox::netns
