#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "launcher/base/text.h"
#include "launcher/plan/explain.h"
#include "netns/address_guard.h"
#include "netns/rules.h"
#include "seccomp/describe.h"

/// Answers about hosts and system calls.
namespace dirbox::plan {
namespace {

std::string in_quotes(std::string_view text) { return Json(text).dump(); }

std::optional<std::uint64_t> parse_number(const std::string& word) {
  std::string_view digits = word;
  const int base = digits.starts_with("0x") ? 16 : 10;
  if (base == 16) digits.remove_prefix(2);
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    return std::nullopt;
  return value;
}

void explain_verdict(const netns::Verdict& verdict, const std::string& cure, Answer& answer) {
  using netns::Reason;
  answer.allowed = verdict.allowed;
  answer.cause = netns::reason_name(verdict.reason);
  if (verdict.rule != nullptr) {
    answer.rule = verdict.rule->text();
    answer.origin = verdict.rule->origin.text();
  }
  switch (verdict.reason) {
    case Reason::allowed:
      answer.detail = "a rule allows it";
      return;
    case Reason::denied:
      answer.detail = "a rule denies it";
      answer.never = "a deny rule wins over every allow rule";
      return;
    case Reason::no_rule:
      answer.detail = "no rule allows this host";
      break;
    case Reason::port_closed:
      answer.detail = "the host is allowed, this port of it is not";
      break;
  }
  answer.cure = "--allow " + shell_quote(cure);
  answer.toml = fmt::format("network.allow = [{}]", in_quotes(cure));
}

void explain_loopback(const Plan& plan, std::optional<std::uint16_t> port, Answer& answer) {
  answer.allowed = true;
  answer.layer = "netns";
  answer.cause = "loopback";
  answer.detail = "the sandbox's own loopback; the host's is not reachable but by host_ports";
  for (const profiles::Value& value : plan.network_values) {
    if (value.key != "host_ports") continue;
    const auto forward = netns::parse_port_forward(value.text);
    if (!forward || forward->inside != port) continue;
    answer.rule = value.text;
    answer.origin = value.origin.text();
    answer.detail = fmt::format("it leads to port {} of the host's loopback", forward->outside);
  }
}

/// An address is never reached by a name's rule, and some by none.
bool explain_address(const Plan& plan, const netns::IpAddress& address,
                     std::optional<std::uint16_t> port, Answer& answer) {
  auto info = netns::classify_address(address);
  using netns::AddressClass;
  switch (info.address_class) {
    case AddressClass::loopback:
      explain_loopback(plan, port, answer);
      return true;
    case AddressClass::metadata:
    case AddressClass::unspecified:
    case AddressClass::multicast:
    case AddressClass::broadcast:
      answer.layer = "netns";
      answer.cause = "guarded-address";
      answer.detail = fmt::format("{} is a {} address", address.text(),
                                  netns::address_class_name(info.address_class));
      answer.never = "such an address is never reached";
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<Answer> explain_connect(const Plan& plan, const std::string& text) {
  netns::HostPort target = TRY(netns::parse_host_port(text));
  Answer answer;
  answer.subject = target.port ? netns::host_port_text(target.host, *target.port)
                               : netns::host_text(target.host);
  answer.layer = "proxy";
  if (plan.network.mode == netns::Mode::host) {
    answer.allowed = true;
    answer.layer = "none";
    answer.cause = "host-network";
    answer.detail = "the network is the host's own";
    return answer;
  }
  const auto* name = std::get_if<netns::Hostname>(&target.host);
  if (name != nullptr && netns::names_loopback(*name)) {
    explain_loopback(plan, target.port, answer);
    return answer;
  }
  const auto* address = std::get_if<netns::IpAddress>(&target.host);
  if (address != nullptr && explain_address(plan, *address, target.port, answer)) return answer;
  if (address != nullptr) answer.layer = "netns";
  if (plan.network.mode == netns::Mode::none) {
    answer.layer = "netns";
    answer.cause = "no-network";
    answer.detail = "the sandbox has no network but loopback";
    answer.toml =
        fmt::format("network = {{ mode = \"proxy\", allow = [{}] }}", in_quotes(answer.subject));
    return answer;
  }
  netns::RuleSet rules = TRY(netns::RuleSet::make(plan.network.allow, plan.network.deny));
  if (target.port) {
    explain_verdict(rules.decide(target.host, *target.port), answer.subject, answer);
  } else if (name != nullptr) {
    explain_verdict(rules.name_allowed(*name), answer.subject, answer);
    if (answer.allowed) {
      std::string ports;
      for (const netns::PortRange& range : rules.ports_of(*name)) {
        ports += fmt::format("{}{}", ports.empty() ? "" : ", ", range.first);
        if (range.last != range.first) ports += fmt::format("-{}", range.last);
      }
      answer.detail += ", on ports " + ports;
    }
  } else {
    constexpr std::uint16_t kHttps = 443;
    explain_verdict(rules.decide(target.host, kHttps), answer.subject, answer);
  }
  return answer;
}

void add_syscall_cure(Answer& answer, const seccomp::Source& source, std::string_view call) {
  using Kind = seccomp::Source::Kind;
  const seccomp::Call* known = seccomp::find_call(call);
  const std::string_view group = known != nullptr ? seccomp::group_of(*known).name : "";
  answer.rule = source.name;
  answer.origin = source.kind == Kind::profile ? source.origin.text() : "built in";
  if (source.kind == Kind::hard) {
    answer.never = "a hard denial stays: only a rule of your own for the exact value opens it";
    return;
  }
  if (source.kind == Kind::unknown) {
    answer.never = source.reason;
    while (answer.never.ends_with('.')) answer.never.pop_back();
    return;
  }
  for (std::string_view privileged :
       {"@module", "@reboot", "@swap", "@clock-set", "@cpu-io", "@admin", "@fanotify", "@bpf"}) {
    if (group != privileged) continue;
    answer.never = "it takes capabilities over the machine, which nothing inside has";
    return;
  }
  if (group == "@namespace" || group == "@mount") {
    // Root cannot map itself there, user_namespaces(7).
    answer.toml =
        "process.nested_userns = true  # and, not as root, in a user namespace: unshare -Ur";
    return;
  }
  answer.toml = fmt::format("seccomp.allow = [{}]", in_quotes(call));
}

Result<Answer> explain_syscall(const Plan& plan, const std::vector<std::string>& words) {
  constexpr std::string_view kDoing = "explain a system call";
  if (words.empty()) return fail(kDoing, "", "none was named");
  const seccomp::Call* call = seccomp::find_call(words.front());
  if (call == nullptr) {
    return fail(kDoing, escape_for_terminal(words.front()),
                "no such system call" + did_you_mean(words.front(), seccomp::all_names()));
  }
  Answer answer;
  answer.layer = "seccomp";
  answer.subject = words.front();
  if (words.size() > 7) return fail(kDoing, answer.subject, "a call has six arguments at most");
  std::uint64_t args[6] = {};
  for (std::size_t i = 1; i < words.size(); ++i) {
    auto number = parse_number(words[i]);
    if (!number) return fail(kDoing, escape_for_terminal(words[i]), "not a number");
    args[i - 1] = *number;
    answer.subject += (i == 1 ? "(" : ", ") + words[i];
  }
  if (words.size() > 1) answer.subject += ")";
  const auto clauses = plan.syscalls.clauses(*call);
  const seccomp::Clause* decided = &clauses.back();
  if (words.size() > 1) {
    for (const seccomp::Clause& clause : clauses) {
      decided = &clause;
      if (std::all_of(clause.tests.begin(), clause.tests.end(),
                      [&](const seccomp::Test& test) { return test.holds(args); }))
        break;
    }
  }
  const seccomp::Source& source = plan.syscalls.source(*decided);
  answer.allowed = decided->action.permits();
  answer.cause = answer.allowed ? "allowed-call" : "denied-call";
  answer.rule = source.name;
  const bool profile = source.kind == seccomp::Source::Kind::profile;
  answer.origin = profile ? source.origin.text() : "built in";
  answer.detail = source.reason.empty() ? seccomp::reason_of(*call) : source.reason;
  while (answer.detail.ends_with('.')) answer.detail.pop_back();
  if (!answer.allowed) {
    answer.detail += fmt::format("; the caller gets {}", errno_name(decided->action.err));
    add_syscall_cure(answer, source, call->name);
  }
  for (const seccomp::Clause& clause : clauses) {
    if (words.size() > 1 || clause.tests.empty() || clause.action.permits() == answer.allowed)
      continue;
    answer.detail +=
        fmt::format("; {} where {} ({})", clause.action.permits() ? "allowed" : "refused",
                    seccomp::tests_text(clause.tests), plan.syscalls.source(clause).text());
  }
  return answer;
}

}  // namespace dirbox::plan
