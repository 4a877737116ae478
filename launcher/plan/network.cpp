#include "launcher/plan/network.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"
#include "netns/rules.h"
#include "profiles/show.h"

namespace dirbox::plan {
namespace {

std::vector<netns::RuleText> rule_texts(const std::vector<profiles::Entry>& entries) {
  std::vector<netns::RuleText> texts;
  texts.reserve(entries.size());
  for (const profiles::Entry& entry : entries) texts.push_back({entry.text, entry.origin});
  return texts;
}

/// What the profile gives up of the checks on TLS.
void announce_tls(const profiles::Profile& profile, Plan& plan) {
  using netns::TlsCheck;
  auto announce = [&](const char* text, const Origin& origin) {
    plan.waivers.push_back({text, origin});
  };
  if (profile.net_tls.value == TlsCheck::off) {
    announce("tls: off, a connection may be for another name than the allowed one",
             profile.net_tls.origin);
  } else if (profile.net_tls.value == TlsCheck::allow_no_sni) {
    announce("tls: a connection without a server name may be for another name than the allowed one",
             profile.net_tls.origin);
  }
  if (profile.net_allow_ech.value) {
    announce("allow_ech: the name of a connection may be hidden", profile.net_allow_ech.origin);
  }
  if (profile.net_allow_non_tls.value) {
    announce("allow_non_tls: what is no TLS passes unchecked", profile.net_allow_non_tls.origin);
  }
}

bool overlap(const netns::NamePattern& a, const netns::NamePattern& b) {
  if (a.wildcard && b.wildcard) return a.name == b.name || a.matches(b.name) || b.matches(a.name);
  if (a.wildcard) return a.matches(b.name);
  return b.wildcard ? b.matches(a.name) : a.name == b.name;
}

/// A limit of a name that no rule allows limits nothing: most likely it is misspelled. `dirbox
/// grant` may still allow it.
Result<void> warn_of_idle_limits(const profiles::Profile& profile, Plan& plan) {
  if (profile.net_limits.empty()) return {};
  const netns::RuleSet rules = TRY(netns::RuleSet::make(plan.network.allow, {}));
  std::vector<netns::NamePattern> allowed;
  std::vector<std::string> texts;
  for (const netns::Rule& rule : rules.rules()) {
    const auto* pattern = std::get_if<netns::NamePattern>(&rule.target);
    if (pattern == nullptr) continue;
    allowed.push_back(*pattern);
    texts.push_back((pattern->wildcard ? "*." : "") + netns::host_text(pattern->name));
  }
  for (const profiles::NameLimit& limit : profile.net_limits) {
    const bool wildcard = limit.name.starts_with("*.");
    auto name = netns::parse_hostname(std::string_view(limit.name).substr(wildcard ? 2 : 0));
    if (!name) {
      return fail("limit a name", limit.origin.text(), name.error().detail,
                  "network.limits takes a host or *.host, without a port");
    }
    const netns::NamePattern pattern{*name, wildcard};
    if (std::any_of(allowed.begin(), allowed.end(),
                    [&](const auto& rule) { return overlap(pattern, rule); }))
      continue;
    plan.warnings.push_back({fmt::format("network.limits: no rule of allow names {}{}", limit.name,
                                         did_you_mean(limit.name, {texts.begin(), texts.end()})),
                             limit.origin});
  }
  return {};
}

/// Where a file grants what the mode, set there or in one that it extends, leaves without effect. A
/// file that closes the network of what it extends means that.
void warn_of_closed(const profiles::Profile& profile, Plan& plan) {
  struct List {
    const char* key;
    const std::vector<profiles::Entry>& entries;
  };
  const List lists[] = {{"allow", profile.net_allow},
                        {"upgrade", profile.net_upgrade},
                        {"host_ports", profile.host_ports},
                        {"publish", profile.publish}};
  const auto at = [&](const Origin& origin) {
    return std::find(profile.chain.begin(), profile.chain.end(), origin.file);
  };
  const Origin& mode = profile.network_mode.origin;
  const auto closed = mode.file.empty() ? profile.chain.begin() : at(mode);
  for (const List& list : lists) {
    const auto idle =
        std::find_if(list.entries.begin(), list.entries.end(), [&](const profiles::Entry& entry) {
          return at(entry.origin) != profile.chain.end() && at(entry.origin) >= closed;
        });
    if (idle == list.entries.end()) continue;
    plan.warnings.push_back(
        {fmt::format("network.{}: {} has no effect, for network.mode is \"{}\"{}", list.key,
                     escape_for_terminal(idle->text),
                     profile.network_mode.value == profiles::NetworkMode::host ? "host" : "none",
                     mode.file.empty() ? "" : " (" + mode.text() + ")"),
         idle->origin});
  }
}

}  // namespace

Result<void> compile_network(const profiles::Profile& profile, const HostFacts& facts,
                             const Command& command, Plan& plan) {
  netns::NetworkSpec& network = plan.network;
  network.mode = static_cast<netns::Mode>(profile.network_mode.value);
  plan.network_values = profiles::list_values(profile, "network");
  if (network.mode != netns::Mode::proxy) {
    // Nothing else of the section is in force.
    std::erase_if(plan.network_values, [](const auto& value) { return value.key != "mode"; });
    warn_of_closed(profile, plan);
    return {};
  }
  network.session = facts.session;
  network.allow = rule_texts(profile.net_allow);
  network.deny = rule_texts(profile.net_deny);
  network.upgrade = rule_texts(profile.net_upgrade);
  network.tls = profile.net_tls.value;
  announce_tls(profile, plan);
  for (const profiles::Entry& entry : profile.net_tls_ports) {
    network.tls_ports.push_back(TRY(netns::parse_port(entry.text)));
  }
  network.allow_ech = profile.net_allow_ech.value;
  network.allow_non_tls = profile.net_allow_non_tls.value;
  network.proxy_port = static_cast<std::uint16_t>(profile.net_proxy_port.value);
  network.set_environment = profile.net_proxy_variables.value;
  for (const profiles::Entry& entry : profile.host_ports) {
    network.host_ports.push_back(TRY(netns::parse_port_forward(entry.text)));
  }
  for (const profiles::Entry& entry : profile.publish) {
    network.publish.push_back(TRY(netns::parse_publish(entry.text)));
  }
  for (const profiles::NameLimit& limit : profile.net_limits) {
    network.name_limits.push_back({limit.name, limit.max_upload, limit.max_download, limit.rate});
  }
  TRY_VOID(warn_of_idle_limits(profile, plan));
  network.net_map = command.net_map;
  auto pick = [&](const char* lower, const char* upper) {
    std::string_view value = facts.variable(lower);
    return std::string(value.empty() ? facts.variable(upper) : value);
  };
  network.parent = {pick("https_proxy", "HTTPS_PROXY"), pick("http_proxy", "HTTP_PROXY"),
                    pick("no_proxy", "NO_PROXY")};
  return {};
}

}  // namespace dirbox::plan
