#include <cerrno>
#include <set>

#include "launcher/verify/context.h"
#include "netns/rules.h"

/// The network of mode proxy: its names, and what its proxy lets through.
namespace dirbox::verify {
namespace {

constexpr const char* kA = "1";
constexpr const char* kTls = "443";  // always among tls_ports
constexpr const char* kHttp = "80";

/// True where the sandbox has no proxy, which is said.
bool has_none(Context& context, std::string_view subject) {
  if (const Origin* origin = network_waiver(context); origin != nullptr) {
    context.add(subject, Verdict::waived, "the host's network", *origin);
  } else if (context.plan().network.mode == netns::Mode::proxy) {
    return false;
  } else {
    context.add(subject, Verdict::absent, "there is no network");
  }
  return true;
}

std::string proxy_port(const Context& context) {
  return std::to_string(context.plan().network.proxy_port);
}

/// The fake address inside of a name.
Outcome look_up(Context& context, const std::string& name, const char* type = kA,
                const char* transport = "udp") {
  return context.inside("dns", {"127.0.0.1", name, type, transport});
}

bool is_fake(const std::string& address) {
  return address.starts_with("198.18.") || address.starts_with("198.19.");
}

/// What must not come to the servers outside: their count tells. `control` is the like that does.
void judge_stopped(Context& context, std::string_view subject, const Outcome& got, unsigned before,
                   const Outcome& control, const Origin& origin = {}) {
  if (context.canaries().servers.answered() != before)
    return context.add(subject, Verdict::fail, "it reached a server outside", origin);
  context.judge_refused(
      subject, got, control,
      {EACCES, ECONNRESET, ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ENOENT, EPIPE}, origin);
}

/// Positive: every name that a rule allows, and of a wildcard one beneath it.
void check_names(Context& context) {
  if (has_none(context, "allowed names")) return;
  const plan::Plan& plan = context.plan();
  auto rules = netns::RuleSet::make(plan.network.allow, plan.network.deny);
  if (!rules) return context.add("rules", Verdict::not_run, rules.error().message());
  std::set<std::string> asked;
  for (const netns::Rule& rule : rules->rules()) {
    const auto* pattern = std::get_if<netns::NamePattern>(&rule.target);
    if (rule.deny || pattern == nullptr) continue;
    std::string name = pattern->name.text();
    if (pattern->wildcard) name.insert(0, "dirbox-verify.");
    auto host = netns::parse_hostname(name);
    if (!host || !asked.insert(name).second || !rules->name_allowed(*host).allowed) continue;
    const Outcome got = look_up(context, name);
    const bool holds = got.done() && (is_fake(got.detail) || netns::names_loopback(*host));
    context.add(name,
                holds                                ? Verdict::pass
                : got.kind == Outcome::Kind::not_run ? Verdict::not_run
                                                     : Verdict::fail,
                got.text(), rule.origin);
  }
  if (asked.empty()) context.add("allowed names", Verdict::absent, "no rule names one");
}

/// The answer must be the responder's own, which says "blocked": then nobody else was asked.
void judge_blocked(Context& context, const std::string& subject, const Outcome& got,
                   const Outcome& control, const Origin& origin = {}) {
  if (got.refused_with({ENOENT}) && got.detail.find("blocked") == std::string::npos) {
    context.add(subject, Verdict::fail, "not an answer of the sandbox's own: " + got.text(),
                origin);
  } else {
    context.judge_refused(subject, got, control, {ENOENT}, origin);
  }
}

void check_resolver(Context& context) {
  if (has_none(context, "names")) return;
  const std::string denied = denied_name(context.canaries());
  const std::string allowed = allowed_name(context.canaries());
  const Outcome control = look_up(context, allowed);
  judge_blocked(context, "a name that no rule has", look_up(context, denied), control);
  judge_blocked(context, "the same over TCP", look_up(context, denied, kA, "tcp"),
                look_up(context, allowed, kA, "tcp"));
  struct Type {
    const char* number;
    const char* name;
  };
  constexpr Type kTypes[] = {{"28", "AAAA"}, {"16", "TXT"},   {"15", "MX"},
                             {"33", "SRV"},  {"65", "HTTPS"}, {"10", "NULL"}};
  for (const Type& type : kTypes) {
    judge_blocked(context, std::string("the same, ") + type.name,
                  look_up(context, denied, type.number), control);
  }
  judge_blocked(context, "data in front of such a name",
                look_up(context, "c2VjcmV0." + std::string(60, 'x') + "." + denied), control);
  judge_blocked(context, "an address's name", look_up(context, "1.1.1.1.in-addr.arpa", "12"),
                control);
  context.judge_refused("a text record of an allowed name", look_up(context, allowed, "16"),
                        control, {ENODATA});
  for (const netns::RuleText& text : context.plan().network.deny) {
    auto rules = netns::parse_rules(text, true);
    for (const netns::Rule& rule : rules ? *rules : std::vector<netns::Rule>()) {
      const auto* pattern = std::get_if<netns::NamePattern>(&rule.target);
      const bool every = rule.ports == std::vector<netns::PortRange>{{}};
      if (pattern == nullptr || !every) continue;
      const std::string name = (pattern->wildcard ? "dirbox-verify." : "") + pattern->name.text();
      judge_blocked(context, name, look_up(context, name), control, text.origin);
    }
  }
}

/// The servers outside, by the name that leads to them. Not done: the path itself is in doubt.
Outcome reach_by_name(Context& context, const std::string& name) {
  const Outcome found = look_up(context, allowed_name(context.canaries()));
  if (!found.done()) return found;
  return context.inside("tls", {found.detail, kTls, context.canaries().token, name});
}

void check_reach(Context& context) {
  if (has_none(context, "an allowed name")) return;
  const Canaries& canaries = context.canaries();
  const std::string name = allowed_name(canaries);
  auto judge = [&](std::string_view subject, const Outcome& got) {
    context.add(subject,
                got.done()                           ? Verdict::pass
                : got.kind == Outcome::Kind::not_run ? Verdict::not_run
                                                     : Verdict::fail,
                got.text());
  };
  judge("TLS to an allowed name", reach_by_name(context, name));
  const Outcome found = look_up(context, name);
  judge("HTTP to an allowed name",
        found.done() ? context.inside("bytes", {found.detail, kHttp, canaries.token,
                                                "GET / HTTP/1.1\r\nHost: " + name +
                                                    "\r\nConnection: close\r\n\r\n"})
                     : found);
  if (context.plan().network.proxy_port == 0) return;
  const std::string port = proxy_port(context);
  judge("CONNECT to an allowed name",
        context.inside("tunnel", {port, name + ":" + kTls, canaries.token, name}));
  judge("SOCKS5 to an allowed name", context.inside("socks5", {port, name, kTls, canaries.token}));
}

void check_tls(Context& context) {
  if (has_none(context, "TLS")) return;
  const Canaries& canaries = context.canaries();
  const netns::NetworkSpec& network = context.plan().network;
  const std::string name = allowed_name(canaries), other = denied_name(canaries);
  const Outcome control = reach_by_name(context, name);
  const Outcome found = look_up(context, name);
  auto attempt = [&](std::string_view subject, bool open, std::string_view waiver,
                     std::string_view verb, Words words) {
    const unsigned before = canaries.servers.answered();
    words.insert(words.begin(), {found.detail, kTls, canaries.token});
    const Outcome got = found.done() ? context.inside(verb, words) : found;
    if (open) {
      context.add(subject, Verdict::waived, "passed: " + got.text(), context.find_waiver(waiver));
    } else {
      judge_stopped(context, subject, got, before, control);
    }
  };
  using netns::TlsCheck;
  const bool off = network.tls == TlsCheck::off;
  attempt("another server name than the one resolved", off, "tls:", "tls", {other});
  attempt("no server name", network.tls != TlsCheck::require, "tls:", "tls", {""});
  attempt("an encrypted server name", off || network.allow_ech, off ? "tls:" : "allow_ech:", "tls",
          {name, "ech"});
  attempt("no TLS", off || network.allow_non_tls, off ? "tls:" : "allow_non_tls:", "bytes",
          {"SSH-2.0-verify\r\n"});
  if (network.proxy_port == 0) return;
  const unsigned before = canaries.servers.answered();
  const Outcome got =
      context.inside("tunnel", {proxy_port(context), name + ":" + kTls, canaries.token, other});
  if (!off) judge_stopped(context, "another server name by CONNECT", got, before, control);
}

/// Spellings of the host's loopback, each with the port of a server that waits there.
constexpr const char* kLoopbacks[] = {"127.0.0.1",  "127.1",     "2130706433", "0x7f000001",
                                      "0177.0.0.1", "localhost", "[::1]",      "[::ffff:127.0.0.1]",
                                      "0.0.0.0",    "[::]",      "127.0.0.1.", "0"};

void check_proxy(Context& context) {
  if (has_none(context, "proxy")) return;
  if (context.plan().network.proxy_port == 0)
    return context.add("proxy", Verdict::absent, "the profile has no port for it");
  const Canaries& canaries = context.canaries();
  const std::string port = proxy_port(context), token = canaries.token;
  const std::string name = allowed_name(canaries), denied = denied_name(canaries);
  const Outcome control = context.inside("tunnel", {port, name + ":" + kTls, token, name});
  auto attempt = [&](const std::string& subject, std::string_view verb, const Words& words) {
    const unsigned before = canaries.servers.answered();
    const Outcome got = context.inside(verb, words);
    if (canaries.loopback.take_connection()) {
      context.add(subject, Verdict::fail, "it reached a server on 127.0.0.1");
    } else {
      judge_stopped(context, subject, got, before, control);
    }
  };
  auto get = [&](const std::string& target, const std::string& host) {
    return Words{"127.0.0.1", port, token,
                 "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"};
  };
  attempt("CONNECT to a name that no rule has", "tunnel", {port, denied + ":443", token, denied});
  attempt("CONNECT to a port that no rule has", "tunnel", {port, name + ":4433", token, name});
  attempt("SOCKS5 to a name that no rule has", "socks5", {port, denied, kTls, token});
  attempt("GET of a name that no rule has", "bytes", get("http://" + denied + "/", denied));
  attempt("such a name behind an allowed Host", "bytes", get("http://" + denied + "/", name));
  attempt("such a name behind an allowed suffix", "tunnel",
          {port, name + "." + denied + ":443", token, name});
  attempt("such a name in front of an allowed one", "tunnel",
          {port, "evil" + name + ":443", token, name});
  const std::string metadata = "169.254.169.254";
  attempt("CONNECT to a metadata service", "tunnel", {port, metadata + ":80", token, metadata});
  attempt("GET of a metadata service", "bytes", get("http://" + metadata + "/", metadata));
  const std::string waiting = std::to_string(canaries.loopback.port);
  for (const char* spelling : kLoopbacks) {
    attempt("CONNECT to " + std::string(spelling), "tunnel",
            {port, std::string(spelling) + ":" + waiting, token, name});
  }
}

/// A name that a rule allows and that leads to the host itself or to its neighbours. The plan under
/// attack has such a rule.
void check_private_names(Context& context) {
  if (has_none(context, "names of private addresses")) return;
  const Canaries& canaries = context.canaries();
  const std::string subject = "an allowed name for a private address";
  if (!canaries.named || context.plan().network.proxy_port == 0)
    return context.add(subject, Verdict::absent, "the host's file of names has none");
  const std::string target = canaries.private_name + ":" + std::to_string(canaries.named->port);
  Outcome control =
      context.outside("connect", {canaries.named->address, std::to_string(canaries.named->port)});
  if (!canaries.named->take_connection())
    control = {Outcome::Kind::not_run, 0, "no connection arrived"};
  const Outcome got =
      context.inside("tunnel", {proxy_port(context), target, canaries.token, "x.test"});
  if (canaries.named->take_connection())
    return context.add(subject, Verdict::fail, target + " was reached");
  context.judge_refused(subject, got, control, {EACCES});
}

constexpr Row kRows[] = {
    {"network.names", "names that a rule allows have an address", "resolver", check_names},
    {"network.resolver", "other names have none, and nobody is asked for them", "resolver",
     check_resolver},
    {"network.reach", "what a rule allows is reached", "proxy", check_reach},
    {"network.tls", "a connection is to the name that it was allowed for", "proxy", check_tls},
    {"network.proxy", "the proxy passes nothing that no rule allows", "proxy", check_proxy},
    {"network.private", "no name leads to the host or its neighbours", "proxy",
     check_private_names},
};

}  // namespace

/// Without the whole token: pages of errors repeat a name.
std::string allowed_name(const Canaries& canaries) {
  return canaries.token.substr(0, 8) + ".allowed.test";
}
std::string denied_name(const Canaries& canaries) {
  return canaries.token.substr(0, 8) + ".denied.test";
}

plan::Plan make_attacked(const plan::Plan& plan, const Canaries& canaries) {
  plan::Plan attacked = plan;
  attacked.network.publish.clear();  // the other sandbox has the ports
  attacked.network.parent = {};      // nothing of this is for others to see
  attacked.docker.sockets = {canaries.servers.engine()};
  netns::NetworkSpec& network = attacked.network;
  if (network.mode != netns::Mode::proxy) return attacked;
  const Origin origin{"dirbox verify", 0, 0};
  const std::string name = allowed_name(canaries);
  network.allow.push_back({name, origin});
  for (std::uint16_t port : {std::uint16_t{443}, std::uint16_t{80}})
    network.net_map.push_back({name, port, "127.0.0.1", canaries.servers.port()});
  if (canaries.named) {
    network.allow.push_back(
        {canaries.private_name + ":" + std::to_string(canaries.named->port), origin});
  }
  return attacked;
}

std::span<const Row> proxy_rows() { return kRows; }

}  // namespace dirbox::verify
