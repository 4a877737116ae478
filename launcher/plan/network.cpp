#include "launcher/plan/network.h"

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

}  // namespace

Result<void> compile_network(const profiles::Profile& profile, const HostFacts& facts,
                             const Command& command, Plan& plan) {
  netns::NetworkSpec& network = plan.network;
  network.mode = static_cast<netns::Mode>(profile.network_mode.value);
  plan.network_values = profiles::list_values(profile, "network");
  if (network.mode != netns::Mode::proxy) {
    // Nothing else of the section is in force.
    std::erase_if(plan.network_values, [](const auto& value) { return value.key != "mode"; });
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
