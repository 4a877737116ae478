#include <sched.h>

#include <algorithm>
#include <cerrno>

#include "launcher/base/text.h"
#include "launcher/verify/context.h"
#include "netns/rules.h"

/// The network without the proxy: addresses, datagrams, interfaces.
namespace dirbox::verify {
namespace {

netns::RuleSet rules_of(const plan::Plan& plan) {
  auto made = netns::RuleSet::make(plan.network.allow, plan.network.deny);
  return made ? std::move(*made) : netns::RuleSet();  // the plan's own were parsed before
}

/// With the host's network there is nothing else to say. True when that is so.
bool waive(Context& context, std::string_view subject) {
  const Origin* origin = network_waiver(context);
  if (origin != nullptr) context.add(subject, Verdict::waived, "the host's network", *origin);
  return origin != nullptr;
}

struct Target {
  const char* subject;
  const char* address;
  const char* port;
};

constexpr Target kAddresses[] = {
    {"a public address", "1.1.1.1", "443"},
    {"a public address, DNS over TLS", "9.9.9.9", "853"},
    {"a public IPv6 address", "2606:4700:4700::1111", "443"},
    {"a private address", "10.0.0.1", "80"},
    {"a private address", "172.16.0.1", "22"},
    {"a private address", "192.168.1.1", "80"},
    {"a shared address", "100.64.0.1", "80"},
    {"a link-local address", "169.254.1.1", "80"},
    {"a unique local IPv6 address", "fd00::1", "80"},
    {"multicast DNS", "224.0.0.251", "5353"},
};

// Where clouds answer with credentials: AWS, GCP, Azure; AWS over IPv6; Alibaba; Azure's host.
constexpr Target kMetadata[] = {
    {"the metadata service", "169.254.169.254", "80"},
    {"the metadata service, IPv6", "fd00:ec2::254", "80"},
    {"the metadata service of Alibaba", "100.100.100.200", "80"},
    {"credentials of ECS tasks", "169.254.170.2", "80"},
    {"the host of Azure", "168.63.129.16", "80"},
};

/// The control outside only asks the kernel for a way: it sends nothing.
void try_address(Context& context, const netns::RuleSet& rules, const Target& target, bool grave) {
  auto address = netns::parse_ip(target.address);
  auto port = netns::parse_port(target.port);
  const std::string subject = std::string(target.subject) + ", " + target.address;
  if (address && port) {
    const netns::Verdict verdict = rules.decide(*address, *port);
    if (verdict.allowed) {
      context.add(subject, grave ? Verdict::waived : Verdict::absent, "a rule allows it",
                  verdict.rule->origin);
      return;
    }
  }
  const Outcome control = context.outside("connect", {target.address, target.port, "udp"});
  const std::initializer_list<int> errors = {ENETUNREACH, EHOSTUNREACH, EACCES, EPERM,
                                             ECONNREFUSED};
  for (const char* protocol : {"tcp", "udp"}) {
    context.judge_refused(subject + ", " + protocol,
                          context.inside("connect", {target.address, target.port, protocol}),
                          control, errors);
  }
}

void check_addresses(Context& context) {
  if (waive(context, "addresses")) return;
  const netns::RuleSet rules = rules_of(context.plan());
  for (const Target& target : kAddresses) try_address(context, rules, target, false);
}

void check_metadata(Context& context) {
  if (waive(context, "metadata services")) return;
  const netns::RuleSet rules = rules_of(context.plan());
  for (const Target& target : kMetadata) try_address(context, rules, target, true);
}

/// A server of the host at `listener`: nothing inside may come to it.
void try_server(Context& context, const std::string& subject, const Listener& listener) {
  const Words words{listener.address, std::to_string(listener.port)};
  Outcome control = context.outside("connect", words);
  if (!listener.take_connection()) control = {Outcome::Kind::not_run, 0, "no connection arrived"};
  const Outcome got = context.inside("connect", words);
  if (listener.take_connection()) {
    context.add(subject, Verdict::fail, "it was reached");
  } else {
    context.judge_refused(subject, got, control,
                          {ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, EACCES, EPERM});
  }
}

void check_loopback(Context& context) {
  if (waive(context, "a server on 127.0.0.1")) return;
  try_server(context, "a server on 127.0.0.1", context.canaries().loopback);
}

void check_own(Context& context) {
  if (waive(context, "a server on an address of the host")) return;
  if (!context.canaries().host)
    return context.add("a server on an address of the host", Verdict::absent, "it has none");
  try_server(context, "a server on an address of the host", *context.canaries().host);
}

/// Inside, a datagram to 127.0.0.1 is sent, to nobody: what counts is whether it arrives outside.
void try_datagram(Context& context, const std::string& subject, const Listener& listener) {
  const Words words{listener.address, std::to_string(listener.port), context.canaries().token};
  const Outcome control = context.outside("send", words);
  const bool arrives = listener.take_datagram();
  const Outcome got = context.inside("send", words);
  if (listener.take_datagram()) {
    context.add(subject, Verdict::fail, "it arrived");
  } else if (got.kind == Outcome::Kind::not_run || !control.done() || !arrives) {
    context.add(subject, Verdict::not_run,
                got.kind == Outcome::Kind::not_run ? got.text() : "none arrived from outside");
  } else {
    context.add(subject, Verdict::pass, got.done() ? "sent, to nobody" : got.text());
  }
}

void check_datagrams(Context& context) {
  if (waive(context, "datagrams")) return;
  try_datagram(context, "a datagram to 127.0.0.1", context.canaries().loopback);
  if (context.canaries().host)
    try_datagram(context, "a datagram to an address of the host", *context.canaries().host);
  // A query for a name that nobody has, should it get out after all.
  for (const std::string& server : find_resolvers()) {
    context.judge_refused("the host's resolver " + server,
                          context.inside("dns", {server, denied_name(context.canaries()), "1"}),
                          context.outside("connect", {server, "53", "udp"}),
                          {ENETUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EPERM, ENOENT});
  }
}

void check_interfaces(Context& context) {
  if (waive(context, "interfaces")) return;
  Outcome got = context.inside("text", {"/proc/net/dev"});
  if (!got.done()) return context.add("interfaces", Verdict::not_run, got.text());
  // Two lines of headings, then "NAME: …".
  std::string others;
  std::size_t start = 0;
  for (int line = 0; start < got.detail.size(); ++line) {
    std::size_t end = std::min(got.detail.find('\n', start), got.detail.size());
    std::string name = got.detail.substr(start, got.detail.find(':', start) - start);
    start = end + 1;
    name.erase(0, name.find_first_not_of(' '));
    if (line >= 2 && name != "lo") others += name + " ";
  }
  context.add("interfaces", others.empty() ? Verdict::pass : Verdict::fail,
              others.empty() ? "only lo" : escape_for_terminal(others));
  context.must_succeed("own loopback", "loopback", {});
}

/// The control is in a network namespace of its own, where nobody sees the address.
void check_netlink(Context& context) {
  if (waive(context, "netlink")) return;
  const std::string own = std::to_string(CLONE_NEWUSER | CLONE_NEWNET);
  context.judge_refused("adding an address to lo", context.inside("add-address"),
                        context.outside("unshared", {own, "add-address"}),
                        {EPERM, EACCES, EAFNOSUPPORT});
}

constexpr Row kRows[] = {
    {"network.loopback", "servers on the host's loopback are out of reach", "net namespace",
     check_loopback},
    {"network.host", "servers on the host's other addresses are out of reach", "net namespace",
     check_own},
    {"network.addresses", "no address can be reached that no rule names", "net namespace",
     check_addresses},
    {"network.metadata", "metadata services of clouds are out of reach", "net namespace",
     check_metadata},
    {"network.datagrams", "no datagram leaves, no resolver is asked directly", "net namespace",
     check_datagrams},
    {"network.interfaces", "loopback is the only interface", "net namespace", check_interfaces},
    {"network.netlink", "the network cannot be configured", "capabilities", check_netlink},
};

}  // namespace

const Origin* network_waiver(const Context& context) {
  if (context.plan().spec.own_network) return nullptr;
  for (const plan::Note& waiver : context.plan().waivers) {
    if (waiver.text.starts_with("network:")) return &waiver.origin;
  }
  return nullptr;
}

std::span<const Row> network_rows() { return kRows; }

}  // namespace dirbox::verify
