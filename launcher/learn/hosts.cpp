#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "launcher/learn/lesson.h"
#include "netns/bundles.h"
#include "netns/host.h"
#include "netns/rules.h"
#include "profiles/text_rules.h"

namespace dirbox::learn {
namespace {

using netns::Hostname;

constexpr std::size_t kEnoughForBundle = 2;
constexpr std::size_t kEnoughForWildcard = 3;

/// Names below which everybody can have one: a wildcard would let strangers in. The registries of
/// countries are refused by check_allow_rule.
constexpr std::string_view kHostedForAll[] = {"amazonaws.com",
                                              "s3.amazonaws.com",
                                              "cloudfront.net",
                                              "elasticbeanstalk.com",
                                              "azurewebsites.net",
                                              "azureedge.net",
                                              "windows.net",
                                              "core.windows.net",
                                              "blob.core.windows.net",
                                              "cloudapp.net",
                                              "appspot.com",
                                              "run.app",
                                              "web.app",
                                              "firebaseapp.com",
                                              "firebaseio.com",
                                              "googleapis.com",
                                              "storage.googleapis.com",
                                              "googleusercontent.com",
                                              "github.io",
                                              "githubusercontent.com",
                                              "gitlab.io",
                                              "bitbucket.io",
                                              "codeberg.page",
                                              "pages.dev",
                                              "workers.dev",
                                              "r2.dev",
                                              "vercel.app",
                                              "netlify.app",
                                              "herokuapp.com",
                                              "fly.dev",
                                              "onrender.com",
                                              "railway.app",
                                              "deno.dev",
                                              "surge.sh",
                                              "glitch.me",
                                              "repl.co",
                                              "ngrok.io",
                                              "ngrok.app",
                                              "ngrok-free.app",
                                              "trycloudflare.com",
                                              "loca.lt",
                                              "duckdns.org",
                                              "dyndns.org",
                                              "blogspot.com",
                                              "wordpress.com",
                                              "readthedocs.io",
                                              "digitaloceanspaces.com",
                                              "backblazeb2.com",
                                              "fastly.net",
                                              "akamaihd.net",
                                              "b-cdn.net",
                                              "supabase.co",
                                              "myshopify.com",
                                              "atlassian.net",
                                              "sharepoint.com",
                                              "zendesk.com"};

/// What is wanted of one name.
struct Wanted {
  std::set<std::uint16_t> ports;  ///< other than 80 and 443
  bool web = false;               ///< 80 or 443, or a port that nobody knows
  std::set<std::string> why;
};
using Names = std::map<std::string, Wanted>;

std::string join(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!word.empty()) text += (text.empty() ? "" : "; ") + word;
  }
  return text;
}

Grant make_grant(std::string text, std::string why) {
  Grant grant;
  grant.list = List::allow;
  grant.text = std::move(text);
  grant.why = std::move(why);
  return grant;
}

/// The names that `bundle` allows for the web.
std::vector<std::string> find_members(std::string_view bundle, const Names& names) {
  const netns::RuleText rule{fmt::format("@{}", bundle), {}};
  auto rules = netns::RuleSet::make(std::span(&rule, 1), {});
  std::vector<std::string> members;
  if (!rules) return members;
  for (const auto& [text, wanted] : names) {
    auto name = netns::parse_hostname(text);
    if (wanted.web && name && rules->decide(*name, 443).allowed) members.push_back(text);
  }
  return members;
}

/// Bundles take the names that they have, the one with the most first.
void take_bundles(Names& names, std::vector<Grant>& grants) {
  for (;;) {
    std::string_view best;
    std::vector<std::string> most;
    for (std::string_view bundle : netns::bundle_names()) {
      auto members = find_members(bundle, names);
      if (members.size() <= most.size()) continue;
      best = bundle;
      most = std::move(members);
    }
    if (most.size() < kEnoughForBundle) return;
    std::string why;
    for (const std::string& name : most) {
      why += (why.empty() ? "" : ", ") + name;
      names[name].web = false;
    }
    grants.push_back(make_grant(fmt::format("@{}", best), why));
  }
}

/// `*.parent`, where it may stand in an allow list and names nobody else.
std::string wildcard_over(const std::string& name) {
  const std::size_t dot = name.find('.');
  if (dot == name.npos) return {};
  const std::string parent = name.substr(dot + 1);
  const bool for_all = std::find(std::begin(kHostedForAll), std::end(kHostedForAll), parent) !=
                       std::end(kHostedForAll);
  const std::string wildcard = "*." + parent;
  return for_all || profiles::check_allow_rule(wildcard) ? std::string() : wildcard;
}

void take_wildcards(Names& names, std::vector<Grant>& grants) {
  std::map<std::string, std::vector<std::string>> families;
  for (const auto& [name, wanted] : names) {
    if (!wanted.web || !netns::parse_hostname(name)) continue;
    if (std::string wildcard = wildcard_over(name); !wildcard.empty())
      families[wildcard].push_back(name);
  }
  for (const auto& [wildcard, members] : families) {
    if (members.size() < kEnoughForWildcard) continue;
    std::string why;
    for (const std::string& name : members) {
      why += (why.empty() ? "" : ", ") + name;
      names[name].web = false;
    }
    grants.push_back(make_grant(wildcard, why));
  }
}

}  // namespace

std::vector<Grant> generalise_hosts(const std::vector<HostNeed>& needs) {
  Names names;
  for (const HostNeed& need : needs) {
    auto parsed = netns::parse_host_port(need.host);
    if (!parsed) continue;
    Wanted& wanted = names[netns::host_text(parsed->host)];
    wanted.why.insert(need.why);
    if (!parsed->port || *parsed->port == 80 || *parsed->port == 443) {
      wanted.web = true;
    } else {
      wanted.ports.insert(*parsed->port);
    }
  }
  std::vector<Grant> grants;
  take_bundles(names, grants);
  take_wildcards(names, grants);
  for (const auto& [name, wanted] : names) {
    if (wanted.web) grants.push_back(make_grant(name, join(wanted.why)));
    for (std::uint16_t port : wanted.ports) {
      grants.push_back(make_grant(fmt::format("{}:{}", name, port), join(wanted.why)));
    }
  }
  return grants;
}

}  // namespace dirbox::learn
