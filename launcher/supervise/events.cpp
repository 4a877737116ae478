#include "launcher/supervise/events.h"

#include <fmt/format.h>

#include "launcher/base/json.h"
#include "launcher/base/text.h"

namespace dirbox::supervise {
namespace {

using netns::Cause;
using netns::EventKind;

log::Kind kind_of(EventKind kind) {
  switch (kind) {
    case EventKind::dns_denied:
    case EventKind::denied:
      return log::Kind::denied;
    case EventKind::limit:
      return log::Kind::limit;
    case EventKind::rules:
      return log::Kind::rules;
    case EventKind::fault:
      return log::Kind::fault;
    case EventKind::failed:
      break;
  }
  return log::Kind::failed;
}

/// What helps where no option does, and why nothing does.
struct Remedy {
  Cause cause;
  std::string_view toml, never;
};
constexpr Remedy kRemedies[] = {
    {Cause::deny_rule, "", "a deny rule wins over every allow rule"},
    {Cause::sni_mismatch, "", "TLS must name the host that was connected to"},
    {Cause::no_sni, "network.tls = \"allow-no-sni\"", ""},
    {Cause::ech, "network.allow_ech = true", ""},
    {Cause::not_tls, "network.allow_non_tls = true", ""},
    {Cause::bad_hello, "", "the bytes are no TLS that can be checked"},
    {Cause::host_mismatch, "", "HTTP must name the host that was connected to"},
    {Cause::bad_request, "", "the request cannot be read in one way only"},
    {Cause::guarded_address, "",
     "a name that leads to the host, its networks or a metadata service is never dialled"},
    {Cause::unknown_address, "", "the address stands for no name that was looked up"},
};

void add_remedy(const netns::Event& from, log::Event& event) {
  // Made anew: the proxy parses hostile bytes, and this is to be pasted into a shell.
  if (from.fix.starts_with("--host-port ")) {
    event.cure = fmt::format("--host-port {}", from.port);
    event.toml = fmt::format("network.host_ports = [\"{}\"]", from.port);
  } else if (!from.fix.empty()) {
    event.cure = "--allow " + shell_quote(event.subject);
    event.toml = fmt::format("network.allow = [{}]", Json(event.subject).dump());
  }
  if (from.cause == Cause::upgrade) {
    event.toml = fmt::format("network.upgrade = [{}]",
                             Json(fmt::format("{}:{}", from.host, from.port)).dump());
  }
  for (const Remedy& remedy : kRemedies) {
    if (remedy.cause != from.cause || !event.cure.empty()) continue;
    event.toml = remedy.toml;
    event.never = remedy.never;
  }
}

}  // namespace

log::Event network_event(const netns::Event& from) {
  log::Event event;
  event.kind = kind_of(from.kind);
  event.operation = from.via == netns::Via::dns ? log::Operation::resolve : log::Operation::connect;
  event.layer = log::Layer::proxy;
  event.time_ns = from.time_ns;
  event.subject = from.host;
  if (from.port != 0) {
    event.subject = fmt::format("{}:{}", from.host, from.port);
  }
  event.rule = from.rule;
  event.origin = from.origin;
  event.cause = netns::cause_name(from.cause);
  event.detail = netns::cause_text(from.cause);
  if (!from.detail.empty()) event.detail += (event.detail.empty() ? "" : "; ") + from.detail;
  if (event.kind == log::Kind::denied) add_remedy(from, event);
  return event;
}

log::Event docker_event(const docker::Report& report) {
  const bool refused = report.kind == docker::Report::Kind::refused;
  log::Event event;
  event.kind = refused ? log::Kind::denied : log::Kind::failed;
  event.operation = log::Operation::docker;
  event.layer = log::Layer::broker;
  event.subject = report.what;
  event.cause = refused ? "docker-policy" : "docker-engine";
  event.detail = report.text;
  return event;
}

log::Event rules_event(std::string what) {
  log::Event event;
  event.kind = log::Kind::rules;
  event.subject = std::move(what);
  return event;
}

log::Event fault_event(std::string text) {
  log::Event event;
  event.kind = log::Kind::fault;
  event.detail = std::move(text);
  return event;
}

log::Event guard_event(const guard::Finding& finding) {
  log::Event event;
  event.kind = log::Kind::guard;
  event.operation = log::Operation::write;
  event.layer = log::Layer::guard;
  event.subject = finding.path;
  event.rule = finding.key;
  event.cause = !finding.kept.empty() ? "quarantined" : finding.undone ? "undone" : "reported";
  event.detail = finding.why + ": " + finding.after;
  return event;
}

log::Event host_change_event(const std::string& path) {
  log::Event event;
  event.kind = log::Kind::guard;
  event.operation = log::Operation::write;
  event.layer = log::Layer::guard;
  event.subject = path;
  event.cause = "host";
  event.detail = "changed from outside, while nothing inside acted: left as it is";
  return event;
}

log::Event refused_event(const guard::Answer& answer, const seccomp::Notification& call) {
  struct Row {
    std::string_view call;
    log::Operation operation;
  };
  constexpr Row kRows[] = {{"rename", log::Operation::rename},  {"unlink", log::Operation::remove},
                           {"rmdir", log::Operation::remove},   {"link", log::Operation::create},
                           {"symlink", log::Operation::create}, {"mk", log::Operation::create},
                           {"ch", log::Operation::change},      {"fch", log::Operation::change}};
  log::Event event;
  event.operation = log::Operation::write;
  for (const Row& row : kRows) {
    if (call.call != nullptr && call.call->name.starts_with(row.call))
      event.operation = row.operation;
  }
  event.layer = log::Layer::guard;
  event.pid = call.pid;
  event.subject = answer.path;
  event.cause = "guarded-name";
  event.detail = answer.why;
  event.error = answer.err;
  event.toml = "filesystem.guard = \"quarantine\"";
  return event;
}

log::Event start_event(const plan::Plan& plan) {
  log::Event event;
  event.kind = log::Kind::start;
  for (const std::string& word : plan.spec.argv) {
    event.subject += (event.subject.empty() ? "" : " ") + shell_quote(word);
  }
  event.detail = fmt::format("profile {}, in {}", plan.profile, plan.cwd);
  return event;
}

}  // namespace dirbox::supervise
