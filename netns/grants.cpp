#include "netns/grants.h"

#include <fmt/format.h>

#include <algorithm>

#include "netns/setup.h"

namespace dirbox::netns {
namespace {

constexpr std::uint16_t kFirstUnprivilegedPort = 1024;

constexpr const char* kGrant = "dirbox grant";
constexpr const char* kRevoke = "dirbox revoke";

RuleText run_time_text(std::string text, bool deny) {
  return {std::move(text), {deny ? kRevoke : kGrant, 0, 0}};
}

bool overlap(const std::vector<PortRange>& a, const std::vector<PortRange>& b) {
  return subtract_ports(a, b) != a;
}

/// The only host that a rule names; nullopt for a wildcard and a network.
std::optional<Host> single_host(const Rule& rule) {
  if (const auto* pattern = std::get_if<NamePattern>(&rule.target)) {
    if (pattern->wildcard) return std::nullopt;
    return pattern->name;
  }
  const auto& network = std::get<Network>(rule.target);
  if (network.prefix_bits != network.address.bytes().size() * 8) return std::nullopt;
  return network.address;
}

/// Every host that `rule`, a wildcard or a network, names, ports aside.
bool names_all_of(const Rule& outer, const Rule& rule) {
  if (const auto* network = std::get_if<Network>(&rule.target)) {
    const auto* within = std::get_if<Network>(&outer.target);
    return within != nullptr && within->contains(*network);
  }
  const Hostname& name = std::get<NamePattern>(rule.target).name;
  const auto* pattern = std::get_if<NamePattern>(&outer.target);
  return pattern != nullptr && pattern->wildcard &&
         (pattern->name == name || name.is_beneath(pattern->name));
}

/// What `set` allows of the ports of `rule`, which names a single host.
bool allows_some(const RuleSet& set, const Rule& rule, const Host& host) {
  if (const auto* name = std::get_if<Hostname>(&host))
    return overlap(set.ports_of(*name), rule.ports);
  return std::any_of(rule.ports.begin(), rule.ports.end(), [&](const PortRange& range) {
    for (std::uint32_t port = range.first; port <= range.last; ++port) {
      if (set.decide(host, static_cast<std::uint16_t>(port)).allowed) return true;
    }
    return false;
  });
}

}  // namespace

/// Rules have one range each in their texts, so that what is left becomes an entry per range.
/// Returns what was taken, in the same form.
std::vector<Grants::Entry> Grants::take_out(std::vector<Entry>& entries, const Rule& rule) {
  std::vector<Entry> kept, taken;
  auto part_of = [](const Entry& entry, const PortRange& range) {
    Entry part{entry.rule, {}, entry.until};
    part.rule.ports = {range};
    part.text = part.rule.text();
    return part;
  };
  for (Entry& entry : entries) {
    if (entry.rule.target != rule.target || !overlap(entry.rule.ports, rule.ports)) {
      kept.push_back(std::move(entry));
      continue;
    }
    auto left = subtract_ports(entry.rule.ports, rule.ports);
    for (const PortRange& range : left) kept.push_back(part_of(entry, range));
    for (const PortRange& range : subtract_ports(entry.rule.ports, left))
      taken.push_back(part_of(entry, range));
  }
  entries = std::move(kept);
  return taken;
}

Result<void> Grants::check_lifted(const Rule& rule, const RuleSet& set) const {
  const Rule* refused_by = nullptr;
  if (std::optional<Host> host = single_host(rule)) {
    if (allows_some(set, rule, *host)) return {};
    refused_by = set.decide(*host, rule.ports.front().first).rule;
  } else {
    std::vector<PortRange> left = rule.ports;
    for (const Rule& other : set.rules()) {
      if (!other.deny || !names_all_of(other, rule)) continue;
      if (refused_by == nullptr) refused_by = &other;
      left = subtract_ports(left, other.ports);
    }
    if (!left.empty()) return {};
  }
  if (refused_by == nullptr) return fail("grant", rule.text(), "a deny rule refuses it");
  const std::string by = refused_by->text(), origin = refused_by->origin.text();
  return fail("grant", rule.text(), fmt::format("deny {} ({}) refuses it", by, origin),
              origin == kRevoke ? "grant " + by + ", which was revoked"
                                : "only a start without that rule lifts it");
}

void Grants::note_unreachable(const Rule& rule, const RuleSet& start, Notes& notes) const {
  std::string way = start_->proxy_port != 0
                        ? fmt::format("through the explicit proxy (port {}) only until a restart",
                                      start_->proxy_port)
                        : "after a restart only";
  if (const auto* network = std::get_if<Network>(&rule.target)) {
    auto routed = start.networks();
    bool covered = std::any_of(routed.begin(), routed.end(), [&](const Rule* known) {
      return std::get<Network>(known->target).contains(*network);
    });
    if (!covered) {
      notes.push_back(fmt::format("{}: no route inside: reached {}", rule.text(), way));
      return;
    }
  }
  std::vector<PortRange> at_start = start.ports();
  for (const PortRange& range : subtract_ports(rule.ports, at_start)) {
    for (std::uint32_t port = range.first; port <= range.last && port < kFirstUnprivilegedPort;
         ++port) {
      if (is_standard_port(static_cast<std::uint16_t>(port))) continue;
      notes.push_back(
          fmt::format("{}: nothing listens on port {} inside: reached {}", rule.text(), port, way));
      return;
    }
  }
}

Result<Grants::Notes> Grants::grant(std::string_view rule, std::optional<Clock::time_point> until) {
  RuleText text = run_time_text(std::string(rule), false);
  std::vector<Rule> rules = TRY(parse_rules(text, false));
  Grants next = *this;
  for (const Rule& one : rules) {
    take_out(next.granted_, one);
    std::vector<Entry> lifted = take_out(next.revoked_, one);
    next.granted_.push_back({one, one.text(), until});
    if (!until) continue;
    for (Entry& entry : lifted) {
      entry.until = until;
      next.revoked_.push_back(std::move(entry));
    }
  }
  RuleSet set = TRY(RuleSet::make(next.allow(), next.deny()));
  RuleSet start = TRY(RuleSet::make(start_->allow, start_->deny));
  Notes notes;
  for (const Rule& one : rules) {
    if (one.bundle.empty()) TRY_VOID(check_lifted(one, set));
    note_unreachable(one, start, notes);
  }
  *this = std::move(next);
  return notes;
}

Result<Grants::Notes> Grants::revoke(std::string_view rule) {
  RuleText text = run_time_text(std::string(rule), true);
  std::vector<Rule> rules = TRY(parse_rules(text, true));
  Grants next = *this;
  for (const Rule& one : rules) {
    take_out(next.granted_, one);
    take_out(next.revoked_, one);
  }
  RuleSet set = TRY(RuleSet::make(next.allow(), next.deny()));
  Notes notes;
  for (const Rule& one : rules) {
    std::optional<Host> host = single_host(one);
    if (!host || allows_some(set, one, *host)) next.revoked_.push_back({one, one.text(), {}});
  }
  TRY_VOID(RuleSet::make(next.allow(), next.deny()));
  notes.push_back("connections that exist stay");
  *this = std::move(next);
  return notes;
}

std::vector<std::string> Grants::expire(Clock::time_point now) {
  std::vector<std::string> over;
  auto gone = std::remove_if(granted_.begin(), granted_.end(), [&](const Entry& entry) {
    if (!entry.until || *entry.until > now) return false;
    over.push_back(entry.text);
    return true;
  });
  granted_.erase(gone, granted_.end());
  for (Entry& entry : revoked_) {
    if (entry.until && *entry.until <= now) entry.until.reset();
  }
  return over;
}

std::optional<Grants::Clock::time_point> Grants::next_expiry() const {
  std::optional<Clock::time_point> next;
  for (const Entry& entry : granted_) {
    if (entry.until && (!next || *entry.until < *next)) next = entry.until;
  }
  return next;
}

std::vector<RuleText> Grants::allow() const {
  std::vector<RuleText> out = start_->allow;
  for (const Entry& entry : granted_) out.push_back(run_time_text(entry.text, false));
  return out;
}

std::vector<RuleText> Grants::deny() const {
  std::vector<RuleText> out;
  for (const Entry& entry : revoked_) {
    if (!entry.until) out.push_back(run_time_text(entry.text, true));
  }
  out.insert(out.end(), start_->deny.begin(), start_->deny.end());
  return out;
}

std::vector<Grants::Listed> Grants::list() const {
  std::vector<Listed> out;
  for (const RuleText& text : deny()) out.push_back({text, true, {}});
  for (const RuleText& text : start_->allow) out.push_back({text, false, {}});
  for (const Entry& entry : granted_)
    out.push_back({run_time_text(entry.text, false), false, entry.until});
  return out;
}

}  // namespace dirbox::netns
